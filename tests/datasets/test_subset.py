"""Some leaves of a publication are a vault like any other, and its card is a folder to read."""

import json

import numpy as np
import pytest
import zarr
from publishing_vaults import files_of, make_vault, same_steps
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.datasets.source import FolderSource
from strongbax.vault import AlreadyExistsError, FormatError, Vault


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    publish(make_vault(folder / "walk.vault"), folder / "out")
    return folder / "out"


def test_some_leaves_are_a_vault(published, tmp_path):
    """They are read, verified and written on as any vault; the other leaves' files were not brought."""
    path = fetch(published, tmp_path / "few.vault", leaves=["observation/speed", "action"])
    with Vault.open(path) as vault:
        names = {"observation/speed", "action", "reward", "terminated", "truncated"}
        assert set(vault.leaves) == names
        assert vault.verify().problems == []
        assert set(vault[1].steps) == {"observation", "action", "reward", "terminated", "truncated"}
        assert set(vault[1].steps["observation"]) == {"speed"}
        assert vault[2].final["observation"]["speed"].tolist() == [1, 1, 1]
        assert vault.schema.finals == ("observation/speed",)
    same_steps(published, path, leaves=sorted(names))
    assert not any("pixels" in name for name in files_of(path))
    assert zarr.open_group(path, mode="r")["steps/action"].shape == (1, 170, 2)
    with Vault.open(path, mode="a") as vault:
        steps = {
            name: np.zeros((2, *vault.schema.leaf(name).shape), vault.schema.leaf(name).dtype)
            for name in names
        }
        steps["observation"] = {"speed": steps.pop("observation/speed")}
        vault.extend(steps)
    with Vault.open(path) as vault:
        assert vault.num_steps == 172
        assert vault.verify().problems == []


def test_a_part_says_what_it_is_of(published, tmp_path, monkeypatch):
    """Its manifest names the whole and the leaves; fetched again nothing but the root is brought."""
    path = fetch(published, tmp_path / "few.vault", leaves="observation")
    manifest = json.loads((path / "manifest.json").read_text())
    whole = FolderSource(published).manifest
    assert (manifest["of"], manifest["dataset_id"]) == (whole.revision, "toy/walk-v0")
    brought = []
    plain = FolderSource.bring
    monkeypatch.setattr(FolderSource, "bring", lambda *a: (brought.append(a[1].path), plain(*a))[1])
    fetch(published, path, leaves="observation")
    assert brought == ["zarr.json"]
    with pytest.raises(AlreadyExistsError):
        fetch(published, path, leaves=["action"])
    with pytest.raises(AlreadyExistsError):
        fetch(published, path)
    fetch(published, path, leaves=["action"], overwrite=True)
    again = fetch(path, tmp_path / "again.vault")  # a part is fetched as it is
    assert files_of(again) == files_of(path)
    assert not list(tmp_path.glob(".*"))


def test_the_reward_alone(published, tmp_path):
    """No leaf but those with a role makes a vault too: the episodes and what they earned."""
    with Vault.open(fetch(published, tmp_path / "few.vault", leaves=[])) as vault:
        assert vault.num_episodes == 4
        assert set(vault.leaves) == {"reward", "terminated", "truncated"}
        assert vault.verify().problems == []


def test_a_leaf_that_is_not_there(published, tmp_path):
    """A name that fits no leaf is told, with the leaves that there are; nothing appears."""
    with pytest.raises(ValueError, match=r"'obs', which is none of the leaves .*'action'"):
        fetch(published, tmp_path / "few.vault", leaves=["obs"])
    assert not (tmp_path / "few.vault").exists()


def test_the_card_alone(published, tmp_path):
    """The card is README and table, and no vault; there is nothing to choose leaves of."""
    path = fetch(published, tmp_path / "card", card=True)
    assert set(files_of(path)) == {"README.md", "episodes.parquet", "manifest.json"}
    assert (path / "README.md").read_bytes() == (published / "README.md").read_bytes()
    fetch(published, path, card=True)
    with pytest.raises(FormatError, match="only the card"):
        fetch(path, tmp_path / "few.vault", leaves=["action"])


def test_items_of_a_tuple_keep_their_numbers(tmp_path):
    """Of a step that is a tuple some items are taken by their numbers, and hang in a dict."""
    from publishing_vaults import CARD
    from strongbax.vault import Episode

    step = (np.zeros(2, np.float32), {"a": np.float32(0)}, np.int32(0))
    with Vault.create(tmp_path / "tuple.vault", steps=step) as vault:
        vault.append(
            Episode(
                (np.ones((4, 2), np.float32), {"a": np.ones(4, np.float32)}, np.arange(4, dtype=np.int32))
            )
        )
        vault.write_card(CARD)
    publish(tmp_path / "tuple.vault", tmp_path / "out")
    with Vault.open(fetch(tmp_path / "out", tmp_path / "few.vault", leaves=["0", "2"])) as vault:
        assert list(vault.leaves) == ["0", "2"]
        steps = vault[0].steps
        assert set(steps) == {0, 2}
        assert steps[2].tolist() == [0, 1, 2, 3]
        assert vault.verify().problems == []


def test_leaves_of_parts(tmp_path):
    """A vault with parts that was published as it is is fetched as a whole only."""
    vault = make_vault(tmp_path / "a.vault", lengths=(3, 4))
    with Vault.open(vault, mode="a", part="other") as part, Vault.open(vault) as whole:
        part.append(whole[0])
    (vault / "parts/other/resume").mkdir(exist_ok=True)
    (vault / "parts/other/resume/00000001.point").write_bytes(b"private")
    publish(vault, tmp_path / "out", pack=False)
    assert not any("resume" in name or "writer.lock" in name for name in files_of(tmp_path / "out"))
    with pytest.raises(FormatError, match="parts"):
        fetch(tmp_path / "out", tmp_path / "few.vault", leaves=["action"])
    with Vault.open(fetch(tmp_path / "out", tmp_path / "all.vault")) as whole:
        assert whole.num_episodes == 3
