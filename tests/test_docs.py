"""The code in README and docs runs, and the command line's page says what the commands say.

On a page the blocks run in their order, in one folder. A `python` block is executed; of a `console`
block the lines `$ strongbax ...` are. A block that cannot run says why, in `<!-- not run: why -->`
on the line before it.
"""

import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_ELSEWHERE = ("resume.py",)  # in tests/vault/test_killed_run.py, again and again
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name not in RUN_ELSEWHERE]
FENCE = re.compile(
    r"^(?P<skip><!-- not run: .+ -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            match["language"],
            match["code"],
            text[: match.start("code")].count("\n"),
            match["skip"] is None,
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_on_the_page_runs(page, tmp_path, monkeypatch, strongbax):
    """Whoever types what the page shows gets no error."""
    monkeypatch.chdir(tmp_path)
    write_d4rl_file(tmp_path / "hopper_medium-v2.hdf5")
    scope = {"__name__": "__page__"}
    for block in blocks(page):
        if not block.runs:
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, str(page), "exec"), scope)
        if block.language == "console":
            for line in re.findall(r"^\$ strongbax (.*)$", block.code, re.MULTILINE):
                code, _, error = strongbax(*shlex.split(line))
                assert code == 0, f"{page}: strongbax {line}: {error}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_runs(example, tmp_path, monkeypatch, strongbax, capfd):
    """An example runs as its first lines say."""
    monkeypatch.chdir(tmp_path)
    write_d4rl_file(tmp_path / "hopper_medium-v2.hdf5")
    if example.name == "offline.py":
        assert strongbax("convert", "hopper_medium-v2.hdf5", "example.vault")[0] == 0
    arguments = ["20"] if example.name == "cartpole.py" else ["example.vault"]
    monkeypatch.setattr("sys.argv", [example.name, *arguments])
    runpy.run_path(str(example), run_name="__main__")
    assert capfd.readouterr().out


def test_reader_finds_blocks(tmp_path):
    """Blocks are found with their language, place, and whether they are to run."""
    page = tmp_path / "page.md"
    page.write_text("# T\n\n```python\na = 1\n```\n\n<!-- not run: slow -->\n```console\n$ b\n```\n")
    assert blocks(page) == [
        Block("python", "a = 1\n", 3, runs=True),
        Block("console", "$ b\n", 8, runs=False),
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
