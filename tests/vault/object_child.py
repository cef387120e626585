"""A process that appends to a vault on an object store, and says what it was told is committed.

Usage: object_child.py URL STORAGE BLOCK LIMIT NAME. Episode `k` of a writer has values and a length that
follow from its name and `k`; a writer that loses the vault takes it over again.
"""

import json
import os
import sys
from typing import Any

import numpy as np
from strongbax.vault import Episode, LockedError, Vault

STEP = {"value": np.zeros(2, np.int64), "reward": np.float32(0), "terminated": np.bool_(0)}


def episode(name: int, number: int) -> Episode:
    length = 1 + (number * 7 + name) % 23
    value = np.stack([np.full(length, name), np.full(length, number)], axis=1)
    return Episode(
        {
            "value": value.astype(np.int64),
            "reward": np.ones(length, np.float32),
            "terminated": np.arange(length) == length - 1,
        },
        attributes={"writer": name, "number": number},
    )


def say(line: str) -> None:
    """Says something at once, in one piece."""
    os.write(1, f"{line}\n".encode())


def written(vault: Any, name: int) -> int:
    """How many episodes of a writer there are."""
    table = vault.episodes
    return sum(table.attributes(place)["writer"] == name for place in range(len(table)))


def main(url: str, storage: dict[str, Any] | None, block: int, limit: int, name: int) -> None:
    if name < 0:
        Vault.create(url, steps=STEP, block=block, storage=storage).close()
        return
    number = -1
    while True:
        vault = Vault.open(url, mode="a", storage=storage)
        try:
            number = written(vault, name) if number < 0 else max(number, written(vault, name))
            while number < limit:
                vault.append(episode(name, number))
                number += 1
                say(f"acked {number}")
                if number % 13 == 0 and block < 1000:
                    vault.seal()
            vault.close()
        except LockedError:
            say(f"locked {number}")
        else:
            return
        finally:
            vault._flusher.abandon()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:6]))
