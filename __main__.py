"""The command line's door: a command reads its arguments, calls the library, shows the answer.

Exit codes: 0 all is well; 1 `verify` found a problem, `repair` could not keep everything, `describe --check`
found something missing; 2 the input is wrong, said in one line.
"""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .datasets import console, converting, describing, fetching, keeping

if TYPE_CHECKING:
    from .vault import Vault
    from .vault.location import Location

PROBLEM = 1
BAD_INPUT = 2

app = typer.Typer(
    name="strongbax",
    help="Durable replay for JAX: vaults of experience, and offline datasets made of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing = typer.Typer(no_args_is_help=True, help="Lists datasets known by name, or local vaults.")
app.add_typer(listing, name="list")
converting.add_to(app)
keeping.add_to(app)
fetching.add_to(app)
describing.add_to(app)

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def _location(text: str) -> "Location":
    """A folder, or a place in an object store, at the endpoint that the environment names."""
    if "://" not in text:
        return Path(text)  # what needs no vault need not import it
    from .vault.location import location_of

    endpoint = os.environ.get("AWS_ENDPOINT_URL") if text.startswith("s3://") else None
    return location_of(text, {"endpoint": endpoint} if endpoint else None)


VaultPath = Annotated[
    Any, typer.Argument(metavar="PATH", parser=_location, help="Folder of a vault, or its URL.")
]


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Args:
      arguments: what follows `strongbax`; None: those of this process.

    Raises:
      SystemExit: always, with the exit code.
    """
    try:
        app(arguments)
    except Exception as error:
        # Imported here, so that a command that goes well need not import the vault.
        from .vault.errors import StrongbaxError

        if not isinstance(error, StrongbaxError | ValueError | OSError):
            raise
        console.print_error(console.explain(error))
        raise SystemExit(BAD_INPUT) from None


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"strongbax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version


@app.command("show")
def show(
    name: Annotated[
        str, typer.Argument(metavar="PATH|ID", help="Folder or URL of a vault, or name of a dataset.")
    ],
    json: Json = False,
) -> None:
    """Shows what a vault holds, or what is known about a dataset.

    Example: strongbax show hopper.vault

    Example: strongbax show D4RL/hopper/medium-v2
    """
    from .datasets import facts, sheet

    path = _location(name)
    if "://" in name or path.exists():
        with _open(path) as vault:
            found = facts.vault_facts(vault, path)
        print_sheet = sheet.print_vault
    else:
        found = facts.dataset_facts(name)
        print_sheet = sheet.print_dataset
    console.print_json(found) if json else print_sheet(found)


@app.command("head")
def head(
    path: VaultPath,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="ROWS", min=1, help="Rows of each table.")
    ] = 5,
    json: Json = False,
) -> None:
    """Shows the first episodes and the first steps of a vault.

    Example: strongbax head hopper.vault -n 3
    """
    from .datasets import facts

    with _open(path) as vault:
        episodes = facts.episode_rows(vault.episodes, count)
        steps = facts.step_rows(vault, count)
        total = (vault.num_episodes, vault.num_steps)
    if json:
        console.print_json({"episodes": episodes, "steps": steps})
        return
    console.print_rows(episodes, f"Episodes: {len(episodes)} of {total[0]:,}")
    console.print_rows(steps, f"Steps of stream 0: {len(steps)} of {total[1]:,}")


@app.command("verify")
def verify(
    path: VaultPath,
    deep: Annotated[
        bool, typer.Option("--deep/--quick", help="Read every byte, or only the metadata.")
    ] = True,
    json: Json = False,
) -> None:
    """Checks every checksum, record, length and episode; ends with 1 if something is wrong.

    Example: strongbax verify hopper.vault
    """
    # Not through `Vault.open`: a vault that cannot be opened any more is a problem to report.
    from .vault.parts import verify_all as verify_vault

    with console.progress(f"Verifying {path.name}") as progress:
        report = verify_vault(path, deep=deep, progress=progress)
    if json:
        console.print_json({"ok": report.ok} | vars(report))
    else:
        console.print_facts(report.checked, "Checked")
        for problem in report.problems:
            console.print_error(problem)
        end = (
            "No problem found." if report.ok else f"{console.plural(len(report.problems), 'problem')} found."
        )
        console.print_line(end)
    if not report.ok:
        raise typer.Exit(PROBLEM)


@app.command("plot")
def plot(
    path: VaultPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="PNG file to write.")],
) -> None:
    """Plots the returns and lengths of a vault's episodes.

    Example: strongbax plot hopper.vault --out hopper.png
    """
    from .datasets.plot import plot_episodes

    with _open(path) as vault:
        plot_episodes(vault.episodes, out, title=path.name)
        console.print_line(f"{out}: {console.plural(vault.num_episodes, 'episode')}")


@app.command("demo")
def demo(
    *,
    directory: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for what the demo makes.")] = Path(
        "demo"
    ),
    environment: Annotated[str, typer.Option(metavar="NAME", help="A Gymnasium id.")] = "CartPole-v1",
    streams: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Environments side by side.")] = 16,
    steps: Annotated[int, typer.Option(metavar="STEPS", min=2, help="Steps a stream.")] = 6400,
    flush_every: Annotated[
        int, typer.Option(metavar="STEPS", min=1, help="Steps a stream between flushes.")
    ] = 64,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of all randomness.")] = 0,
    json: Json = False,
) -> None:
    """Records a training run, kills it half way, goes on, and samples what is there.

    Example: strongbax demo --directory demo
    """
    from .datasets.demo import run_demo
    from .datasets.recording import Plan

    plan = Plan(environment, streams=streams, steps=steps, flush_every=flush_every, seed=seed)
    # With --json the story goes where it does not disturb.
    with redirect_stdout(sys.stderr if json else sys.stdout):
        facts = run_demo(directory, plan)
    if json:
        console.print_json(facts)


@listing.command("remote")
def list_remote(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Only datasets whose names contain this.")
    ] = "",
    json: Json = False,
) -> None:
    """Lists the datasets that are known by name.

    Example: strongbax list remote hopper
    """
    from .datasets.catalogue import entries

    found = [entry for entry in entries() if any(text in name for name in entry.names)]
    if json:
        console.print_json([entry.to_dict() for entry in found])
        return
    rows = [(e.id, console.show_bytes(e.size), e.horizon, e.licence) for e in found]
    console.print_table(("id", "size", "horizon", "licence"), rows)
    console.print_line(console.plural(len(found), "dataset"))


@listing.command("local")
def list_local(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Where to look; not given: STRONGBAX_DATASETS_PATH, or ~/.strongbax/datasets.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Lists the vaults below a folder.

    Example: strongbax list local .
    """
    from .datasets import facts, local

    folder = local.datasets_path() if folder is None else local.existing(folder)
    found = [facts.vault_line(path) for path in local.find_vaults(folder)]
    if json:
        console.print_json(found)
        return
    console.print_rows([row | {"bytes": console.show_bytes(row["bytes"])} for row in found])
    console.print_line(f"{console.plural(len(found), 'vault')} below {folder}")


def _open(path: "Location") -> "Vault":
    from .vault import Vault

    return Vault.open(path)


if __name__ == "__main__":
    main()
