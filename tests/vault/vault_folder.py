"""A folder in memory where the machine has one: the tests make thousands of syncs and test none of them."""

import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")


def make_folder() -> Path:
    """Makes a folder that the caller removes."""
    return Path(tempfile.mkdtemp(prefix="strongbax-", dir=MEMORY if MEMORY.is_dir() else None))
