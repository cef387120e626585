"""The self-check: the vault, read back from disk, must amount to what the source amounted to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
from ..vault.errors import CorruptionError
from .source import Block
from .tally import Count, Tally, differences

if TYPE_CHECKING:
    from ..vault.vault import Vault


def check(
    vault: "Vault",
    source: Tally,
    rows: int,
    progress: Callable[[int], None],
) -> None:
    """Compares a vault with its source's tally, reading every byte of the vault.

    Args:
      vault: opened after it was closed, so that what is read is what is on disk.
      source: the tally of the source.
      rows: steps to read at a time.
      progress: called with the number of steps checked so far.

    Raises:
      CorruptionError: if they differ, saying where.
    """
    count = Count()
    done = 0
    for block in _blocks(vault, source, rows):
        count.add(block)
        done += block.num_steps
        progress(done)
    # The table's own returns, not sums made here: they are what users read.
    found = replace(count.tally(), returns=vault.episodes["return"])
    wrong = differences(source, found)
    if wrong:
        raise CorruptionError(
            f"The vault is not what the source was: {'; '.join(wrong)}. Nothing was kept. If it "
            "happens again, the disk or the memory is failing, or this is a bug to report."
        )


def _blocks(vault: "Vault", source: Tally, rows: int) -> Iterator[Block]:
    table = vault.episodes
    finals = {name: vault.finals(name) for name in source.finals}
    stops = table["start"] + table["length"]
    for start in range(0, vault.length, rows):
        stop = min(start + rows, vault.length)
        steps = {n: v[0] for n, v in vault.read_numpy(start, stop, leaves=vault.leaves).items()}
        low, high = np.searchsorted(stops, [start + 1, stop + 1])
        ends = Ends(
            stops[low:high] - start,
            table["terminated"][low:high],
            table["truncated"][low:high],
            {name: values[low:high] for name, values in finals.items()},
        )
        derived: dict[str, NpArray] = {}
        if "next_observation" in source.leaves and "next_observation" not in vault.leaves:
            derived["next_observation"] = _next_observation(vault, steps, ends, stop)
        yield Block(steps, ends, derived)


def _next_observation(vault: "Vault", steps: dict[str, NpArray], ends: Ends, stop: int) -> NpArray:
    """Returns `[n, ...]`: the next row, and the final row where an episode ends."""
    rows = steps["observation"]
    following = np.empty_like(rows)
    following[:-1] = rows[1:]
    if stop < vault.length:
        following[-1] = vault.read_numpy(stop, stop + 1, leaves=["observation"])["observation"][
            0, 0
        ]
    if ends.final is not None:
        following[ends.stop - 1] = ends.final["observation"]
    return following
