"""The console: how facts reach a terminal, a pipe or a script.

What is asked for goes to standard output, as tables or as JSON and nothing else; progress and errors go
to standard error. A table in a terminal folds to its width; in a pipe every row stays on one line.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 400  # columns of a table that no terminal shows: wide enough for one line a row
PROGRESS_PERIOD = 10  # redraws a second

# Called with the number of pieces done and the number of all.
Progress = Callable[[int, int], None]


def standard_output() -> "Console":
    """Returns the console for what was asked for; it folds only where a terminal shows it."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        console.width = PIPE_WIDTH
    return console


def standard_error() -> "Console":
    """Returns the console for progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
