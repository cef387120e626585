"""The commands that keep vaults whole and make others of them: repair, pack, merge, split, filter, delete.

A command reads its arguments, calls the library, shows the answer; `add_to` gives them to the command line.
"""

import operator
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completing, console
from .arguments import Json, Overwrite, Target, VaultFolder, VaultPath, open_vault, place

if TYPE_CHECKING:
    import numpy as np

    from ..vault import EpisodeTable

LOST = 1  # exit code: not everything could be kept

_CODEC = typer.Option(
    metavar="NAME", help="none, zstd, lz4, blosc or gzip, for all leaves.", autocompletion=completing.codecs
)

_CONDITION = re.compile(r"\s*(!?)\s*([^\W\d]\w*)\s*(?:(>=|<=|==|!=|>|<)\s*(.+?))?\s*", re.DOTALL)


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    for name, command in (
        ("repair", repair),
        ("pack", pack),
        ("merge", merge),
        ("split", split),
        ("filter", filter_),
        ("delete", delete),
        ("upgrade", upgrade),
    ):
        app.command(name)(command)
    app.command("combine", hidden=True)(merge)  # as Minari calls it


def repair(path: VaultFolder, json: Json = False) -> None:
    """Keeps what is whole of a damaged vault, tells what was lost; ends with 1 if something was.

    The damaged vault is kept beside the repaired one, as PATH.damaged.

    Example: strongbax repair hopper.vault
    """
    from ..vault import repair as repair_vault

    with console.progress(f"Looking at {path.name}") as progress:
        report = repair_vault(path, progress=progress)
    if json:
        console.print_json(
            vars(report) | {"parts": {name: vars(part) for name, part in report.parts.items()}}
        )
    elif not report.problems:
        console.print_line(f"Nothing is wrong with {path}: nothing was done.")
    else:
        for told in report.lost:
            console.print_error(told)
        for told in report.mended:
            console.print_line(told)
        shown = ("path", "damaged", "steps", "episodes", "one_stream")
        facts = {name: getattr(report, name) for name in shown} | {"dropped": len(report.dropped)}
        console.print_facts(facts, "Repaired")
    if report.lost:
        raise typer.Exit(LOST)


