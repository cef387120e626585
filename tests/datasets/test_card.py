"""A card is checked field by field, keeps what it does not know, and becomes a README that the Hub reads."""

import json
from typing import Any

import numpy as np
import pytest
import yaml
from strongbax.datasets.card import Card
from strongbax.datasets.card_fields import Baseline
from strongbax.datasets.catalogue import entries
from strongbax.datasets.readme import readme
from strongbax.vault import Episode, Vault

FULL: dict[str, Any] = {
    "dataset_id": "toy/walk/medium-v0",
    "description": "A walk.",
    "licence": "CC-BY-4.0",
    "citation": "Ada: A walk. 2026",
    "author": ["Ada", "Bo"],
    "author_email": ["ada@example.org"],
    "algorithm_name": "SAC",
    "code_permalink": "https://example.org/code",
    "env_spec": {"kind": "gymnasium", "id": "Walk-v1", "max_episode_steps": 100},
    "eval_env_spec": {"kind": "custom", "name": "street"},
    "requirements": ["gymnasium>=1"],
    "horizon": 100,
    "ref_min_score": -1.5,
    "ref_max_score": 30.0,
    "num_episodes_average_score": 100,
    "baselines": [{"name": "BC", "score": 12.5, "source": "ours"}],
    "provenance": {"file": "walk.hdf5", "sha256": "ab" * 32, "url": "https://example.org/walk.hdf5"},
    "colour": {"of": "sky"},
}


@pytest.fixture
def vault(tmp_path):
    """A vault of two episodes with a full card."""
    step = {"observation": np.zeros(2, np.float32), "reward": np.float32(0)}
    with Vault.create(tmp_path / "walk.vault", steps=step) as made:
        for length in (3, 5):
            steps = {"observation": np.zeros((length, 2), np.float32), "reward": np.ones(length, np.float32)}
            made.append(Episode(steps, terminated=length == 3, truncated=length == 5))
        made.write_card(FULL)
    return tmp_path / "walk.vault"


def test_a_card_survives_json():
    """What is written is read back as the same value, facts that have no field included."""
    card = Card.from_dict(FULL)
    assert card.to_dict() == FULL
    assert Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert card.baselines == (Baseline("BC", 12.5, "ours"),)
    assert card.more == {"colour": {"of": "sky"}}
    assert Card.from_dict({}) == Card()
    assert Card().to_dict() == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset_id", "walk"),
        ("dataset_id", "toy/../walk-v0"),
        ("description", 3),
        ("licence", ""),
        ("licence", ["MIT"]),
        ("citation", " "),
        ("author", 3),
        ("author", {"name": "Ada"}),
        ("author", ["Ada", 3]),
        ("env_spec", "Walk-v1"),
        ("env_spec", {}),
        ("env_spec", "[1]"),
        ("env_spec", {"kind": "unity"}),
        ("horizon", 0),
        ("horizon", True),
        ("ref_min_score", float("nan")),
        ("ref_max_score", "30"),
        ("num_episodes_average_score", 1.5),
        ("baselines", {"name": "BC"}),
        ("baselines", [{"name": "BC", "score": 1.0}]),
        ("baselines", [{"name": "BC", "score": None, "source": "ours"}]),
        ("provenance", "walk.hdf5"),
        ("provenance", {"sha256": "ab"}),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: object):
    """A field that is not what it should be is refused, by name and with what came."""
    with pytest.raises(ValueError, match=rf"`{field}(/sha256)?` of a card must be .*; got"):
        Card.from_dict(FULL | {field: value})


def test_scores_are_in_order():
    """An expert that is worse than a random policy is refused."""
    with pytest.raises(ValueError, match="must be above `ref_min_score`"):
        Card.from_dict(FULL | {"ref_max_score": -2.0})


def test_what_publishing_needs():
    """Without id, licence or citation a card is not publishable, and says what is missing."""
    Card.from_dict(FULL).check_publishable()
    for name in ("dataset_id", "licence", "citation"):
        card = Card.from_dict({key: fact for key, fact in FULL.items() if key != name})
        assert card.missing() == (name,)
        with pytest.raises(ValueError, match=f"`card` must say `{name}`"):
            card.check_publishable()


