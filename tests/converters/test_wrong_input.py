"""Input that is not what it should be, for every format: one clear error, exit code 2, and nothing left."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spoil import Example
from spoilt_files import EXAMPLES
from strongbax.converters import convert
from strongbax.converters.formats import FORMATS, find_format
from strongbax.vault.vault import Vault

Run = Callable[..., tuple[int, str, str]]

EVERY = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def refused(strongbax: Run, src: Path, *options: str) -> str:
    """Converts what cannot be converted; returns the one line that is said, after its `Error: `."""
    before = sorted(path.relative_to(src.parent) for path in src.parent.rglob("*"))
    dst = src.parent / "made.vault"
    code, output, said = strongbax("convert", src, dst, *options)
    assert (code, output) == (2, ""), said
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert lines[0].startswith("Error: ")
    assert sorted(path.relative_to(src.parent) for path in src.parent.rglob("*")) == before
    return lines[0].removeprefix("Error: ")


def test_every_format_has_an_example():
    """No format is forgotten here."""
    assert {example.format for example in EXAMPLES.values()} == {form.name for form in FORMATS}


@EVERY
def test_a_renamed_dataset_is_recognised(tmp_path: Path, example: Example):
    """Content tells a format, whatever file or folder are called."""
    src = example.write(tmp_path)
    renamed = src.rename(src.with_name("renamed"))
    assert find_format(None, renamed).name == example.format
    convert(renamed, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.num_steps > 0


@EVERY
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_truncated_file_is_named(tmp_path: Path, strongbax: Run, example: Example, kept: float):
    """What a cut download leaves is an error that names the file, with the format given and without."""
    src = example.write(tmp_path)
    file = example.file(src)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    assert file.name in refused(strongbax, src, "--format", example.format)
    refused(strongbax, src)


@EVERY
def test_damage_is_named(tmp_path: Path, strongbax: Run, example: Example):
    """Bytes that changed amid the data are an error that names the file."""
    if example.damage is None:
        pytest.skip("the format has no checksums")
    src = example.write(tmp_path)
    example.damage(example.file(src))
    assert example.file(src).name in refused(strongbax, src)


@EVERY
def test_a_missing_key_is_named(tmp_path: Path, strongbax: Run, example: Example):
    """The error says the file and the key, and the episode where there are episodes."""
    spoil, said = example.missing
    assert re.search(said, refused(strongbax, example.write(tmp_path, spoil), "--format", example.format))


@EVERY
def test_lengths_that_disagree_are_named(tmp_path: Path, strongbax: Run, example: Example):
    """The error says the file and the key, and the episode where there are episodes."""
    spoil, said = example.uneven
    assert re.search(said, refused(strongbax, example.write(tmp_path, spoil), "--format", example.format))


@EVERY
def test_a_reward_of_nan_is_kept_and_noted(tmp_path: Path, example: Example):
    """It arrives as it is, alone, and report and card say that a return is NaN."""
    if example.nan is None:
        pytest.skip("there are no rewards in the format")
    report = convert(example.write(tmp_path, example.nan), tmp_path / "v")
    assert "Returns of 1 episodes are NaN" in report.notes[-1]
    with Vault.open(tmp_path / "v") as vault:
        rewards = vault.read_numpy(leaves=["reward"])["reward"]
        assert np.isnan(rewards).sum() == 1
        assert vault.card["provenance"]["source"]["nan_returns"] == 1


@EVERY
def test_another_formats_name_is_told(tmp_path: Path, strongbax: Run, example: Example):
    """A dataset with any other format's name is refused in one line."""
    src = example.write(tmp_path)
    alike = {("dsrl", "d4rl")}  # DSRL's layout is D4RL's, with a key more
    for form in FORMATS:
        if form.name != example.format and (example.format, form.name) not in alike:
            assert str(tmp_path.name) in refused(strongbax, src, "--format", form.name), form.name


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.mkdir()


def _others(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("nothing")
    (path / "data").mkdir()


def _text(path: Path) -> None:
    path.write_text("<html>404: not here</html>\n" * 40)


@pytest.mark.parametrize("make", [_empty, _folder, _others, _text])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("name", ["thing", "thing.npz"])
def test_what_is_nothing_is_told(tmp_path: Path, strongbax: Run, make: Any, form: Any, name: str):
    """An empty file, a folder of nothing or of others' files, a web page: refused in one line."""
    make(tmp_path / name)
    assert name in refused(strongbax, tmp_path / name, "--format", form.name)
    if form is FORMATS[0]:
        assert name in refused(strongbax, tmp_path / name)