def pack(
    path: VaultPath,
    target: Target,
    *,
    codec: Annotated[str, _CODEC] = "zstd",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Writes a vault anew for reading and publishing: one stream, few large files, hashes of all.

    Example: strongbax pack hopper.vault hopper-packed.vault
    """
    with open_vault(path) as vault, console.progress(f"Packing {path.name}") as progress:
        vault.pack(target, codec=codec, overwrite=overwrite, progress=progress)
    _print([target], json=json)


def merge(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            parser=place,
            help="Vaults, named as for every command.",
            autocompletion=completing.vaults_and_datasets,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DST", help="Vault to make.")],
    codec: Annotated[str | None, _CODEC] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Writes the episodes of several vaults as one, those of the first one first.

    Example: strongbax merge hopper.vault long.vault --out both.vault
    """
    from ..vault import merge as merge_vaults

    with ExitStack() as stack, console.progress(f"Merging {console.plural(len(paths), 'vault')}") as progress:
        vaults = [stack.enter_context(open_vault(path)) for path in paths]
        merge_vaults(vaults, out, codec=codec, overwrite=overwrite, progress=progress)
    _print([out], json=json)


def split(
    path: VaultPath,
    targets: Annotated[list[Path], typer.Argument(metavar="DST", help="Vaults to make.")],
    *,
    fractions: Annotated[
        str, typer.Option(metavar="F,F,...", help="Part of the episodes for each DST; alike if not given.")
    ] = "",
    key: Annotated[int, typer.Option(metavar="NUMBER", help="The same key gives the same parts.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Splits the episodes of a vault at random: each is in exactly one of the vaults that are made.

    Example: strongbax split hopper.vault train.vault test.vault --fractions 0.5,0.5
    """
    shares = _fractions(fractions, len(targets))
    with open_vault(path) as vault, console.progress(f"Splitting {path.name}") as progress:
        for target, part in zip(targets, vault.finished().split(shares, key=key), strict=True):
            part.save(target, overwrite=overwrite, progress=progress)
    _print(targets, json=json)


def filter_(
    path: VaultPath,
    target: Target,
    *,
    where: Annotated[
        list[str],
        typer.Option(metavar="CONDITION", help="'return>=30', 'terminated', '!truncated'; all must hold."),
    ],
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Writes the episodes that meet conditions on the columns of the episode table as a vault.

    Example: strongbax filter hopper.vault long.vault --where "length>=20" --where "return>0"
    """
    with open_vault(path) as vault, console.progress(f"Filtering {path.name}") as progress:
        everything = vault.finished()
        masks = [condition(everything.episodes, text) for text in where]
        chosen = everything.select(_all(masks))
        if not chosen.num_episodes:
            raise ValueError(
                f"`--where` must leave an episode: none of {everything.num_episodes} meets "
                f"{' and '.join(repr(text) for text in where)}. `strongbax show` tells what there is."
            )
        chosen.save(target, overwrite=overwrite, progress=progress)
    _print([target], json=json)


def delete(
    path: VaultFolder,
    episodes: Annotated[list[int], typer.Argument(metavar="EPISODE", help="Ids of episodes.", min=0)],
    json: Json = False,
) -> None:
    """Deletes episodes of a vault, which is written anew without them; they cannot be had back.

    Example: strongbax delete hopper.vault 0
    """
    from ..vault import delete as delete_episodes

    with console.progress(f"Deleting {console.plural(len(episodes), 'episode')}") as progress:
        try:
            delete_episodes(path, episodes, progress=progress)
        except IndexError as error:
            raise ValueError(str(error).replace("`which`", "EPISODE")) from None
    _print([path], json=json)


def upgrade(path: VaultFolder, json: Json = False) -> None:
    """Brings a vault of an older format to this version's; the old one is kept beside it.

    Example: strongbax upgrade hopper.vault
    """
    from ..vault import upgrade as upgrade_vault

    report = upgrade_vault(path)
    if json:
        console.print_json(vars(report))
    elif report.old is None:
        console.print_line(f"{path} is of format {report.after}, the newest: nothing was done.")
    else:
        console.print_line(f"{path} is of format {report.after} now; the old one is {report.old}.")


def condition(table: "EpisodeTable", text: str) -> "np.ndarray[Any, Any]":
    """Gives the mask of the episodes that meet a condition.

    Args:
      table: of the episodes.
      text: a column of booleans, `!` and one, or a column, an operator and a value.

    Raises:
      ValueError: if it is no condition, or names a column that is not there.

    Example:
      >>> import numpy as np
      >>> from ..vault.episodes import EpisodeTable
      >>> table = EpisodeTable({"return": np.array([1.0, 5.0]), "terminated": np.array([True, False])})
      >>> condition(table, "return >= 2"), condition(table, "!terminated")
      (array([False,  True]), array([False,  True]))
    """
    import numpy as np

    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"`--where` must be such as 'return>=30' or 'terminated': got {text!r}.")
    refusal, name, sign, value = found.groups()
    if name not in table.columns:
        raise ValueError(f"`--where` names the column {name!r}: the columns are {table.columns}.")
    column = table[name]
    if (sign is None) != (column.dtype == np.bool_) or (refusal and sign) or column.ndim != 1:
        raise ValueError(
            f"`--where` must compare a column of numbers or text, or name one of booleans: got {text!r}."
        )
    if sign is None:
        return ~column if refusal else column
    try:
        return _COMPARE[sign](column, _value(value, column))
    except ValueError:
        raise ValueError(f"`--where` must compare {name!r} with a number: got {value!r}.") from None


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def _value(text: str, column: Any) -> Any:
    """Reads what a column is compared with."""
    if column.dtype.kind in "US":
        quoted = text.strip("'\"")
        return quoted.encode() if column.dtype.kind == "S" else quoted
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _all(masks: "list[np.ndarray[Any, Any]]") -> Any:
    import numpy as np

    return np.logical_and.reduce(masks)


def _fractions(text: str, count: int) -> list[float]:
    if not text:
        return [1 / count] * count
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"`--fractions` must be numbers such as 0.9,0.1: got {text!r}.") from None
    if len(shares) != count:
        raise ValueError(f"`--fractions` must have one number for each of {count} vaults: got {text!r}.")
    return shares


def _print(paths: list[Path], *, json: bool) -> None:
    """Shows the vaults that were made."""
    from . import facts

    rows = [{n: v for n, v in facts.vault_line(path).items() if n != "problem"} for path in paths]
    if json:
        console.print_json(rows if len(rows) > 1 else rows[0])
        return
    console.print_rows([row | {"bytes": console.show_bytes(row["bytes"])} for row in rows])
