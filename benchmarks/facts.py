"""What surrounds the flushes: making a vault, opening it closed or as a crash leaves it, closing it.

The folder of a running vault, copied, is what a crash at that moment would leave: steps in shards, and the
rest in the log, which opening reads.
"""

import shutil
from pathlib import Path

from strongbax.vault import Vault

from .data import HOPPER, Steps, one_step
from .disk import settle
from .measure import Series, Work, seconds
from .peers import OURS

_FLUSHES = 250  # one block is sealed, most of a second stands in the log


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures each of them several times."""
    del who
    repetitions, batches = (3 if quick else 11), HOPPER.batches(_FLUSHES)
    found: dict[str, list[list[float]]] = {}
    for repetition in range(repetitions):
        folder = directory / f"facts-{repetition}"
        folder.mkdir(parents=True)
        settle()
        for what, value in _once(folder, batches).items():
            found.setdefault(what, []).append([1e3 * value])
        shutil.rmtree(folder)
    return [Work(what, "ms", {OURS: Series(values)}, OURS) for what, values in found.items()]


def _once(folder: Path, batches: list[Steps]) -> dict[str, float]:
    closed, crashed = folder / "closed", folder / "crashed"
    vaults: list[Vault] = []
    create = seconds(lambda: vaults.append(Vault.create(closed, steps=one_step(batches[0]))))
    vault = vaults.pop()
    for batch in batches:
        vault.extend({name: leaf[0] for name, leaf in batch.items()})
    shutil.copytree(closed, crashed)
    log = sum(file.stat().st_size for file in (crashed / "log").iterdir())
    close = seconds(vault.close)
    return {
        "create a vault": create,
        f"close it, {_FLUSHES:,} flushes in": close,
        "open it, closed": seconds(lambda: Vault.open(closed).close()),
        f"open it as a crash leaves it, {log / 1e6:.0f} MB of log": seconds(
            lambda: Vault.open(crashed).close()
        ),
        "open that to write": seconds(lambda: vaults.append(Vault.open(crashed, mode="a"))),
        "close that": seconds(vaults.pop().close),
    }
