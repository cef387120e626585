"""Makes the files' writers beside the tests importable, and finds the samples where they are."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

SAMPLES = Path(__file__).parents[2] / "../shared/samples/d4rl"


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: what survives a power cut is for the vault's own tests."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of recorded D4RL files."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    return SAMPLES


@pytest.fixture(scope="session")
def golden(samples: Path) -> dict[str, Any]:
    """What D4RL's own functions return for the samples."""
    return json.loads((samples / "golden.json").read_text())
