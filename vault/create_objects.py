"""Making a vault on an object store: its root is created last, and only where none stands."""

from .errors import AlreadyExistsError
from .manifest import FILE as MANIFEST
from .object_journal import check_create_only
from .objects import ObjectPath, delete_all, write_all
from .root import FILE, GROUPS, LOCK, Root, document, group_document, group_paths
from .schema_copy import GROUP, with_schema


def create_objects(path: ObjectPath, root: Root, *, overwrite: bool = False) -> None:
    """Makes an empty vault.

    Raises:
      AlreadyExistsError: if something stands at `path`, unless it is a vault and `overwrite`.
      StorageError: if the store does not answer, refuses, or overwrites what it was asked to create.
    """
    path.check_writable()
    _make_free(path, overwrite=overwrite)
    arrays = {array.path: array.to_dict() for array in root.arrays()}
    nodes = {group: group_document() for group in group_paths(list(arrays))} | arrays
    nodes[GROUP] = with_schema(root)
    write_all({path / place / FILE: document(node) for place, node in nodes.items()})
    file, data = path / FILE, root.encode()
    if not file.put_new(data) and file.read_bytes() != data:
        raise AlreadyExistsError(f"Somebody else made {str(path)!r} at the same time. Open that one.")
    try:
        check_create_only(file, data)
    except BaseException:
        file.unlink()
        raise


def _make_free(path: ObjectPath, *, overwrite: bool) -> None:
    there = path.below()
    if FILE in there and not overwrite:
        raise AlreadyExistsError(
            f"Something stands at {str(path)!r} already. Open it with `Vault.open(path, mode='a')`, choose "
            "another path, or pass overwrite=True."
        )
    if FILE not in there and not all(map(_is_left_over, there)):
        raise AlreadyExistsError(
            f"Something stands at {str(path)!r} already. It is not a vault; choose another path."
        )
    if FILE in there:
        (path / FILE).unlink()  # first: what is left is no vault then
    delete_all([path / key for key in there if key != FILE])


def _is_left_over(key: str) -> bool:
    """Says whether an object is of a vault that was being made or removed when the process died."""
    return key.split("/", 1)[0] in (*GROUPS, "log", "resume", "parts", "attached", LOCK, MANIFEST)
