"""A process that writes one part of a vault, as an actor does: `parts_child.py PATH PART EPISODES`.

It says `ready` when it has the part and `done N` for each episode that is committed.
"""

import sys

import numpy as np
from strongbax.vault import Episode, LockedError, Vault


def episode(part, number):
    """What part and number say, so that a reader can check every step."""
    length = 3 + number % 5
    steps = {
        "observation": np.full((length, 2), 1000 * part + number, np.float32),
        "reward": np.arange(length, dtype=np.float32),
        "terminated": np.arange(length) == length - 1,
    }
    return Episode(steps)


def main(path, part, count):
    try:
        vault = Vault.open(path, mode="a", part=f"actor-{part}")
    except LockedError:
        print("locked", flush=True)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(vault.num_episodes, count):
        vault.append(episode(part, number))
        print(f"done {number + 1}", flush=True)
    vault.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
