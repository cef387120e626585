"""What each format cannot hold: docs/converters.md says it, a note says it, and reading back shows it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from specs import Spec
from strongbax.converters import export
from strongbax.converters.exporting import WRITERS
from strongbax.converters.formats import FORMATS
from strongbax.vault.vault import Vault
from traits import TRAITS, Back, Trait, back

pytest.importorskip("pyarrow", reason="pyarrow writes LeRobot's tables")
pytest.importorskip("PIL.Image", reason="Pillow writes pictures")

PAGE = Path(__file__).parents[2] / "docs/converters.md"
HEAD = "| what the vault has |"
READERS = {form.name: form.read for form in FORMATS}
OPTIONS: dict[str, dict[str, Any]] = {"lerobot": {"fps": 10}}
Outcome = tuple[tuple[str, ...] | None, str, Back | None]


def table() -> dict[str, dict[str, str]]:
    """The page's words, by trait and format."""
    text = HEAD + PAGE.read_text("utf-8").split(HEAD)[1].split("\n\n")[0]
    cells = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (_, *names), _, *rows = cells
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Spec, str], Outcome]:
    """Writes a vault in a format, once: its notes or why it was refused, and what came back."""
    vaults: dict[str, Path] = {}
    found: dict[tuple[str, str], Outcome] = {}

    def run(spec: Spec, form: str) -> Outcome:
        key = repr(spec)
        if key not in vaults:
            vaults[key] = spec.write(tmp_path_factory.mktemp("vault") / "v")
        if (key, form) not in found:
            found[key, form] = written(spec, vaults[key], tmp_path_factory.mktemp("out") / "o", form)
        return found[key, form]

    return run


def written(spec: Spec, path: Path, out: Path, form: str) -> Outcome:
    with Vault.open(path) as vault:
        try:
            report = export(vault, out, form, **OPTIONS.get(form, {}))
        except ValueError as error:
            assert not out.exists()
            return None, str(error), None
    return report.notes, "", back(spec, path, READERS[form](out, None))


def test_the_table_is_whole():
    """The page has a row for each trait and a column for each format that is written."""
    words = table()
    assert list(words) == [trait.name for trait in TRAITS]
    assert all(list(row) == [writer.name for writer in WRITERS] for row in words.values())
    assert {word for row in words.values() for word in row.values()} <= {
        "kept", "noted", "changed", "lost", "refused"
    }  # fmt: skip


@pytest.mark.parametrize("trait", TRAITS, ids=lambda trait: trait.name)
@pytest.mark.parametrize("form", [writer.name for writer in WRITERS])
def test_nothing_is_lost_but_what_the_table_and_a_note_say(form: str, trait: Trait, outcome):
    """A trait that a vault has comes back, or its loss is in the page and in the notes of that very vault."""
    notes, error, found = outcome(trait.spec, form)
    word = table()[trait.name][form]
    if found is None:
        assert word == "refused", error
        assert re.search(r"Rename|Cast|Make|[Jj]oin|must be|numbers", error), error
        return
    others, _, _ = outcome(trait.beside, form)
    said = [note for note in notes if others is not None and note not in others]
    assert word == word_for(trait, found, said), said


def word_for(trait: Trait, found: Back, said: list[str]) -> str:
    """What became of a trait; a loss of which nothing is said has no word in the page."""
    if trait.kept(found):
        return "noted" if said else "kept"
    if not said:
        return "lost silently"
    return "changed" if trait.changed(found) else "lost"
