"""Names of columns of the episode table, made of the names that formats have."""

from collections.abc import Iterable, Mapping

from ..vault.schema import COLUMNS

TAKEN = frozenset({"id", "attributes", "attributes_stop", *COLUMNS})


def identifier(name: str) -> str:
    """Returns a name with only letters, digits and underscores.

    Example:
      >>> identifier("episode_metadata/file path"), identifier("2d")
      ('episode_metadata_file_path', '_2d')
    """
    text = "".join(letter if letter.isidentifier() or letter.isdecimal() else "_" for letter in name)
    return text if text.isidentifier() else f"_{text}"


def column_names(names: Iterable[str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns a column's name for each name: none twice, and none that the table has already.

    Args:
      names: as the format has them, unique.
      known: what some of them are to be called.

    Example:
      >>> column_names(["seed", "return", "a.b", "a b"])
      {'seed': 'seed', 'return': '_return', 'a.b': 'a_b', 'a b': '_a_b'}
    """
    found: dict[str, str] = {}
    for name in names:
        column = (known or {}).get(name) or identifier(name)
        while column in TAKEN or column in found.values():
            column = f"_{column}"
        found[name] = column
    return found
