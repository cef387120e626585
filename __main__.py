"""The command line's door: a command reads its arguments, calls the library, shows the answer.

Exit codes: 0 all is well; 1 `verify` found a problem, `repair` or `convert --skip-bad` could not keep
everything, `describe --check` found something missing; 2 it could not be done, said in one line; 70 a
fault of ours; 130 Ctrl-C; 141 the reader of the output left.
"""

import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from . import __version__
from .datasets import (
    console,
    converting,
    describing,
    fetching,
    keeping,
    listing,
    looking,
    publishing,
    viewing,
)
from .datasets.arguments import Json
from .datasets.command_group import CommandGroup

BAD_INPUT = 2
FAULT = 70  # sysexits.h: an internal error

app = typer.Typer(
    name="strongbax",
    help="Durable replay for JAX: vaults of experience, and offline datasets made of them.",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time, and a pipe reads it too
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing.add_to(app)
looking.add_to(app)
converting.add_to(app)
keeping.add_to(app)
fetching.add_to(app)
describing.add_to(app)
publishing.add_to(app)
viewing.add_to(app)


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
            traceback.print_exception(error)
            raise SystemExit(FAULT) from error
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


if __name__ == "__main__":
    main()