def test_gymnasiums_own_specifications_are_known():
    """Minari's `env_spec`, which says no kind, is Gymnasium's by its entry point."""
    spec = {"id": "Hopper-v5", "entry_point": "gymnasium.envs.mujoco.hopper_v5:HopperEnv"}
    assert Card.from_dict({"env_spec": spec}).env_spec == {"kind": "gymnasium"} | spec
    assert Card.from_dict({"env_spec": '{"env_name": "Lift"}'}).env_spec == {
        "kind": "custom",
        "env_name": "Lift",
    }


def test_every_datasets_facts_make_a_card():
    """What the catalogue knows of any dataset is a card that is valid."""
    for entry in entries():
        scores = {"ref_min_score": entry.ref_min_score, "ref_max_score": entry.ref_max_score}
        facts = {"dataset_id": entry.id, "licence": entry.licence, "citation": entry.citation} | scores
        assert Card.from_dict(facts | {"horizon": entry.horizon}).dataset_id == entry.id


def front(text: str) -> dict[str, Any]:
    begin, header, _ = text.split("---\n", 2)
    assert begin == ""
    return yaml.safe_load(header)


def test_the_readme_has_the_hubs_header(vault):
    """The header is YAML with the names that the Hub knows."""
    with Vault.open(vault) as opened:
        assert front(readme(opened)) == {
            "license": "cc-by-4.0",
            "pretty_name": "toy/walk/medium-v0",
            "task_categories": ["reinforcement-learning"],
            "tags": ["offline-rl", "zarr", "strongbax"],
            "size_categories": ["n<1K"],
        }


@pytest.mark.parametrize("licence", ["Farama-1.0", 'MIT"\nevil: "yes', "GPL: maybe\n---\n# no"])
def test_a_licence_of_ones_own_stays_in_its_place(vault, licence):
    """A licence that the Hub has no name for is `other`, and no text leaves its field."""
    with Vault.open(vault, mode="a") as opened:
        opened.write_card(FULL | {"licence": licence})
        text = readme(opened)
    header = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert (header["license"], header["license_name"]) == ("other", licence.lower())
    assert "evil" not in header


def test_the_readme_tells_people(vault):
    """The page has the facts, the leaves, the episodes, the baselines, the citation and the source."""
    with Vault.open(vault) as opened:
        text = readme(opened)
    for line in (
        "# toy/walk/medium-v0",
        "A walk.",
        "| environment | gymnasium Walk-v1 |",
        "| steps | 8 |",
        "| authors | Ada, Bo |",
        "| observation | float32 | [2] |  |",
        "| length | 3 | 4 | 4 | 5 |",
        "Their ends: 1 terminated, 1 truncated, 0 cut.",
        "| BC | 12.5 | ours |",
        "Ada: A walk. 2026",
        f"| sha256 | {'ab' * 32} |",
    ):
        assert line in text.splitlines(), line


def test_a_cell_cannot_leave_its_table(vault):
    """A bar or a line break in a fact does not make a new cell."""
    with Vault.open(vault, mode="a") as opened:
        opened.write_card(FULL | {"algorithm_name": "a | b\nc"})
        assert "| algorithm | a \\| b c |" in readme(opened).splitlines()


def test_an_empty_vault_has_a_readme(tmp_path, strongbax):
    """A vault without steps and without a card is told as such, on the command line too."""
    with Vault.create(tmp_path / "new.vault", steps={"observation": np.zeros(2)}) as made:
        assert "# A dataset without a name" in readme(made).splitlines()
    code, output, _ = strongbax("show", tmp_path / "new.vault", "--json")
    assert (code, json.loads(output)["summary"]["return"]) == (0, None)


def test_card_on_the_command_line(vault, tmp_path, strongbax):
    """`describe` prints and writes the README, sets facts, and ends with 1 where something is missing."""
    code, output, _ = strongbax("describe", vault)
    assert code == 0
    with Vault.open(vault) as opened:
        assert output == readme(opened)
    page = tmp_path / "README.md"
    given = ("--set", "description=New.", "--set", 'author=["Cy"]')
    assert strongbax("describe", vault, *given, "--out", page) == (0, "", "")
    assert "New." in page.read_text()
    with Vault.open(vault) as opened:
        assert opened.card == FULL | {"description": "New.", "author": ["Cy"]}
    code, _, error = strongbax("describe", vault, "--set", "licence=null", "--check")
    assert code == 1
    assert "no `licence`" in error
    code, output, _ = strongbax("describe", vault, "--json")
    assert json.loads(output)["missing"] == ["licence"]
    code, _, error = strongbax("describe", vault, "--set", "horizon=-1")
    assert code == 2
    assert "`horizon` of a card must be" in error
