"""A dataset is in the cache whole, or not at all, and whoever asks for it gets it."""

import hashlib
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import strongbax
from strongbax.datasets.cache import fetch_dataset, load_dataset
from strongbax.datasets.download import Patience
from strongbax.datasets.entry import DatasetEntry
from strongbax.datasets.local import find_vaults
from strongbax.datasets.published import PublishedFile
from strongbax.vault import Vault
from strongbax.vault.errors import (
    AlreadyExistsError,
    ClosedError,
    CorruptionError,
    FormatError,
    NotFoundError,
    StorageError,
)

STEPS = 600
QUICK = Patience(timeout=0.3, attempts=2, wait=0.01)
CHILD = Path(__file__).with_name("loading_child.py")


def d4rl_bytes() -> bytes:
    """A small file with D4RL's keys: episodes of 100 steps."""
    generator, memory = np.random.default_rng(0), io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["observations"] = generator.normal(size=(STEPS, 11)).astype(np.float32)
        file["actions"] = generator.uniform(-1, 1, size=(STEPS, 3)).astype(np.float32)
        file["rewards"] = np.ones(STEPS, np.float32)
        file["terminals"] = np.arange(STEPS) % 100 == 99
        file["timeouts"] = np.zeros(STEPS, bool)
    return memory.getvalue()


DATA = d4rl_bytes()
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def entry(web, monkeypatch) -> DatasetEntry:
    """A dataset of one file on the server; `find` knows only it, and nobody else."""
    web.files["/toy/toy_file-v0.hdf5"] = DATA
    made = DatasetEntry(
        id="Test/toy/file-v0",
        aliases=("toy-file-v0",),
        files=(PublishedFile("toy_file-v0.hdf5", (f"{web.url}/toy/toy_file-v0.hdf5",), len(DATA), SHA256),),
        format="d4rl",
        family="toy",
        horizon=100,
        licence="CC0-1.0",
        citation="Nobody, 2026",
        ref_min_score=0.0,
        ref_max_score=100.0,
        ref_source="infos",
    )
    know(monkeypatch, made)
    return made


def know(monkeypatch, entry: DatasetEntry) -> None:
    monkeypatch.setattr("strongbax.datasets.cache.find", lambda name: entry)


def without_checksum(entry: DatasetEntry) -> DatasetEntry:
    return replace(entry, files=(replace(entry.files[0], size=None, sha256=None),))


def test_a_dataset_is_fetched_once(web, entry, tmp_path):
    """The first call fetches and converts, the second opens; the vault is whole, signed and read-only."""
    for _ in range(2):
        with load_dataset("toy-file-v0", folder=tmp_path) as vault:
            assert (vault.num_steps, vault.num_episodes) == (STEPS, 6)
            assert vault.verify().problems == []
            with pytest.raises(ClosedError):
                vault.write_card({})
    assert len(web.asked) == 1
    assert find_vaults(tmp_path) == [tmp_path / "Test/toy/file-v0"]
    assert sorted(p.name for p in (tmp_path / ".fetching").iterdir()) == ["Test--toy--file-v0.lock"]


def test_the_card_says_what_it_is(web, entry, tmp_path):
    """The card has the id, the licence, the scores, the address and the checksum of the file."""
    with load_dataset(entry.id, folder=tmp_path) as vault:
        card = vault.card
    assert (card["dataset_id"], card["licence"], card["citation"]) == (entry.id, "CC0-1.0", "Nobody, 2026")
    assert (card["horizon"], card["ref_max_score"]) == (100, 100.0)
    assert card["provenance"]["url"] == entry.url
    assert card["provenance"]["sha256"] == SHA256
    assert card["provenance"]["file"] == "toy_file-v0.hdf5"


