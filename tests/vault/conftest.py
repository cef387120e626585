"""Makes the models beside the tests importable, and gives tests a folder in memory."""

import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def tmp_path() -> Generator[Path]:
    """A folder of the test's own."""
    from vault_folder import make_folder

    folder = make_folder()
    yield folder
    # A writer that a test forgot may still seal: what it adds meanwhile goes with the next round.
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
