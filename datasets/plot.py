"""A picture of a vault's episodes: returns and lengths in the order the episodes ended."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..vault.errors import MissingExtraError

if TYPE_CHECKING:
    from ..vault import EpisodeTable

WINDOW = 25  # episodes under the moving median: shows a trend, and still follows it
INCHES = (8.0, 6.0)
DOTS_AN_INCH = 120


def plot_episodes(
    table: "EpisodeTable",
    out: Path,
    *,
    title: str = "",
    marks: Mapping[str, int] | None = None,
) -> None:
    """Writes a PNG of the returns and lengths of episodes.

    Args:
      table: of at least one episode. A return with an entry an agent is summed over them.
      out: the file to write.
      title: stands above.
      marks: labels of vertical lines, each before the episode of that number.

    Raises:
      MissingExtraError: if matplotlib is not installed.
      ValueError: if there is no episode.

    Example:
      >>> from strongbax.vault import EpisodeTable
      >>> columns = {"return": np.array([1.0, 3.0]), "length": np.array([10, 30])}
      >>> plot_episodes(EpisodeTable(columns), Path("episodes.png"))
      >>> Path("episodes.png").read_bytes()[1:4]
      b'PNG'
    """
    if not len(table):
        raise ValueError(
            "`table` must have an episode to plot: got none. "
            "An episode is in the table once it has ended; a vault without roles knows no ends."
        )
    figure, (returns, lengths) = _axes(title)
    _draw(returns, table["return"].reshape(len(table), -1).sum(axis=1), "return (sum of rewards)")
    _draw(lengths, table["length"], "length (steps)")
    lengths.set_xlabel("episode (in the order of their ends)")
    for label, place in (marks or {}).items():
        _mark(returns, place, label)
        _mark(lengths, place, None)
    if marks or len(table) >= WINDOW:
        returns.legend(loc="best")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_AN_INCH)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(picture.getvalue())


def _axes(title: str) -> tuple[Any, Any]:
    try:
        # Not pyplot: that would choose a window system and keep the figure for ever.
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "A plot needs matplotlib, which is not installed: `pip install 'strongbax[demo]'`."
        ) from None
    figure = Figure(figsize=INCHES, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(2, 1, sharex=True)


def _draw(axes: Any, values: NDArray[Any], label: str) -> None:
    axes.plot(values, ".", markersize=3, alpha=0.5, color="tab:blue")
    if len(values) >= WINDOW:
        windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
        centres = np.arange(len(windows)) + (WINDOW - 1) / 2
        name = f"median of {WINDOW} episodes"
        axes.plot(centres, np.median(windows, axis=1), color="tab:orange", label=name)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def _mark(axes: Any, place: int, label: str | None) -> None:
    axes.axvline(place - 0.5, color="tab:red", linestyle="--", linewidth=1, label=label)
