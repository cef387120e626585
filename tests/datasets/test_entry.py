"""One entry of the catalogue: its fields are checked, and it survives JSON."""

import json
from typing import Any

import pytest
from strongbax.datasets.entry import DatasetEntry

FULL: dict[str, Any] = {
    "id": "D4RL/hopper/medium-v2",
    "aliases": ["hopper-medium-v2"],
    "url": "http://example.org/hopper_medium-v2.hdf5",
    "file": "hopper_medium-v2.hdf5",
    "format": "d4rl",
    "family": "gym_mujoco",
    "horizon": 1000,
    "licence": "CC-BY-4.0",
    "citation": "Fu et al., 2020",
    "size": 152756557,
    "sha256": "ab" * 32,
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
    optional = {"aliases", "size", "sha256", "ref_min_score", "ref_max_score", "ref_source"}
    optional |= {"reward_type", "deprecated", "listed"}
    entry = DatasetEntry.from_dict({k: v for k, v in FULL.items() if k not in optional})
    assert (entry.aliases, entry.size, entry.sha256) == ((), None, None)
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
        ("url", "ftp://example.org/hopper.hdf5"),
        ("url", "http://example.org/"),
        ("file", " "),
        ("horizon", 0),
        ("horizon", True),
        ("size", 1.5),
        ("sha256", "AB" * 32),
        ("sha256", "ab"),
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
