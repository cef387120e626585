"""The catalogue: complete, consistent, and able to find what it has."""

import json
import re
import subprocess
import sys
from collections import defaultdict

import pytest
from strongbax.converters.formats import FORMATS
from strongbax.datasets.catalogue import entries, find, recognise
from strongbax.datasets.entry import DatasetEntry
from strongbax.vault.errors import NotFoundError

D4RL = [entry for entry in entries() if entry.id.startswith("D4RL/")]


COUNTS = {
    "D4RL": 183,
    "minari": 392,
    "OGBench": 85,
    "OG-MARL": 92,
    "DSRL": 38,
    "NeoRL": 184,
    "NeoRL2": 16,
    "d3rlpy": 4,
    "robomimic": 29,
}


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


@pytest.mark.parametrize("namespace", COUNTS)
def test_the_schema_of_every_entry(namespace: str):
    """Every entry survives JSON, is cited, and its facts agree with each other."""
    found = [entry for entry in entries() if entry.id.startswith(f"{namespace}/")]
    assert len(found) == COUNTS[namespace]
    for entry in found:
        assert DatasetEntry.from_dict(json.loads(json.dumps(entry.to_dict()))) == entry
        assert entry.citation
        assert re.search(r"arXiv:\d{4}\.\d{5}|doi:10\.", entry.citation)
        for file in entry.files:
            assert all(f"/{file.name}" in url for url in file.urls)


def test_every_namespace_is_counted():
    """No entry stands outside the collections that the documentation names."""
    assert {entry.id.partition("/")[0] for entry in entries()} == set(COUNTS)


def test_the_schema_of_d4rl():
    """Every dataset of D4RL has what its users need before they fetch it."""
    for entry in D4RL:
        assert entry.url.endswith("/" + entry.file)
        assert (entry.size is None) == (entry.sha256 is None)
        assert (entry.licence, entry.format, len(entry.files)) == ("CC-BY-4.0", "d4rl", 1)
        assert "2004.07219" in entry.citation
        assert entry.horizon is not None
        assert 50 <= entry.horizon <= 1000


def test_a_format_is_a_converters():
    """A misspelt format would be a dataset that nobody can load: each names a converter."""
    named = {entry.format for entry in entries()}
    assert named <= {form.name for form in FORMATS}


def test_files_of_other_collections_are_where_their_makers_put_them():
    """Ids, aliases and addresses of each collection are those that its own package uses."""
    walk = find("antmaze-giant-navigate-v0")
    assert walk.id == "OGBench/antmaze-giant-navigate-v0"
    assert [file.path for file in walk.files] == [f"{walk.aliases[0]}.npz", f"{walk.aliases[0]}-val.npz"]
    assert walk.files[1].urls[1].startswith("https://huggingface.co/")
    atari = find("atari/alien/expert-v0")
    assert atari.url == (
        "https://huggingface.co/datasets/farama-minari/atari/resolve/main/alien/expert-v0/data/main_data.hdf5"
    )
    assert find("og_marl/smac_v1/3m/Good").url.endswith("/og-marl/resolve/main/core/smac_v1/3m.zip")
    assert find("OfflineCarCircle-v0").id == "DSRL/CarCircle-v0"
    assert find("Hopper-v3-low-1000-train-noise").files[0].md5 is not None
    assert find("Fusion-val").ref_max_score == 98.05
    assert find("cartpole-replay").file == "cartpole_v1.1.0.h5"


def test_one_name_for_two_files_is_never_recognised():
    """Minari and robomimic call their files alike: such a name recognises nothing."""
    assert recognise(file="main_data.hdf5") == ()
    assert recognise(file="low_dim_v15.hdf5") == ()
    assert find("robomimic/can/mh/low_dim-v15").horizon == 500


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
