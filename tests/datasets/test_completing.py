"""A shell is told what may follow, and only what may."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from strongbax.converters.exporting import WRITERS
from strongbax.converters.formats import FORMATS
from strongbax.datasets import completing
from strongbax.vault.codecs import NAMES


def make_vault(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "zarr.json").write_text('{"attributes": {"strongbax": {}}}')


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with vaults at several depths, and a cache with one dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRONGBAX_DATASETS_PATH", str(tmp_path / ".cache"))
    for name in ("toy.vault", "runs/a.vault", "runs/deep/b.vault", ".hidden/c.vault", "toy.vault/steps"):
        make_vault(tmp_path / name) if name != "toy.vault/steps" else (tmp_path / name).mkdir()
    make_vault(tmp_path / ".cache/D4RL/hopper/medium-v2")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_names_of_formats_are_the_converters():
    """The formats and codecs that are offered are those that there are."""
    assert tuple(form.name for form in FORMATS) == completing.READ
    assert tuple(writer.name for writer in WRITERS) == completing.WRITTEN
    assert sorted(NAMES) == sorted(completing.CODECS)


def test_vaults_are_found_nearest_first(here):
    """Vaults at and below what is typed are offered, as it is typed; hidden folders only when asked for."""
    assert completing.vaults("") == ["toy.vault", "runs/a.vault", "runs/deep/b.vault"]
    assert completing.vaults("ru") == ["runs/a.vault", "runs/deep/b.vault"]
    assert completing.vaults("runs/d") == ["runs/deep/b.vault"]
    assert completing.vaults("./t") == ["./toy.vault"]
    assert completing.vaults(".hid") == [".hidden/c.vault"]
    assert completing.vaults(f"{here}/to") == [f"{here}/toy.vault"]
    assert completing.vaults("no/such/place") == []


def test_a_home_stays_as_it_is_typed(here, monkeypatch):
    """`~/` is looked into and stays `~/`."""
    monkeypatch.setenv("HOME", str(here))
    assert completing.vaults("~/to") == ["~/toy.vault"]


def test_search_ends(here, monkeypatch):
    """A folder with very many folders is not searched to the end."""
    monkeypatch.setattr(completing, "MOST_FOLDERS", 3)
    for number in range(10):
        (here / f"a{number}").mkdir()
    assert completing.vaults("") == []


def test_fetched_datasets_are_offered(here):
    """Where a vault is wanted, the ids of fetched datasets are offered beside folders."""
    assert completing.vaults_and_datasets("d4") == ["D4RL/hopper/medium-v2"]
    assert completing.anything("")[-1] == "D4RL/hopper/medium-v2"
    assert "minari/mujoco/hopper/expert-v0" in completing.anything("minari/mujoco/ho")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_answered(shell, here):
    """Each shell gets the completions in its own way."""
    line = "strongbax fetch D4RL/hopper/medium-r"
    environment = os.environ | {
        "_STRONGBAX_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    code = "import sys; sys.argv[0] = 'strongbax'; from strongbax.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    found = [word.strip('"') for word in done.stdout.replace("(", " ").replace(")", " ").split()]
    assert {"D4RL/hopper/medium-replay-v0", "D4RL/hopper/medium-replay-v2"} <= {
        word.rstrip("'").strip('"') for word in found
    }
