"""A vault of an older format becomes one of this format; what is of no known format is refused."""

import json
import shutil

import numpy as np
import pytest
from strongbax.vault import CorruptionError, FormatError, NotFoundError, Vault
from strongbax.vault import upgrading as module
from strongbax.vault.checksum import crc32c
from vault_damage import build, files

upgrade = module.upgrade


def of_format(path, number: int):
    """Makes a vault of a made-up format: one of ours with another number and no checksum."""
    contents = build(path, (5, 9), close=True)
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["strongbax"] |= {"format": number, "crc32c": "none"}
    (path / "zarr.json").write_text(json.dumps(document))
    return contents


def write_anew(source, target) -> None:
    """Leads from a made-up format to the next: the number rises, format 1 gets its checksum."""
    ignored = shutil.ignore_patterns("writer.lock", "zarr.json")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
    for file in source.rglob("zarr.json"):
        shutil.copyfile(file, target / file.relative_to(source))
    document = json.loads((source / "zarr.json").read_text())
    document["attributes"]["strongbax"]["format"] += 1
    document["attributes"]["strongbax"]["crc32c"] = "00000000"
    text = json.dumps(document)
    digits = f"{crc32c(text.encode()):08x}"
    (target / "zarr.json").write_text(text.replace("00000000", digits, 1))


def test_nothing_is_to_be_done_for_a_vault_of_today(tmp_path):
    """A vault of this version's format is left as it is."""
    build(tmp_path / "a", (5, 9), close=True)
    before = files(tmp_path / "a")
    report = upgrade(tmp_path / "a")
    assert (report.before, report.after, report.old) == (1, 1, None)
    assert files(tmp_path / "a") == before


@pytest.mark.parametrize("number", [0, -1])
def test_an_older_format_is_upgraded_step_by_step(tmp_path, monkeypatch, number):
    """Registered functions lead from format to format; the old vault is kept as it was."""
    contents = of_format(tmp_path / "a", number)
    before = files(tmp_path / "a")
    with pytest.raises(FormatError, match="Upgrade with `strongbax upgrade"):
        Vault.open(tmp_path / "a")
    with pytest.raises(FormatError):
        upgrade(tmp_path / "a")
    for known in range(number, 1):
        monkeypatch.setitem(module.STEPS, known, write_anew)
    report = upgrade(tmp_path / "a")
    assert (report.before, report.after, report.old) == (number, 1, tmp_path / f"a.format-{number}")
    assert files(report.old) == before
    vault = Vault.open(tmp_path / "a")
    assert contents.differs(vault) is None
    assert vault.verify().problems == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", f"a.format-{number}"]


def test_an_upgrade_that_fails_changes_nothing(tmp_path, monkeypatch):
    """If what an upgrade makes is not whole, the old vault stays."""
    of_format(tmp_path / "a", 0)
    before = files(tmp_path / "a")

    def careless(source, target) -> None:
        write_anew(source, target)
        next((target / "steps/reward").glob("c.*")).unlink()

    monkeypatch.setitem(module.STEPS, 0, careless)
    with pytest.raises(CorruptionError, match="as it was"):
        upgrade(tmp_path / "a")
    assert files(tmp_path / "a") == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_of_no_known_format_is_refused(tmp_path):
    """A newer format says which version reads it; what is no vault says so."""
    of_format(tmp_path / "a", 2)
    with pytest.raises(FormatError, match="pip install --upgrade strongbax"):
        upgrade(tmp_path / "a")
    with pytest.raises(NotFoundError):
        upgrade(tmp_path / "b")
    (tmp_path / "a/zarr.json").write_text("{")
    with pytest.raises(CorruptionError, match="strongbax repair"):
        upgrade(tmp_path / "a")
    (tmp_path / "a/zarr.json").write_text(json.dumps({"attributes": {"mine": np.pi}}))
    with pytest.raises(FormatError, match="names no format"):
        upgrade(tmp_path / "a")
