"""The catalogue: complete, consistent, and able to find what it has."""

import subprocess
import sys
from collections import defaultdict

import pytest
from strongbax.datasets.catalogue import entries, find, recognise
from strongbax.datasets.entry import DatasetEntry
from strongbax.vault.errors import NotFoundError

D4RL = [entry for entry in entries() if entry.id.startswith("D4RL/")]


def old_name(dataset_id: str) -> str:
    """The documented way from an id to D4RL's own name."""
    return dataset_id.removeprefix("D4RL/").replace("/", "-")


def new_id(name: str) -> str:
    """The documented way back: the environment is the first word, or two after `bullet`."""
    head, rest = ("bullet-", name[7:]) if name.startswith("bullet-") else ("", name)
    return f"D4RL/{head}{rest.replace('-', '/', 1)}"


def test_every_d4rl_dataset_is_there():
    """All 183 datasets that D4RL registers are in the catalogue."""
    assert len(D4RL) == 183
    assert sum(entry.sha256 is not None for entry in D4RL) == 103


def test_ids_and_old_names_map_one_to_one():
    """The mapping between ids and D4RL's names is a bijection that can be computed both ways."""
    for entry in D4RL:
        assert entry.aliases == (old_name(entry.id),)
        assert new_id(entry.aliases[0]) == entry.id
    assert len({entry.id for entry in D4RL}) == len({e.aliases[0] for e in D4RL}) == len(D4RL)


def test_no_name_means_two_datasets():
    """Ids and aliases together name each dataset once, so finding is never a choice."""
    names = [name for entry in entries() for name in entry.names]
    assert len(names) == len(set(names))
    assert all(find(name) is entry for entry in entries() for name in entry.names)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_the_schema_of_every_entry(entry: DatasetEntry):
    """Every entry has what a user needs before fetching, and its facts agree with each other."""
    assert DatasetEntry.from_dict(entry.to_dict()) == entry
    assert entry.url.endswith("/" + entry.file)
    assert (entry.size is None) == (entry.sha256 is None)
    assert entry.licence == "CC-BY-4.0"
    assert "2004.07219" in entry.citation
    assert entry.format == "d4rl"
    assert 50 <= entry.horizon <= 1000


def test_a_file_has_one_address_and_one_checksum():
    """Entries that share a file's name mean the same bytes, so a name recognises a file."""
    facts = defaultdict[str, set[tuple[str, int | None, str | None]]](set)
    for entry in D4RL:
        facts[entry.file].add((entry.url, entry.size, entry.sha256))
    assert all(len(different) == 1 for different in facts.values())


def test_facts_that_are_often_wrong_elsewhere():
    """The scores that only the registration has are filled in; horizons are the dataset's own."""
    assert find("ant-random-expert-v0").ref_max_score == 3879.7
    assert find("ant-random-expert-v0").ref_source == "registration"
    assert find("carla-town-render-v0").ref_min_score is None
    assert find("maze2d-umaze-v0").horizon == 150
    assert find("maze2d-umaze-v1").horizon == 300
    assert find("hammer-human-longhorizon-v1").horizon == 600


def test_an_unknown_name_suggests_the_closest():
    """A slip of the finger is answered with the names that were probably meant."""
    with pytest.raises(NotFoundError, match=r"'hoper-medium-v2'\. Did you mean hopper-medium-v2"):
        find("hoper-medium-v2")
    with pytest.raises(NotFoundError, match=r"`entries\(\)` lists all of them"):
        find("%%%%")
    with pytest.raises(FileNotFoundError):
        find("D4RL/hopper/medium-v3")


def test_a_file_is_recognised_by_its_checksum_first():
    """The checksum decides where it is known, whatever the file is called."""
    entry = find("D4RL/hopper/medium-v2")
    assert recognise(file="download (3).hdf5", sha256=entry.sha256) == (entry,)
    other = find("D4RL/hopper/expert-v2")
    assert recognise(file=other.file, sha256=entry.sha256) == (entry,)


def test_a_file_is_recognised_by_its_name():
    """Without a known checksum the name decides; the dataset D4RL lists comes first."""
    ids = [entry.id for entry in recognise(file="pen-v0_demos_clipped.hdf5", sha256="0" * 64)]
    assert ids == ["D4RL/pen/human-v0", "D4RL/pen/human-longhorizon-v0"]
    assert recognise(file="unheard-of.hdf5") == ()
    assert recognise() == ()


def test_the_catalogue_answers_without_heavy_imports():
    """Looking something up imports neither JAX nor h5py nor TensorStore."""
    code = (
        "import sys; from strongbax.datasets.catalogue import find, entries; entries();"
        "find('hopper-medium-v2'); heavy = {'jax', 'h5py', 'tensorstore', 'zarr', 'numpy'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
