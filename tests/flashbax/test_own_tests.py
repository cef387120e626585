"""Flashbax's own tests, unchanged, pass on our modules."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOUND = importlib.util.find_spec("flashbax")

# What Flashbax's own configuration says, without the files that it is not about.
CONFIGURATION = """
[pytest]
filterwarnings =
    error
    ignore:Setting period greater than sample_sequence_length:UserWarning
python_files = *_test.py
"""
# Some of each kind, one case of a grid, and all that is excluded.
SAMPLE = (
    "(sum_tree and 256) or 7] or human_case or (flat and adjust_priorities) or leading_axis"
    " or test_sample_with_period or (prioritised and broken and 16-5-13-3-4)"
    " or (vault and not extend)"
)

PYTEST = ("-q", "-p", "alias_plugin", "-p", "no:cacheprovider", "--import-mode=importlib")

pytestmark = pytest.mark.skipif(FOUND is None, reason="needs flashbax, of the extra `test`")


def own_tests(folder, choice, *options):
    """Runs the tests chosen, copied out of the wheel, in a process of their own; returns the summary."""
    wheel = Path(FOUND.origin).parent
    for name in ("conftest.py", "utils_test.py"):
        shutil.copy(wheel / name, folder / name)
    (folder / "buffers").mkdir()
    (folder / "vault").mkdir()
    for path in [wheel / "buffers" / "conftest.py", *wheel.glob("*/*_test.py")]:
        shutil.copy(path, folder / path.relative_to(wheel))
    (folder / "pytest.ini").write_text(CONFIGURATION)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PYTEST, "-k", choice, *options, str(folder)],
        env={**os.environ, "PYTHONPATH": str(HERE), "JAX_THREEFRY_PARTITIONABLE": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def contrary():
    """The tests that are expected to fail, as the plugin lists them; importing it would install the alias."""
    return re.findall(r'^    "(\w+\.py::.+?)":', (HERE / "alias_plugin.py").read_text(), re.MULTILINE)


def counts(said):
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|xfailed)", said)}


def test_a_sample_of_its_tests_passes(tmp_path):
    """Of each kind some pass on our modules, and what is excluded fails as it is said to."""
    said = counts(own_tests(tmp_path, SAMPLE))
    assert said == {"passed": 15, "xfailed": len(contrary())}


@pytest.mark.heavy
def test_all_its_tests_pass(tmp_path):
    """All pass on our modules, both grids in full, but for those excluded: an hour on one core."""
    said = counts(own_tests(tmp_path, "", "-n", os.environ.get("XDIST", "2")))
    assert said == {"passed": 812, "xfailed": len(contrary())}


def test_each_excluded_test_is_named_with_its_reason():
    """The page for those who come from Flashbax says which of its tests we do not pass."""
    page = (ROOT / "docs" / "drop-in.md").read_text("utf-8")
    assert len(contrary()) == 5
    for name in contrary():
        assert f"`{name}`" in page
