"""Every command, walked from the command line itself: help, example, page, and what it imports to answer."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from strongbax.__main__ import app
from strongbax.datasets.command_group import OTHERS, sections

ROOT = Path(__file__).parents[1]
PAGE = runpy.run_path(str(ROOT / "docs" / "cli_page.py"))
ALL = PAGE["commands"]()
COMMANDS = {name: command for name, command in ALL.items() if not command.hidden}
HEAVY = (
    "jax",
    "numpy",
    "tensorstore",
    "zarr",
    "h5py",
    "rich",
    "strongbax.vault.vault",
    "strongbax.converters",
)
LOOKS = (
    "--help",
    "show --help",
    "--version",
    "complete fetch D4RL/hopper/med",
    "complete show toy",
    "complete export a b --format m",
)


def examples(command) -> list[str]:
    return re.findall(r"^Example: (.+)$", command.help, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_an_example(name, strongbax):
    """`--help` of every command says what it does and shows it in use, and all options are told."""
    code, output, _ = strongbax(*name.split()[1:], "--help")
    assert code == 0
    assert f"Example: {name}" in " ".join(output.split())
    assert all(parameter.help for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_parses(name):
    """The example of a command is one that the command understands; the pages' tests run it."""
    assert examples(COMMANDS[name])
    for line in examples(COMMANDS[name]):
        words = shlex.split(line)
        assert words[: len(name.split())] == name.split()
        COMMANDS[name].make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_on_the_page(name):
    """docs/cli.md has a section for every command, with its example, and a row in the table above."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert f"\n## {name}\n" in page
    assert f"](#{name.replace(' ', '-')})" in page
    assert all(f"\n$ {line}\n" in page for line in examples(COMMANDS[name]))


def test_every_command_has_its_section():
    """The help lists every command in a section that was chosen for it."""
    assert OTHERS not in sections(typer.main.get_command(app).commands)


def test_names_of_minari_are_taken():
    """`download`, `upload` and `combine` do what `fetch`, `publish` and `merge` do; the page says so."""
    for alias, name in {"download": "fetch", "upload": "publish", "combine": "merge"}.items():
        assert ALL[f"strongbax {alias}"].callback is not None
        assert ALL[f"strongbax {alias}"].help == ALL[f"strongbax {name}"].help
        assert f"`strongbax {alias}` is `strongbax {name}`" in PAGE["render"]()


@pytest.mark.parametrize("line", LOOKS)
def test_looks_import_nothing_heavy(line, tmp_path):
    """Help and completion answer without JAX, NumPy, any storage library, or rich."""
    code = (
        "import sys\n"
        "from strongbax.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    first, *words = line.split()
    environment = dict(os.environ)
    if first == "complete":
        environment |= {
            "_STRONGBAX_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["strongbax", *words]),
            "COMP_CWORD": str(len(words)),
        }
        code = code.replace("import sys\n", "import sys\nsys.argv[0] = 'strongbax'\n")
        words = []
    else:
        words = [first, *words]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "[]\n"
    assert done.stdout or line == "complete show toy"