def test_the_folder_is_the_users_if_none_is_given(web, entry, tmp_path, monkeypatch):
    """Without `folder` the cache is where STRONGBAX_DATASETS_PATH says."""
    monkeypatch.setenv("STRONGBAX_DATASETS_PATH", str(tmp_path / "mine"))
    assert fetch_dataset(entry.id) == tmp_path / "mine/Test/toy/file-v0"
    with strongbax.load_dataset(entry.id, offline=True) as vault:
        assert vault.num_steps == STEPS


def test_offline_says_what_it_would_fetch(web, entry, tmp_path):
    """Offline nobody is asked; the error says what is missing where, and whence it would come."""
    with pytest.raises(StorageError, match=f"Test/toy/file-v0 is not in .*from {entry.url}"):
        load_dataset(entry.id, folder=tmp_path, offline=True)
    assert web.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_of_ones_own(web, entry, tmp_path):
    """Mirrors are folders of files, tried before the makers' address."""
    web.files["/mine/toy_file-v0.hdf5"] = DATA
    fetch_dataset(entry.id, folder=tmp_path, mirrors=[f"{web.url}/none", f"{web.url}/mine/"])
    assert [path for path, _ in web.asked] == ["/none/toy_file-v0.hdf5", "/mine/toy_file-v0.hdf5"]


def test_a_network_that_fails_leaves_nothing_and_is_gone_on_with(web, entry, tmp_path):
    """After a failure there is no vault; the next call asks for the rest."""
    half = len(DATA) // 2
    web.plan, web.then = [f"cut={half}"], "503"
    with pytest.raises(StorageError, match="HTTP 503"):
        load_dataset(entry.id, folder=tmp_path, patience=QUICK)
    assert find_vaults(tmp_path) == []
    web.then, web.asked = "whole", []
    load_dataset(entry.id, folder=tmp_path).close()
    assert web.asked == [("/toy/toy_file-v0.hdf5", f"bytes={half}-")]


@pytest.mark.parametrize("data", [b"<html>Sign in to this network</html>", DATA[:-100], b""], ids=len)
def test_wrong_bytes_without_a_checksum(web, entry, tmp_path, monkeypatch, data):
    """Wrong bytes that no checksum tells are found by the converter, and fetched anew the next time."""
    know(monkeypatch, without_checksum(entry))
    web.files["/toy/toy_file-v0.hdf5"] = data
    with pytest.raises((FormatError, StorageError), match=r"Test/toy/file-v0|Could not download"):
        load_dataset(entry.id, folder=tmp_path, patience=QUICK)
    assert find_vaults(tmp_path) == []
    web.files["/toy/toy_file-v0.hdf5"] = DATA
    with load_dataset(entry.id, folder=tmp_path, patience=QUICK) as vault:
        assert vault.num_steps == STEPS


def test_a_dataset_of_several_files(web, tmp_path, monkeypatch):
    """Files that belong together are converted together, from one folder."""
    files = []
    for name in ("walk-v0.npz", "walk-v0-val.npz"):
        memory = io.BytesIO()
        ends = np.arange(20) % 10 == 9
        np.savez(
            memory, observations=np.zeros((20, 2), np.float32), actions=np.zeros((20, 1)), terminals=ends
        )
        web.files[f"/{name}"] = memory.getvalue()
        files.append(PublishedFile(name, (f"{web.url}/{name}",)))
    know(monkeypatch, DatasetEntry("Test/walk-v0", (), tuple(files), "ogbench", "walk"))
    with load_dataset("walk-v0", folder=tmp_path) as vault:
        assert vault.num_episodes == 4
        assert vault.episodes["validation"].tolist() == [False, False, True, True]
        assert [file["path"] for file in vault.card["provenance"]["files"]] == [f.path for f in files]


def test_a_format_without_a_converter_is_said_before_anything_is_fetched(web, entry, tmp_path, monkeypatch):
    """Where no converter exists yet, the error names the format and where the files are."""
    know(monkeypatch, replace(entry, format="cuneiform"))
    with pytest.raises(FormatError, match=f"format cuneiform, for which .*d4rl.* at {entry.url}"):
        load_dataset(entry.id, folder=tmp_path)
    assert web.asked == []


