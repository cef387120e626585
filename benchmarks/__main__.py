"""Runs the benchmarks and prints one table: `python -m benchmarks`, or a part of them with `--only`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from . import (
    buffers,
    converting,
    disk,
    endurance,
    episode_windows,
    facts,
    flush,
    frames,
    growth,
    machine,
    orders,
    outside_jit,
    prioritised,
    read,
    resume,
    table,
    windows,
    writers,
)
from .measure import Work
from .peers import FLASHBAX, installed

Measure = Callable[..., list[Work]]
FAMILIES: dict[str, tuple[Measure, ...]] = {
    "flush": (flush.measure, facts.measure),
    "bytes": (endurance.measure, frames.measure),
    "read": (read.measure, windows.measure),
    "resume": (resume.measure,),
    "buffers": (buffers.measure, orders.measure, prioritised.measure),
    "prioritised": (prioritised.measure,),
    "episodes": (episode_windows.measure,),
    "calls": (outside_jit.measure,),
    "growth": (growth.measure,),
    "writers": (writers.measure,),
    "converters": (converting.measure,),
}
_ALL = [family for family in FAMILIES if family != "prioritised"]  # which `buffers` has within it


def main() -> None:
    """Measures what was asked for and prints one table."""
    options = _options()
    console, who = Console(width=160), installed()
    if FLASHBAX not in who:
        console.print("Flashbax is passed over: `pip install -e .\\[bench]` brings it.")
    works: list[Work] = []
    with disk.scratch(options.dir) as directory:
        about = machine.describe(directory)
        for family in options.only or _ALL:
            for measure in FAMILIES[family]:
                console.print(f"... {measure.__module__}", style="dim")
                works += measure(directory, who, quick=options.quick)
    for fact, text in about.items():
        console.print(f"{fact}: {text}", highlight=False)
    table.show(works, console)
    if options.markdown:
        options.markdown.write_text(table.markdown(works), "utf-8")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": about, "works": table.plain(works)}, indent=1), "utf-8"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(FAMILIES), help="a family of rows; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions of little work: a look, no figures"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there too")
    parser.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="where to write; by default `build` in the checkout"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
