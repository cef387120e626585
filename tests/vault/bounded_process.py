"""Draws batches from a vault in a process that may not hold it in memory.

Arguments: vault, MiB that may be taken beside what is taken after a first batch, batches, and how:
`numpy`, `device`, or `whole`, to read it all at once.

What is limited is RLIMIT_DATA: what the process itself allocates, thread stacks included. Maps of the vault's
files are not counted: their pages are the system's, which drops them when it needs room. RLIMIT_AS would
count them, and so forbid to map what is never read.
"""

import resource
import sys
from pathlib import Path

from strongbax.vault import Vault


def taken():
    """Bytes that RLIMIT_DATA counts."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line]
    return int(line.split()[1]) << 10


def main(path, slack, batches, how):
    vault = Vault.open(path)
    loader = vault.loader(64, 32, short="pad", weights="return", next_observation=True)
    _ = loader.batch_numpy(0) if how == "numpy" else loader.batch(0)  # JAX and TensorStore have begun
    limit = taken() + (int(slack) << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if how == "whole":
        vault.read_numpy()
        return
    total = 0
    for batch in loader.numpy() if how == "numpy" else loader:
        assert batch.mask.any()
        total += sum(leaf.nbytes for leaf in batch.experience.values())
        if loader.step == int(batches):
            break
    assert total > vault.length * vault.schema.step_bytes, "less was drawn than the vault holds"


if __name__ == "__main__":
    main(*sys.argv[1:])