def test_what_is_in_the_way_stays(web, entry, tmp_path):
    """Something that is no vault is not overwritten, and a damaged vault is not opened."""
    place = tmp_path / entry.id
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError, match="no vault"):
        load_dataset(entry.id, folder=tmp_path)
    (place / "notes.txt").unlink()
    load_dataset(entry.id, folder=tmp_path).close()
    next((place / "steps/reward").glob("c*")).unlink()
    with pytest.raises(CorruptionError, match=r"is damaged: .* fetched anew"):
        load_dataset(entry.id, folder=tmp_path)


def test_progress_names_what_goes_on(web, entry, tmp_path):
    """Progress is told of the download in bytes and of the conversion in steps."""
    told = []
    load_dataset(entry.id, folder=tmp_path, progress=lambda *said: told.append(said)).close()
    assert ("Downloading toy_file-v0.hdf5", len(DATA), len(DATA)) in told
    assert told[-1] == ("Converting toy_file-v0.hdf5", 2 * STEPS, 2 * STEPS)


def test_an_unknown_name_is_said(tmp_path):
    """A name that the catalogue does not have is an error before anything else."""
    with pytest.raises(NotFoundError, match="Did you mean"):
        load_dataset("hoper-medium-v2", folder=tmp_path)


def start(entry: DatasetEntry, tmp_path: Path) -> "subprocess.Popen[str]":
    description = tmp_path / "entry.json"
    description.write_text(json.dumps(entry.to_dict()))
    command = [sys.executable, str(CHILD), str(description), str(tmp_path / "cache")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_two_processes_one_fetches(web, entry, tmp_path):
    """Processes that ask for the same dataset at once all get it, and it is fetched once."""
    children = [start(entry, tmp_path) for _ in range(2)]
    for child in children:
        output, error = child.communicate(timeout=60)
        assert output.split() == ["ready", str(STEPS)], error
    assert len(web.asked) == 1


MOMENTS = {
    "while it is downloaded": ".fetching/*/file-v0/*.part",
    "while it is converted": ".fetching/*/.vault.converting/*/order.json",
    "while it is verified": ".fetching/*/vault/zarr.json",
    "when it is in its place": "Test/toy/file-v0/zarr.json",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_kill_leaves_nothing_half_made(web, entry, tmp_path, moment):
    """Killed at any moment there is the whole vault or none; the call after it has it."""
    cache, deadline = tmp_path / "cache", time.monotonic() + 60
    if moment.endswith(".part"):
        web.plan = [f"cut={len(DATA) // 2}", "stall"]
    child = start(entry, tmp_path)
    while not list(cache.glob(moment)):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    child.kill()
    child.communicate()
    for path in find_vaults(cache):
        with Vault.open(path) as vault:
            assert vault.num_steps == STEPS
            assert vault.verify().problems == []
    with load_dataset(entry.id, folder=cache) as vault:
        assert vault.num_steps == STEPS
    assert web.sent < 2 * len(DATA)
    assert not (cache / ".fetching/Test--toy--file-v0").exists()


def test_fetch_on_the_command_line(web, entry, tmp_path, strongbax):
    """`fetch` puts a dataset in the cache and says where; offline it says what is missing."""
    code, _, error = strongbax("fetch", entry.id, "--folder", tmp_path, "--offline")
    assert code == 2
    assert entry.url in error
    code, output, _ = strongbax("fetch", entry.id, "--folder", tmp_path, "--json")
    facts = json.loads(output)
    assert (code, facts["path"], facts["steps"]) == (0, str(tmp_path / entry.id), STEPS)
    code, output, _ = strongbax("fetch", entry.id, "--folder", tmp_path, "--offline")
    assert code == 0
    assert "600" in output
