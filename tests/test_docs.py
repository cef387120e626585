"""The code in README and docs runs, and the command line's page says what the commands say.

On a page the blocks run in their order, in one folder. A `python` block is executed, or saved where it has
a title; of a `console` block the lines `$ strongbax ...` and `$ python ...` are run. A block that cannot run
says why, in `<!-- not run: why -->` on the line before it.
"""

import inspect
import pkgutil
import re
import runpy
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import strongbax
from strongbax.vault import errors

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?P<skip><!-- not run: .+ -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    runs: bool
    title: str | None = None


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            match["language"],
            match["code"],
            text[: match.start("code")].count("\n"),
            match["skip"] is None,
            match["title"],
        )
        for match in FENCE.finditer(text)
    ]


def write_d4rl_file(path: Path) -> None:
    """Writes a file with the keys of D4RL's Hopper: two episodes, the second stopped by time."""
    steps, ends = 60, {"terminals": 19, "timeouts": 59}
    flags = {name: np.arange(steps) == end for name, end in ends.items()}
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = generator.normal(size=(steps, 11)).astype(np.float32)
        file["actions"] = generator.uniform(-1, 1, size=(steps, 3)).astype(np.float32)
        file["rewards"] = np.ones(steps, np.float32)
        for name, flag in flags.items():
            file[name] = flag


def run_script(script: str, *arguments: str) -> None:
    """Runs what was saved, as `python script arguments` does, and forgets its modules."""
    before, argv, path = set(sys.modules), sys.argv, sys.path
    sys.argv, sys.path = [script, *arguments], [str(Path.cwd()), *path]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.argv, sys.path = argv, path
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(Path.cwd())):
                del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_on_the_page_runs(page, tmp_path, monkeypatch, strongbax):
    """Whoever types what the page shows gets no error."""
    monkeypatch.chdir(tmp_path)
    write_d4rl_file(tmp_path / "hopper_medium-v2.hdf5")
    scope = {"__name__": "__page__"}
    for block in blocks(page):
        if not block.runs:
            continue
        if block.title:
            (tmp_path / block.title).write_text(block.code, "utf-8")
        elif block.language == "python":
            exec(compile("\n" * block.line + block.code, str(page), "exec"), scope)
        if block.language == "console":
            for program, line in re.findall(r"^\$ (strongbax|python) (.*)$", block.code, re.MULTILINE):
                if program == "python":
                    run_script(*shlex.split(line))
                    continue
                code, _, error = strongbax(*shlex.split(line))
                assert code == 0, f"{page}: strongbax {line}: {error}"


def test_reader_finds_blocks(tmp_path):
    """Blocks are found with their language, place, and whether they are to run."""
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n```python\na = 1\n```\n\n<!-- not run: slow -->\n```console\n$ b\n```\n"
        '```python title="c.py"\n```\n'
    )
    assert blocks(page) == [
        Block("python", "a = 1\n", 3, runs=True),
        Block("console", "$ b\n", 8, runs=False),
        Block("python", "", 11, runs=True, title="c.py"),
    ]


def test_readme_shows_the_two_commands():
    """The README shows how to see it work and how to test it."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_command_line_page_is_current():
    """docs/cli.md is what docs/cli_page.py makes of the commands: run `make docs`."""
    page = runpy.run_path(str(ROOT / "docs" / "cli_page.py"))
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == page["render"]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link of a page is a file of the repository."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_api_pages_have_every_public_name():
    """Each public function, class and exception of the package stands on a page of the API."""
    text = "".join(page.read_text("utf-8") for page in sorted((ROOT / "docs" / "api").glob("*.md")))
    named = set(re.findall(r"^(?:::: |      heading: )(strongbax[.\w]*)", text, re.MULTILINE))
    homes = [strongbax, strongbax.buffer, strongbax.converters, strongbax.vault]
    public = {name: getattr(home, name) for home in homes for name in home.__all__}
    told = {path.rpartition(".")[2] for path in named} | set(vars(errors))
    modules = {name for name, value in public.items() if inspect.ismodule(value)} - {"flashbax_alias"}
    assert set(public) - modules - {"__version__"} <= told


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "api").glob("*.md")), ids=lambda page: page.name)
def test_api_pages_name_what_is_there(page):
    """What a page of the API is made of can be imported by the names that it gives."""
    for path, heading in re.findall(
        r"^::: (\S+)(?:\n    options:\n      heading: (\S+))?", page.read_text(), re.MULTILINE
    ):
        home, _, name = (heading or path).rpartition(".")
        assert getattr(pkgutil.resolve_name(home), name) is pkgutil.resolve_name(path)
