"""The page that is committed is the one that its sources make."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from strongbax.datasets.pages import BUILT, page

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "datasets" / "page"
INSTALLED = ROOT / ".venv" / "page" / "node_modules"


def test_page_is_not_older_than_its_sources():
    """Whoever changes a source and forgets `make page` is told."""
    digest = hashlib.sha256()
    files = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"]
    files += [f"src/{path.name}" for path in (SOURCES / "src").iterdir()]
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    told = re.search(rb"sources ([0-9a-f]{64})", page())[1].decode()
    assert told == digest.hexdigest(), "The page is older than its sources: run `make page`."


def test_page_is_small():
    """The whole page, codecs and licences included, is far below what a picture weighs."""
    assert BUILT.stat().st_size < 300_000


@pytest.mark.parametrize("name", ["zarrita", "@zarrita/storage", "fzstd", "uplot"])
def test_licences_are_in_the_page(name):
    """Each package that is bundled is named with its version and licence, as it asks for."""
    assert re.search(rf"{name} \d+\.\d+\.\d+ \(MIT\)", page().decode())


@pytest.mark.heavy
def test_page_is_what_the_sources_build(tmp_path):
    """Built again of its sources, the page has the same bytes."""
    if shutil.which("node") is None or not INSTALLED.is_dir():
        pytest.skip("node or the page's packages are missing: run `make page`")
    shutil.copytree(SOURCES, tmp_path / "page")
    (tmp_path / "page" / "node_modules").symlink_to(INSTALLED)
    (tmp_path / "page" / "index.html").unlink()
    subprocess.run(["node", "build.mjs"], cwd=tmp_path / "page", check=True, capture_output=True)
    assert (tmp_path / "page" / "index.html").read_bytes() == page()
