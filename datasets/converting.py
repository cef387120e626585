"""The commands between formats: convert brings a dataset into a vault, export writes a vault as one.

A command reads its arguments, calls the library, shows the answer; `add_to` gives them to the command line.
"""

import json as json_texts
from pathlib import Path
from typing import Annotated, Any

import typer

from . import completing, console
from .arguments import Json, Overwrite, Target, VaultPath, open_vault

FormatOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the format, its value as JSON or a plain text; may be given several times.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("convert")(convert)
    app.command("export")(export)


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="File or folder to convert.")],
    target: Target,
    *,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format of SRC; found out if not given.",
            autocompletion=completing.formats_read,
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            min=0,
            help="Steps after which the environment stopped an episode, 0 if it never did; known for D4RL's.",
        ),
    ] = None,
    option: FormatOptions = None,
    overwrite: Overwrite = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out what cannot be read, and say what; then end with 1."),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Processes that convert side by side; the vault is the same."),
    ] = 1,
    rank: Annotated[
        int | None,
        typer.Option(
            metavar="R",
            min=0,
            help="Convert what is rank R's, from 0 on, of --world-size; without it, finish what ranks did.",
        ),
    ] = None,
    world_size: Annotated[
        int | None, typer.Option(metavar="W", min=1, help="How many ranks there are.")
    ] = None,
    json: Json = False,
) -> None:
    """Converts an offline dataset into a vault, and checks the result against the source.

    Killed, it goes on when the same is called again.

    Example: strongbax convert hopper_medium-v2.hdf5 hopper.vault
    """
    from ..converters import convert as convert_dataset
    from . import sheet

    options = parse_options(option or ()) | ({} if horizon is None else {"horizon": horizon})
    common: dict[str, Any] = {"format": format_, "overwrite": overwrite, "skip_bad": skip_bad, **options}
    if rank is not None or world_size is not None:
        _convert_rank(source, target, rank, world_size, common, json=json)
        return
    with console.progress(f"Converting {source.name}") as progress:
        report = convert_dataset(source, target, progress=progress, workers=workers, **common)
    facts = {"source": source} | vars(report)
    console.print_json(facts) if json else sheet.print_conversion(facts)
    if report.skipped:
        raise typer.Exit(1)


def _convert_rank(
    source: Path,
    target: Path,
    rank: int | None,
    world_size: int | None,
    common: dict[str, Any],
    *,
    json: bool,
) -> None:
    """Converts one rank's share, and shows what it did."""
    from ..converters import convert_rank
    from . import sheet

    if rank is None or world_size is None:
        raise ValueError("`--rank` and `--world-size` belong together: give both, or neither to finish.")
    with console.progress(f"Converting {source.name}, rank {rank} of {world_size}") as progress:
        report = convert_rank(source, target, rank=rank, world_size=world_size, progress=progress, **common)
    facts = {"source": source, "target": target} | vars(report)
    console.print_json(facts) if json else sheet.print_rank(facts)


def export(
    path: VaultPath,
    target: Annotated[Path, typer.Argument(metavar="DST", help="File or folder to make.")],
    *,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="Format to write.", autocompletion=completing.formats_written
        ),
    ],
    option: FormatOptions = None,
    json: Json = False,
) -> None:
    """Writes a vault in another format, checks the result, and says what the format cannot hold.

    Example: strongbax export hopper.vault hopper-v0 --format minari
    """
    from ..converters import export as export_vault
    from . import sheet

    options = parse_options(option or ())
    with open_vault(path) as vault, console.progress(f"Exporting {path.name}") as progress:
        report = export_vault(vault, target, format_, progress=progress, **options)
    facts = {"source": path} | vars(report)
    console.print_json(facts) if json else sheet.print_export(facts)


def parse_options(texts: list[str] | tuple[str, ...], option: str = "--option") -> dict[str, Any]:
    """Returns values by name out of `name=value` texts; what is no JSON is a text.

    Args:
      texts: as they were given.
      option: by which they were given; named in errors.

    Raises:
      ValueError: if a text has no `=`, or a name comes twice.

    Example:
      >>> parse_options(["horizon=280", "dataset_id=a/b-v0", 'skip=["infos"]'])
      {'horizon': 280, 'dataset_id': 'a/b-v0', 'skip': ['infos']}
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name.isidentifier():
            raise ValueError(f"`{option}` must be NAME=VALUE: got {text!r}. An example: {option} author=Ada.")
        if name in options:
            raise ValueError(f"`{option}` gives {name!r} twice. Give it once; a list is written as JSON.")
        try:
            options[name] = json_texts.loads(value)
        except ValueError:
            options[name] = value
    return options
