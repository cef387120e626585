"""The self-check: source and vault, both read anew, must amount to the same.

The source is read in other blocks than before, so that a fault in the reading shows too, and by a
thread of its own; the vault is read from what its closing left on disk.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..vault.attachments import attached
from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
from ..vault.errors import CorruptionError
from ..vault.vault import Vault
from .source import Block, Source
from .tally import Tally, differences, tally_of

NEXT = "next_observation"


def check(path: Path, source: Source, rows: int, progress: Callable[[int], None]) -> Tally:
    """Compares a vault with its source, reading every row of both.

    Args:
      path: of the vault, closed.
      source: that it was made of.
      rows: steps that the source was read by; the vault is read by as many.
      progress: called with the number of steps checked so far.

    Returns:
      What both amount to.

    Raises:
      CorruptionError: if they differ, saying in what.
    """
    with ThreadPoolExecutor(1, "strongbax-check") as pool:
        other = rows - rows // 3  # not the blocks of before, and no more memory than they took
        expected = pool.submit(lambda: tally_of(source.blocks(other)))
        found = tally_of(_blocks(path, source, rows, progress))
        tally = expected.result()
    # The table's own returns, not sums made here: they are what users read.
    with Vault.open(path) as vault:
        if vault.roles.reward is not None:
            found = replace(found, returns=vault.episodes["return"])
    wrong = differences(tally, found) + _different_arrays(path, source)
    if wrong:
        raise CorruptionError(
            f"The vault is not what the source is: {'; '.join(wrong)}. Nothing was kept. If the "
            "source was not changed meanwhile, disk or memory fail, or this is a bug to report."
        )
    return tally


def _different_arrays(path: Path, source: Source) -> list[str]:
    def bits(array: NpArray | None) -> object:
        return None if array is None else (array.dtype, array.shape, array.tobytes())

    found = attached(path)
    arrays = source.arrays.items()
    return [f"attached array `{name}`" for name, array in arrays if bits(found.get(name)) != bits(array)]


def _blocks(path: Path, source: Source, rows: int, progress: Callable[[int], None]) -> Iterator[Block]:
    with Vault.open(path) as vault:
        table, length = vault.episodes, vault.length
        finals = {name: vault.finals(name) for name in source.finals}
    stops = table["start"] + table["length"]
    for start in range(0, length, rows):
        stop = min(start + rows, length)
        low, high = np.searchsorted(stops, [start + 1, stop + 1])
        ends = Ends(
            stops[low:high] - start,
            table["terminated"][low:high],
            table["truncated"][low:high],
            {name: values[low:high] for name, values in finals.items()} if finals else None,
            table["final_known"][low:high] if finals else None,
            {name: table[name][low:high] for name in source.columns},
            [table.attributes(row) for row in range(low, high)],
        )
        # Opened for one block: what a vault has mapped stays mapped while it is open.
        with Vault.open(path) as vault:
            steps = {n: v[0] for n, v in vault.read_numpy(start, stop, leaves=vault.leaves).items()}
            derives = NEXT in source.derived
            yield Block(steps, ends, {NEXT: _next(vault, steps, ends, stop)} if derives else {})
        progress(stop)


def _next(vault: Vault, steps: dict[str, NpArray], ends: Ends, stop: int) -> NpArray:
    """Returns next observations `[n, ...]`: the next rows, and final rows where episodes end."""
    rows = steps["observation"]
    following = np.empty_like(rows)
    following[:-1] = rows[1:]
    if stop < vault.length:
        following[-1] = vault.read_numpy(stop, stop + 1, leaves=["observation"])["observation"][0, 0]
    if ends.final is not None:
        following[ends.stop - 1] = ends.final["observation"]
    return following
