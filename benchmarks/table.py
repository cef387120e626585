"""The table of a run: a row a contestant, medians with their spread, ratios beside the targets."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .measure import Target, Work

COLUMNS = ("work", "who", "median", "p10 to p90", "ours beside it", "target")


def show(works: Iterable[Work], console: Console) -> None:
    """Prints the table."""
    table = Table(*COLUMNS)
    for work in works:
        for name in work.series:
            table.add_row(*cells(work, name))
        table.add_section()
    console.print(table)


def markdown(works: Iterable[Work]) -> str:
    """Gives the table for a page of the docs."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS)]
    rows += [tuple(cells(work, name)) for work in works for name in work.series]
    return "".join("| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |\n" for row in rows)


def cells(work: Work, name: str) -> list[str]:
    """Gives a row's texts."""
    series, first = work.series[name], name == next(iter(work.series))
    target = next((t for t in work.targets if t.peer == (None if name == work.ours else name)), None)
    title = f"{work.name}\n({work.note})" if first and work.note else work.name if first else ""
    several = sum(map(len, series.repetitions)) > 1
    spread = f"{_number(series.quantile(0.1))} to {_number(series.quantile(0.9))}" if several else ""
    return [
        title,
        name,
        f"{_number(series.quantile(0.5))} {work.unit}",
        spread,
        *_verdict(work, name, target),
    ]


def verdict(work: Work, name: str, target: Target | None) -> tuple[np.ndarray, bool | None]:
    """Gives the ratios that the target speaks of, and whether it is met."""
    if name == work.ours:
        values = work.series[name].medians
        met = None if target is None else bool(np.median(values) <= (target.at_most or 0))
        return values, met
    ratio = work.ratio(name)
    if target is None:
        return ratio, None
    if target.faster is not None:
        return 1 / ratio, bool(np.median(1 / ratio) >= target.faster)
    return ratio, bool(np.median(ratio) <= (target.at_most or 0))


def _verdict(work: Work, name: str, target: Target | None) -> list[str]:
    values, met = verdict(work, name, target)
    word = "" if met is None else "met" if met else "MISSED"
    if name == work.ours:
        return ["", f"≤ {target.at_most} {work.unit} {word}" if target else ""]
    spread = f"({_number(values.min())} to {_number(values.max())})" if len(values) > 1 else ""
    if target is None:
        return [f"{_number(np.median(values))}x {spread}", ""]
    if target.faster is not None:
        return [f"{_number(np.median(values))}x faster {spread}", f"≥ {target.faster:g}x {word}"]
    return [f"{_number(np.median(values))}x {spread}", f"≤ {target.at_most:g}x {word}"]


def plain(works: Iterable[Work]) -> list[dict[str, Any]]:
    """Gives the figures as JSON, every value kept."""
    return [
        {
            "work": work.name,
            "unit": work.unit,
            "note": work.note,
            "values": {name: [list(v) for v in series.repetitions] for name, series in work.series.items()},
            "targets": [vars(target) for target in work.targets],
        }
        for work in works
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
