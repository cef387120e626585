"""Makes the models beside the tests importable, and gives tests a folder in memory and a bucket."""

import re
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def endpoint() -> Generator[str]:
    """An S3 server with the bucket `tests`."""
    from object_servers import s3_server

    with s3_server("tests") as address:
        yield address


@pytest.fixture
def s3(endpoint: str, request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """The URL of a folder of the test's own, and how to reach it."""
    name = re.sub(r"\W+", "-", request.node.name)
    return f"s3://tests/{name}", {"endpoint": endpoint}


@pytest.fixture(scope="module")
def made() -> Generator[dict[str, tuple[Path, Any]]]:
    """Vaults to damage a copy of, each with what it holds."""
    from vault_folder import make_folder
    from vault_repairs import make_vaults

    folder = make_folder()
    yield make_vaults(folder)
    shutil.rmtree(folder)


@pytest.fixture
def case(made: dict[str, tuple[Path, Any]], tmp_path: Path) -> Callable[[str], tuple[Path, Any]]:
    """Gives a copy of such a vault, by its name, and what it holds."""
    from vault_damage import copy

    def give(name: str) -> tuple[Path, Any]:
        source, contents = made[name]
        return copy(source, tmp_path / "a"), contents

    return give
