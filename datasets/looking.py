"""The commands that look at a vault and change nothing: show, head, stats, verify, plot."""

from pathlib import Path
from typing import Annotated

import typer

from . import completing, console
from .arguments import Json, VaultPath, open_vault, place

PROBLEM = 1  # exit code: something is wrong with the vault


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    for command in (show, head, stats, verify, plot):
        app.command(command.__name__)(command)


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PATH|ID",
            help="Folder or URL of a vault, or name of a dataset.",
            autocompletion=completing.anything,
        ),
    ],
    json: Json = False,
) -> None:
    """Shows what a vault holds, or what is known about a dataset.

    Example: strongbax show hopper.vault

    Example: strongbax show D4RL/hopper/medium-v2
    """
    from . import facts, sheet

    if "://" in name or Path(name).exists():
        path = place(name)
        with open_vault(path) as vault:
            found = facts.vault_facts(vault, path)
        print_sheet = sheet.print_vault
    else:
        found = facts.dataset_facts(name)
        print_sheet = sheet.print_dataset
    console.print_json(found) if json else print_sheet(found)


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
    from . import facts

    with open_vault(path) as vault:
        episodes = facts.episode_rows(vault.episodes, count)
        steps = facts.step_rows(vault, count)
        total = (vault.num_episodes, vault.num_steps)
    if json:
        console.print_json({"episodes": episodes, "steps": steps})
        return
    console.print_rows(episodes, f"Episodes: {len(episodes)} of {total[0]:,}")
    console.print_rows(steps, f"Steps of stream 0: {len(steps)} of {total[1]:,}")


def stats(
    path: VaultPath,
    *,
    leaf: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this leaf, by its path; may be given several times."),
    ] = None,
    json: Json = False,
) -> None:
    """Describes the values of each leaf: mean, spread, range and quantiles, from all steps.

    Example: strongbax stats hopper.vault --leaf reward
    """
    from . import facts

    with open_vault(path) as vault, console.progress(f"Reading {path.name}") as progress:
        described = vault.stats(leaves=leaf, progress=progress)
    if json:
        console.print_json({name: found.to_dict() for name, found in described.items()})
    else:
        console.print_rows(facts.stats_rows(described))


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
    from ..vault.parts import verify_all as verify_vault

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


def plot(
    path: VaultPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="PNG file to write.")],
    json: Json = False,
) -> None:
    """Plots the returns and lengths of a vault's episodes.

    Example: strongbax plot hopper.vault --out hopper.png
    """
    from .plot import plot_episodes

    with open_vault(path) as vault:
        plot_episodes(vault.episodes, out, title=path.name)
        episodes = vault.num_episodes
    if json:
        console.print_json({"path": out, "episodes": episodes})
    else:
        console.print_line(f"{out}: {console.plural(episodes, 'episode')}")
