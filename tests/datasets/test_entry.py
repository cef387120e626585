"""One entry of the catalogue: its fields are checked, and it survives JSON."""

import json
from typing import Any

import pytest
from strongbax.datasets.entry import DatasetEntry

FULL: dict[str, Any] = {
    "id": "D4RL/hopper/medium-v2",
    "aliases": ["hopper-medium-v2"],
    "files": [
        {
            "path": "hopper_medium-v2.hdf5",
            "urls": ["http://example.org/hopper_medium-v2.hdf5", "https://mirror.example.org/h.hdf5"],
            "size": 152756557,
            "sha256": "ab" * 32,
            "md5": "cd" * 16,
        }
    ],
    "format": "d4rl",
    "family": "gym_mujoco",
    "horizon": 1000,
    "licence": "CC-BY-4.0",
    "citation": "Fu et al., 2020",
    "options": {"skip": ["infos"]},
    "steps": 1000000,
    "episodes": 2000,
    "ref_min_score": -20.272305,
    "ref_max_score": 3234.3,
    "ref_source": "infos",
    "reward_type": "dense",
    "deprecated": True,
    "listed": False,
}


def test_an_entry_survives_json():
    """What is written as JSON is read back as the same value."""
    entry = DatasetEntry.from_dict(FULL)
    assert entry.to_dict() == FULL
    assert DatasetEntry.from_dict(json.loads(json.dumps(entry.to_dict()))) == entry


def test_what_is_unknown_may_be_left_out():
    """Only what nobody published may be missing, and it reads as None."""
    optional = {"aliases", "horizon", "licence", "citation", "options", "steps", "episodes"}
    optional |= {"ref_min_score", "ref_max_score", "ref_source", "reward_type", "deprecated", "listed"}
    entry = DatasetEntry.from_dict({k: v for k, v in FULL.items() if k not in optional})
    assert (entry.aliases, entry.horizon, entry.licence, entry.options) == ((), None, None, {})
    assert (entry.deprecated, entry.listed) == (False, True)
    for field in set(FULL) - optional:
        with pytest.raises(ValueError, match=f"`{field}` of a dataset's entry must be"):
            DatasetEntry.from_dict({k: v for k, v in FULL.items() if k != field})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "hopper-medium-v2"),
        ("id", "D4RL/hopper/medium"),
        ("id", "D4RL/../medium-v2"),
        ("aliases", "hopper-medium-v2"),
        ("aliases", ["a", "a"]),
        ("aliases", [3]),
        ("files", []),
        ("files", "http://example.org/a.hdf5"),
        ("files", [FULL["files"][0], FULL["files"][0]]),
        ("files", [{"path": "a", "urls": ["http://example.org/a"], "crc": "1"}]),
        ("family", " "),
        ("options", ["horizon"]),
        ("horizon", 0),
        ("horizon", True),
        ("ref_min_score", float("nan")),
        ("ref_max_score", "3234.3"),
        ("ref_source", "paper"),
        ("deprecated", 1),
        ("listed", "yes"),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: object):
    """A field that is not what it should be is refused, by name and with what came."""
    with pytest.raises(ValueError, match=f"`{field}` of a dataset's entry must be .*; got"):
        DatasetEntry.from_dict(FULL | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "../a.hdf5"),
        ("path", "/a.hdf5"),
        ("path", "data/.hidden"),
        ("path", ""),
        ("urls", "http://example.org/a.hdf5"),
        ("urls", []),
        ("urls", ["ftp://example.org/hopper.hdf5"]),
        ("urls", ["http://example.org/"]),
        ("urls", ["http://example.org/a", "http://example.org/a"]),
        ("size", 1.5),
        ("size", 0),
        ("sha256", "AB" * 32),
        ("sha256", "ab"),
        ("md5", "ab" * 32),
    ],
)
def test_a_bad_field_of_a_file_is_named_with_its_value(field: str, value: object):
    """A file whose path leaves its folder, or whose address or checksum is none, is refused."""
    with pytest.raises(ValueError, match=f"`{field}` of a dataset's entry must be .*; got"):
        DatasetEntry.from_dict(FULL | {"files": [FULL["files"][0] | {field: value}]})


def test_facts_of_several_files():
    """Sizes add up where all are known; a checksum is that of the one file there is."""
    one = FULL["files"][0]
    two = DatasetEntry.from_dict(FULL | {"files": [one, one | {"path": "b.hdf5", "size": 3}]})
    assert (two.size, two.sha256, two.file) == (152756560, None, "hopper_medium-v2.hdf5")
    unknown = {name: fact for name, fact in one.items() if name != "size"} | {"path": "b.hdf5"}
    assert DatasetEntry.from_dict(FULL | {"files": [one, unknown]}).size is None
    assert DatasetEntry.from_dict(FULL).sha256 == "ab" * 32


def test_scores_come_as_a_pair_with_their_source():
    """Neither half of the reference scores stands alone, and the expert is the better one."""
    for missing in ("ref_min_score", "ref_max_score", "ref_source"):
        with pytest.raises(ValueError, match="`ref_source` of a dataset's entry must be"):
            DatasetEntry.from_dict({k: v for k, v in FULL.items() if k != missing})
    with pytest.raises(ValueError, match="must be above `ref_min_score`"):
        DatasetEntry.from_dict(FULL | {"ref_max_score": -30.0})


def test_an_unknown_field_is_refused():
    """A misspelt field does not pass in silence."""
    with pytest.raises(ValueError, match=r"got \['horizn'\] too"):
        DatasetEntry.from_dict(FULL | {"horizn": 3})
