"""The Hugging Face Hub, reached with its own client: its errors become ours, and say what to do."""

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..converters.extra import extra
from ..vault.errors import ConflictError, NotFoundError, StorageError, StrongbaxError
from .address import Address
from .manifest import Entry

KEYS = ("endpoint", "token", "private")  # of `storage`
DATASET = "dataset"  # the kind of repository


class Hub:
    """One repository of datasets.

    Args:
      address: `hf://user/name`, or `hf://datasets/user/name`.
      storage: `endpoint`, `token` and `private`, each as the client has it where it is left out.

    Attributes:
      name: `user/name`.
      api: the client.
      private: whether a repository that is made is private; None: as the account has it.
    """

    def __init__(self, address: Address, storage: Mapping[str, Any] | None = None) -> None:
        given = dict(storage or {})
        unknown = sorted(set(given) - set(KEYS))
        parts = address.rest.removeprefix("datasets/").split("/")
        if unknown:
            raise ValueError(f"`storage` of the Hub has the fields {', '.join(KEYS)}: got {unknown} too.")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"An address on the Hub must read 'hf://user/name': got {address.url!r}.")
        self.name = "/".join(parts)
        self.private: bool | None = given.get("private")
        library = extra("huggingface_hub", "hf", "The Hugging Face Hub")
        self.api: Any = library.HfApi(endpoint=given.get("endpoint"), token=given.get("token"))

    @property
    def url(self) -> str:
        """Its address, without a revision."""
        return f"hf://{self.name}"

    def info(self, revision: str | None = None) -> Any:
        """Gives what the Hub says of a revision; its `sha` is the commit.

        Raises:
          NotFoundError: if there is no such repository or revision.
          StorageError: if the Hub does not answer, or refuses.
        """
        with hub_errors(self.url if revision is None else f"{self.url}@{revision}", "find"):
            return self.api.repo_info(self.name, repo_type=DATASET, revision=revision or "main")

    def tree(self, commit: str) -> dict[str, Any]:
        """Gives the files of a commit by path, each with its `size`, `blob_id` and `lfs`."""
        with hub_errors(self.url, "list"):
            files = self.api.list_repo_tree(self.name, repo_type=DATASET, revision=commit, recursive=True)
            return {file.path: file for file in files if hasattr(file, "blob_id")}

    def download(self, path: str, commit: str, folder: Path) -> Path:
        """Downloads a file of a commit into a folder, where the client keeps what it has of it in `.cache`.

        Raises:
          NotFoundError, StorageError: as `info`.
        """
        with hub_errors(f"{self.url}@{commit}", f"fetch {path!r} of"), quiet():
            got = self.api.hf_hub_download(
                self.name, path, repo_type=DATASET, revision=commit, local_dir=folder
            )
        return Path(got)


def is_same(file: Any, entry: Entry, path: Path) -> bool:
    """Tells whether a file of the Hub is a local one, without fetching it: by its SHA-256, or git's SHA-1."""
    if file is None or file.size != entry.size:
        return False
    if file.lfs is not None:
        return bool(file.lfs.sha256 == entry.sha256)
    data = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return bool(file.blob_id == git.hexdigest())


@contextmanager
def hub_errors(where: str, doing: str) -> Generator[None]:
    """Turns what the client raises into our errors.

    Raises:
      NotFoundError: if there is nothing, or nothing that one may see.
      ConflictError: if somebody else committed in between.
      StorageError: if the Hub does not answer, or refuses.
    """
    try:
        yield
    except StrongbaxError:
        raise
    except Exception as error:
        told = _told(error, where, doing)
        if told is None:
            raise
        raise told from error


def _told(error: BaseException, where: str, doing: str) -> StrongbaxError | None:
    """Gives our error for one of the client's; None for one that is not about the Hub."""
    errors = extra("huggingface_hub.errors", "hf", "The Hugging Face Hub")
    failed = f"Could not {doing} {where!r}: "
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RevisionNotFoundError):
        told: StrongbaxError | None = NotFoundError(f"{failed}there is no such branch, tag or commit.")
    elif isinstance(error, errors.RepositoryNotFoundError):
        told = NotFoundError(
            f"{failed}there is none, or it is private. Check the name; log in with `hf auth login`, or set "
            "HF_TOKEN."
        )
    elif status == 404:
        told = NotFoundError(f"{failed}it is not there.")
    elif status == 412:
        told = ConflictError(
            f"Somebody else committed to {where!r} in between, and nothing was changed. Look at it; publish "
            "again if yours is to be the newer one: nothing is uploaded twice."
        )
    elif status in (401, 403):
        told = StorageError(
            f"{failed}the Hub refused it ({status}). Log in with `hf auth login`, or set HF_TOKEN to a token "
            "that may write."
        )
    elif isinstance(error, (errors.HfHubHTTPError, OSError)) or type(error).__module__.startswith("httpx"):
        said = f"HTTP {status}" if status else type(error).__name__
        told = StorageError(f"{failed}{said}. Look at the network; try again later.")
    else:  # the client wraps what breaks in one of its threads
        inner = error.__cause__ if isinstance(error, RuntimeError) else None
        told = None if inner is None else _told(inner, where, doing)
    return told


@contextmanager
def quiet() -> Generator[None]:
    """Lets the client show no bars of its own."""
    tools = extra("huggingface_hub.utils", "hf", "The Hugging Face Hub")
    shown = not tools.are_progress_bars_disabled()
    if shown:
        tools.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            tools.enable_progress_bars()
