"""Every example in a docstring runs, under the same strict JAX as the tests.

Modules are imported by their real name. pytest's own `--doctest-modules` would start from the root
`__init__.py` and import everything a second time under the folder's name.
"""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("buffer", "vault", "converters", "datasets")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names() -> list[str]:
    files = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return ["strongbax." + name.removesuffix(".__init__") for name in dotted]


@pytest.mark.parametrize("name", module_names())
def test_examples_run(name, tmp_path, monkeypatch):
    """The examples of the module's docstrings print what they say they print."""
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert results.failed == 0


def test_examples_of_jitted_functions_are_found(tmp_path, monkeypatch):
    """A function under `jax.jit` keeps its examples: they run like any other's."""
    source = '''
import jax

@jax.jit
def double(x):
    """Doubles.

    >>> int(double(2))
    5
    """
    return x + x
'''
    (tmp_path / "jitted_example.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("jitted_example")
    runner = doctest.DocTestRunner(verbose=False)
    reports: list[str] = []
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=reports.append)
    assert runner.summarize(verbose=False).failed == 1
    assert "Expected:\n    5\nGot:\n    4" in "".join(reports)
