"""The console: how facts reach a terminal, a pipe or a script.

What was asked for goes to standard output, as tables or as JSON and nothing else; progress and
errors go to standard error. In a terminal a table folds to the width; in a pipe a row is one line.
"""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 400  # characters of a row that no terminal shows: wide enough for one line
SHOWN_ITEMS = 6  # of an array in a table; JSON has all

# How the library's messages name what is an option of the command line: `horizon=0` is --horizon 0.
_ARGUMENT = re.compile(r"\b(format|horizon|overwrite)=(\w*)")
_OPTION = re.compile(r"`(format|horizon|overwrite|codec|fractions|offline|flush_every)`(?! of a card)")
_OTHERWISE = {
    "`entries()` lists all of them": "`strongbax list remote` lists all of them",
    "`dst` must": "DST must",
    '`vault.write_card(vault.card | {"licence": …})`': "`strongbax describe PATH --set licence=…`",
    "`table=False`": "`--no-table`",
    "Open it with `Vault.open(path, mode='a')`, choose": "Choose",
}

# Called with how much is done, and how much there is in all.
Progress = Callable[[int, int], None]

# The same, with what goes on before it; what there is in all may be unknown.
Stages = Callable[[str, int, int | None], None]


def output() -> "Console":
    """Returns the console for what was asked for."""
    from rich.console import Console

    fold = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, emoji=False, width=None if fold else PIPE_WIDTH)


def print_json(value: Any) -> None:
    """Writes a value as JSON to standard output, and nothing else.

    Args:
      value: JSON-like; NumPy scalars and arrays become numbers and lists, NaN and infinities null.

    Example:
      >>> import numpy as np
      >>> print_json({"return": float("nan"), "steps": np.int64(3), "ends": np.array([True])})
      {
        "return": null,
        "steps": 3,
        "ends": [
          true
        ]
      }
    """
    sys.stdout.write(json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def print_error(message: str) -> None:
    """Writes one line `Error: ...` to standard error."""
    from rich.console import Console
    from rich.text import Text

    line = " ".join(message.split())
    Console(stderr=True).print(Text.assemble(("Error: ", "bold red"), line), soft_wrap=True)


def explain(error: Exception) -> str:
    """Returns what an error says, in the command line's words.

    Example:
      >>> explain(ValueError("Pass `horizon=0`, or overwrite=True to replace it."))
      'Pass `--horizon 0`, or --overwrite to replace it.'
      >>> explain(ValueError("`codec` must be one of ['none', 'zstd']: got 'zip'."))
      "`--codec` must be one of ['none', 'zstd']: got 'zip'."
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {str(error.filename)!r}."
    text = str(error)
    for ours, theirs in _OTHERWISE.items():
        text = text.replace(ours, theirs)
    text = _OPTION.sub(lambda option: f"`--{option[1].replace('_', '-')}`", text)
    return _ARGUMENT.sub(_as_option, text) or type(error).__name__


def _as_option(argument: re.Match[str]) -> str:
    name, value = argument.groups()
    return f"--{name}" if value in ("", "True") else f"--{name} {value}"


def print_facts(facts: Mapping[str, Any], title: str | None = None) -> None:
    """Writes names and values, one pair a line.

    Args:
      facts: values are shown by `show`; what is empty is left out, what is nested is one pair
        each, named by its path.
      title: a line above.
    """
    rows = [(name.replace("_", " "), show(value)) for name, value in _flat(facts)]
    print_table(("", ""), [row for row in rows if row[1]], title=title, headed=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    headed: bool = True,
) -> None:
    """Writes a table; numbers stand on the right.

    Args:
      columns: headings.
      rows: one value a column, shown by `show`.
      title: a line above.
      headed: whether the headings are written.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    body = [tuple(row) for row in rows]
    table = Table(box=SIMPLE_HEAD if headed else None, show_header=headed, show_edge=False, pad_edge=False)
    for place, name in enumerate(columns):
        numbers = bool(body) and all(_is_number(row[place]) for row in body)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(show(value)) for value in row))
    console = output()
    heading = [Text(f"\n{title}", style="bold")] if title else []
    if console.is_terminal:
        console.print(*heading, table, sep="\n")
        return
    # Not by rich: where the reader of a pipe has left, it would end the process in its own way.
    with console.capture() as text:
        console.print(*heading, table, sep="\n")
    sys.stdout.write("".join(line.rstrip() + "\n" for line in text.get().splitlines()))


def print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Writes rows of the same names as a table; columns in which nothing stands are left out."""
    names = [name for name in (rows[0] if rows else ()) if any(show(row[name]) for row in rows)]
    headings = [name.replace("_", " ") for name in names]
    print_table(headings, ([row[name] for name in names] for row in rows), title=title)


def plural(count: int, noun: str) -> str:
    """Returns a number and its noun.

    Example:
      >>> plural(1, "vault"), plural(2000, "vault")
      ('1 vault', '2,000 vaults')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def print_line(line: str = "") -> None:
    """Writes a line as it is."""
    sys.stdout.write(f"{line}\n")


@contextmanager
def progress(label: str) -> Generator[Progress]:
    """Shows a bar on standard error while something goes on; nothing where that is no terminal.

    Args:
      label: what goes on, as in `Converting door.hdf5`.

    Yields:
      A function of (done, all), in any unit.
    """
    with stages(label) as tell:
        yield lambda done, total: tell(label, done, total)


@contextmanager
def stages(label: str) -> Generator[Stages]:
    """Shows a bar on standard error for things that go on one after the other.

    Args:
      label: of the first one, until it begins.

    Yields:
      A function of (label, done, all), in any unit; all is None where it is not known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Bars(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        task, shown = bars.add_task(label, total=None), [label]

        def tell(what: str, done: int, total: int | None) -> None:
            if what != shown[0]:  # a new bar: its rate is another one's
                shown[0] = what
                bars.reset(task, description=what)
            bars.update(task, completed=done, total=total)

        yield tell


def show(value: Any) -> str:
    """Returns a value as a person reads it: few digits, yes and no, nothing for None.

    Example:
      >>> show(1234567), show(0.123456), show(True), show(None), show([1, 2])
      ('1,234,567', '0.1235', 'yes', '', '1 2')
      >>> show({"env": "Hopper"}), show(list(range(39)))
      ('env: Hopper', '0 1 2 3 4 5 ... (39)')
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return ", ".join(f"{name}: {show(item)}" for name, item in items)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else _show_float(value)
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        shown = " ".join(show(item) for item in items[:SHOWN_ITEMS])
        return shown if len(items) <= SHOWN_ITEMS else f"{shown} ... ({len(items)})"
    return str(value)


def _show_float(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def show_bytes(size: int | None) -> str:
    """Returns a size in bytes as a person reads it.

    Example:
      >>> show_bytes(512), show_bytes(1_500_000), show_bytes(None)
      ('512 B', '1.5 MB', 'unknown')
    """
    if size is None:
        return "unknown"
    power = min(4, max(0, int(math.log10(max(size, 1)) // 3)))
    unit = ("B", "kB", "MB", "GB", "TB")[power]
    return f"{size / 1000**power:.1f} {unit}" if power else f"{size} B"


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it: arrays as lists, NaN and infinities as None."""
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Generator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
