"""`convert`: the vault is what the source was, says where it comes from, and is whole or not there."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from d4rl_files import HORIZONS, columns, families, policy, write
from resume_files import spoil
from strongbax.converters import attached, commit, convert, job, share
from strongbax.converters.d4rl_layout import LEAVES
from strongbax.converters.job import Job
from strongbax.datasets.catalogue import find
from strongbax.vault.errors import AlreadyExistsError, CorruptionError, FormatError, NotFoundError
from strongbax.vault.share import Share
from strongbax.vault.vault import Vault


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven steps at a time, so that small files have many blocks."""
    monkeypatch.setattr(job, "_rows_at_a_time", lambda source, block_steps: 7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("family", families())
def test_every_family_arrives_whole(tmp_path: Path, family: str):
    """Every row of every key stands in the vault with its dtype, and the vault verifies."""
    made = families()[family]
    options = {"horizon": HORIZONS[family]} if family in HORIZONS else {}
    report = convert(write(tmp_path / "file.hdf5", made), tmp_path / "v", **options)
    with Vault.open(tmp_path / "v") as vault:
        assert (report.num_steps, report.num_episodes) == (50, vault.num_episodes)
        assert vault.length == 50
        rows = {name: values[0] for name, values in vault.read_numpy(leaves=vault.leaves).items()}
        beside = attached(tmp_path / "v") | vault.attributes
        for key, values in made.items():
            name = LEAVES.get(key, key)
            if key in ("rewards", "terminals", "timeouts"):
                flag = np.bool_ if key != "rewards" else values.dtype
                np.testing.assert_array_equal(rows[name], values.reshape(50).astype(flag), strict=True)
            elif key.startswith("metadata"):
                kept = np.asarray(beside[key])
                np.testing.assert_array_equal(kept.astype(values.dtype), values, strict=True)
            elif key != "next_observations":
                np.testing.assert_array_equal(rows[name], values, strict=True)
        table = vault.episodes
        assert vault.open_episodes["id"].size == 0
        np.testing.assert_array_equal(table["start"], [0, *np.cumsum(table["length"])[:-1]])
        assert table["length"].sum() == 50
        returns = np.add.reduceat(rows["reward"].astype(np.float64), table["start"])
        np.testing.assert_allclose(table["return"], returns, rtol=1e-12)
        assert vault.verify().ok


@pytest.mark.usefixtures("small_blocks")
def test_an_episode_knows_what_it_led_to(tmp_path: Path):
    """With its final row, every episode gives the file's next observations back."""
    made = columns(following=True)
    convert(write(tmp_path / "file.hdf5", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["final_known"].all()
        episodes = list(vault)
        after = [np.vstack([ep.steps["observation"][1:], final_of(ep)[None]]) for ep in episodes]
    np.testing.assert_array_equal(np.concatenate(after), made["next_observations"], strict=True)
    assert [(bool(ep.terminated), bool(ep.truncated)) for ep in episodes] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
        (False, False),
    ]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def final_of(episode: Any) -> Any:
    return episode.final["observation"]


@pytest.mark.usefixtures("small_blocks")
def test_next_observations_of_their_own_are_kept_and_noted(tmp_path: Path):
    """A file whose next observations say something else is read again, and loses nothing."""
    made = columns(following=True)
    made["next_observations"][23] += 1
    report = convert(write(tmp_path / "file.hdf5", made), tmp_path / "v")
    assert len(report.notes) == 1
    assert "`next_observations` of row 23" in report.notes[0]
    with Vault.open(tmp_path / "v") as vault:
        kept = vault.read_numpy(leaves=["next_observation"])["next_observation"][0]
        np.testing.assert_array_equal(kept, made["next_observations"], strict=True)
        assert vault.card["provenance"]["source"]["notes"] == list(report.notes)
        assert vault.card["provenance"]["source"]["next_observations"] == "kept"
        assert vault.card["provenance"]["options"] == {}


def test_the_card_says_where_the_vault_comes_from(tmp_path: Path):
    """File, bytes, converter and options stand in the card, and nothing about this machine does."""
    path = write(tmp_path / "file.hdf5", columns() | policy())
    report = convert(path, tmp_path / "v", format="d4rl", skip=("metadata/policy",))
    with Vault.open(tmp_path / "v") as vault:
        card, attributes = vault.card, vault.attributes
    origin = card["provenance"]
    assert origin["file"] == "file.hdf5"
    assert origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert origin["size"] == path.stat().st_size
    assert (origin["format"], origin["converter"]) == ("d4rl", "strongbax.converters.d4rl")
    assert origin["options"] == {"skip": ["metadata/policy"]}
    assert origin["source"]["keys"]["observations"]["shape"] == [50, 4]
    assert str(tmp_path) not in json.dumps(card)
    assert card["check"]["num_steps"] == report.num_steps == 50
    assert card["check"]["sha256"] == report.sha256
    assert attributes == {"metadata/algorithm": "SAC", "metadata/iteration": 90}
    reward = columns()["rewards"].tobytes()
    assert report.sha256["reward"] == hashlib.sha256(reward).hexdigest()


def test_a_published_file_is_recognised(tmp_path: Path):
    """The name of a published file brings id, horizon, licence, citation and scores into the card."""
    report = convert(write(tmp_path / "ant_random_expert.hdf5", columns()), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        card = vault.card
    entry = find(report.dataset_id)
    assert entry.id == "D4RL/ant/random-expert-v0"
    assert entry.sha256 is None  # else other bytes would not be taken for it
    assert (card["dataset_id"], card["horizon"]) == (entry.id, entry.horizon)
    assert (card["licence"], card["citation"]) == (entry.licence, entry.citation)
    assert card["ref_max_score"] == entry.ref_max_score
    assert card["provenance"]["matches_catalogue"] is None


def test_a_name_alone_claims_nothing(tmp_path: Path):
    """A file with a published file's name and other bytes gets its horizon, and not its id or licence."""
    report = convert(write(tmp_path / "hopper_medium-v2.hdf5", columns()), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        card = vault.card
    assert report.dataset_id is None
    assert report.notes[0].startswith("The file has the name of D4RL/hopper/medium-v2, but not its SHA-256")
    assert not {"dataset_id", "licence", "citation", "ref_max_score"} & set(card)
    assert card["horizon"] == 1000
    assert (card["provenance"]["matches_catalogue"], card["provenance"]["url"]) == (False, None)


def test_an_unknown_file_claims_nothing(tmp_path: Path):
    """A file that nobody published has no id and no licence in its card."""
    report = convert(write(tmp_path / "mine.hdf5", columns()), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert not {"dataset_id", "licence", "citation"} & set(vault.card)
        assert vault.card["provenance"]["matches_catalogue"] is None
    assert report.dataset_id is None


@pytest.mark.usefixtures("small_blocks")
def test_progress_goes_through_every_step_twice(tmp_path: Path):
    """Progress rises from the first block to the total: once for writing, once for checking."""
    seen: list[tuple[int, int]] = []
    path = write(tmp_path / "file.hdf5", columns())
    convert(path, tmp_path / "v", progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == [*range(7, 50, 7), 50, *range(55, 100, 5), 100]
    assert {total for _, total in seen} == {100}


@pytest.mark.usefixtures("small_blocks")
def test_a_source_that_fails_leaves_nothing(tmp_path: Path):
    """A file that turns out bad half way leaves neither vault nor leftovers."""
    path = spoil(write(tmp_path / "file.hdf5", columns()), "rewards", 44)
    with pytest.raises(FormatError, match=r"`rewards`.*cannot be read"):
        convert(path, tmp_path / "v")
    assert names(tmp_path) == ["file.hdf5"]


def test_what_stands_at_the_place_is_not_touched(tmp_path: Path):
    """A vault is replaced only when asked, and only by one that is complete; other things never."""
    good = write(tmp_path / "good.hdf5", columns())
    better = write(tmp_path / "better.hdf5", columns(60))
    bad = spoil(write(tmp_path / "bad.hdf5", columns(70)), "rewards", 69)
    convert(good, tmp_path / "v")
    with pytest.raises(AlreadyExistsError, match=r"`dst` must be free.*overwrite=True"):
        convert(better, tmp_path / "v")
    with pytest.raises(FormatError, match="`rewards`"):
        convert(bad, tmp_path / "v", overwrite=True)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.length == 50
    convert(better, tmp_path / "v", overwrite=True)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.length == 60
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError, match="it is no vault and is left alone"):
        convert(good, tmp_path / "notes", overwrite=True)
    assert names(tmp_path) == ["bad.hdf5", "better.hdf5", "good.hdf5", "notes", "v"]


def test_arguments_that_fit_nothing_are_refused(tmp_path: Path):
    """A missing file, an unknown format, an unknown option, a file of no format: one sentence each."""
    path = write(tmp_path / "file.hdf5", columns())
    with pytest.raises(NotFoundError, match=r"`src` must be a file or folder; there is none at .*gone"):
        convert(tmp_path / "gone.hdf5", tmp_path / "v")
    with pytest.raises(ValueError, match=r"`format` must be one of .*d4rl.*; got 'd5rl'"):
        convert(path, tmp_path / "v", format="d5rl")
    with pytest.raises(ValueError, match="`horizn` is no option of the format d4rl; it has `horizon`"):
        convert(path, tmp_path / "v", horizn=10)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FormatError, match=r"text is in none of the formats .*\(.*d4rl.*\)"):
        convert(tmp_path / "text", tmp_path / "v")
    with pytest.raises(FormatError, match="does not begin like one"):
        convert(tmp_path / "text", tmp_path / "v", format="d4rl")
    assert names(tmp_path) == ["file.hdf5", "text"]


@pytest.mark.parametrize("array", ["steps/reward", "steps/infos/goal", "final/observation"])
def test_the_self_check_finds_a_flipped_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: str):
    """One bit that changes between writing and checking fails the conversion, and nothing is kept."""
    made = columns(following=True) | {"infos/goal": np.ones((50, 2))}
    path = write(tmp_path / "file.hdf5", made)
    after_writing(monkeypatch, lambda made, written: flip(made, written, array, 2))
    with pytest.raises(CorruptionError, match=f"`{array.split('/', 1)[1]}`.* in the source"):
        convert(path, tmp_path / "v")
    assert names(tmp_path) == ["file.hdf5"]


def test_the_self_check_reads_attached_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A policy that does not come back as it was fails the conversion as a step would."""
    path = write(tmp_path / "file.hdf5", columns() | policy())
    monkeypatch.setattr(commit, "attach", lambda path, arrays: None)
    with pytest.raises(CorruptionError, match="attached array `metadata/policy/fc0/bias`"):
        convert(path, tmp_path / "v")


@pytest.mark.parametrize(("column", "byte"), [("return", 6), ("terminated", 0), ("truncated", 0)])
def test_the_self_check_reads_the_episode_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, byte: int
):
    """The episode table's own columns are checked, not only the steps."""
    path = write(tmp_path / "file.hdf5", columns())
    after_writing(monkeypatch, lambda made, written: flip(made, written, f"episodes/{column}", byte))
    with pytest.raises(CorruptionError, match=f"{column}.* of (episode 0|the episode that ends with row 9)"):
        convert(path, tmp_path / "v")


def after_writing(monkeypatch: pytest.MonkeyPatch, do: Callable[[Job, Share], object]) -> None:
    original = share._write

    def patched(made: Job, number: int, beside: Path, told: Any) -> Share:
        written = original(made, number, beside, told)
        do(made, written)
        return written

    monkeypatch.setattr(share, "_write", patched)


def flip(made: Job, written: Share, array: str, byte: int) -> None:
    """Flips the lowest bit of a byte of the array's first value, and mends the checksum behind its chunk."""
    if array in written.raw:
        data = bytearray(written.raw[array].path.read_bytes())
        data[byte] ^= 1
        written.raw[array].path.write_bytes(data)
        return
    spec = made.schema.step_array(made.schema.leaf(array.removeprefix("steps/")), 50)
    shard = made.vault / array / spec.key(0)
    size = int(np.prod(spec.chunk)) * spec.dtype.itemsize
    data = bytearray(shard.read_bytes())
    data[byte] ^= 1
    data[size : size + 4] = google_crc32c.value(bytes(data[:size])).to_bytes(4, "little")
    shard.write_bytes(data)


@pytest.mark.usefixtures("small_blocks")
def test_the_source_is_read_anew_for_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A source that is another one by the time of the check is noticed."""
    path = write(tmp_path / "file.hdf5", columns())
    after_writing(monkeypatch, lambda *_: write(path, columns(seed=1)))
    with pytest.raises(CorruptionError, match=r"leaf `observation`: row 0 .* in the source"):
        convert(path, tmp_path / "v")


def test_the_samples_arrive_whole(tmp_path: Path, samples: Path, golden: dict[str, Any]):
    """Every recorded file converts, checks itself and verifies."""
    for name, expected in golden.items():
        timeless = name.startswith("hopper_nots")
        options = {"horizon": expected["max_episode_steps"]} if timeless else {}
        report = convert(samples / name, tmp_path / name, **options)
        assert report.num_steps == expected["keys"]["observations"][0][0]
        with Vault.open(tmp_path / name) as vault:
            assert vault.verify().ok
            assert vault.num_episodes == report.num_episodes
