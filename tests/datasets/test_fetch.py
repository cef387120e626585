"""What is fetched is what was published, to the byte; it is there whole or not at all."""

import pytest
from publishing_vaults import files_of, make_vault, same_steps
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.datasets.source import FolderSource
from strongbax.vault import AlreadyExistsError, CorruptionError, NotFoundError, Vault


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    publish(make_vault(folder / "walk.vault"), folder / "out")
    return folder / "out"


def test_what_is_fetched_is_what_was_published(published, tmp_path):
    """Every file is there, the vault opens, verifies, and can be fetched again at no cost."""
    told = []
    path = fetch(published, tmp_path / "here.vault", progress=lambda *what: told.append(what))
    assert files_of(path) == files_of(published)
    same_steps(published, path)
    with Vault.open(path) as vault:
        assert vault.verify().problems == []
    assert (
        told[-1][1]
        == told[-1][2]
        == sum(map(len, files_of(published).values())) - len((published / "manifest.json").read_bytes())
    )
    before = path.stat().st_ino
    fetch(published, path)
    assert path.stat().st_ino == before
    assert [one.name for one in tmp_path.iterdir()] == ["here.vault"]


def test_each_tampered_file_is_named(published, tmp_path):
    """A flipped bit, a lost end, an added byte and a missing file are found in each file, which is named."""
    copy = tmp_path / "copy"
    fetch(published, copy)
    whole = files_of(copy)
    for number, (path, data) in enumerate(sorted(whole.items())):
        if path == "manifest.json":
            continue
        flipped = bytes([data[0] ^ 1]) + data[1:]
        wrong = (flipped, data[:-1], data + b"x", None)[number % 4]
        (copy / path).unlink() if wrong is None else (copy / path).write_bytes(wrong)
        with pytest.raises(CorruptionError, match=f"'{path}'"):
            fetch(copy, tmp_path / "there.vault")  # what came before it is kept
        (copy / path).write_bytes(data)
        assert not (tmp_path / "there.vault").exists()
    fetch(copy, tmp_path / "there.vault")
    assert files_of(tmp_path / "there.vault") == whole


def test_nothing_takes_the_place_of_something_else(published, tmp_path):
    """What stands at the destination stays, unless it is a publication and `overwrite` is given."""
    vault = make_vault(tmp_path / "mine.vault", seed=3)
    with pytest.raises(AlreadyExistsError, match="Choose another"):
        fetch(published, vault)
    with pytest.raises(AlreadyExistsError, match="Choose another"):
        fetch(published, vault, overwrite=True)
    publish(vault, tmp_path / "other")
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        fetch(published, tmp_path / "other")
    fetch(published, tmp_path / "other", overwrite=True)
    assert files_of(tmp_path / "other") == files_of(published)


def test_what_is_not_published_is_not_fetched(tmp_path):
    """A folder without a manifest, and none at all, are told as such."""
    for name in ("mine.vault", "nothing"):
        if name == "mine.vault":
            make_vault(tmp_path / name)
        with pytest.raises(NotFoundError, match=r"no manifest\.json"):
            fetch(tmp_path / name, tmp_path / "here")


def test_what_came_before_is_not_brought_again(published, tmp_path, monkeypatch):
    """After a stop in the middle, files that came are kept, half ones go on, wrong ones are brought anew."""
    brought = []
    plain = FolderSource.bring

    def bring(self, entry, path, tell):
        if len(brought) == 10:
            path.with_name(path.name + ".part").write_bytes((published / entry.path).read_bytes()[:7])
            raise KeyboardInterrupt
        brought.append(entry.path)
        plain(self, entry, path, tell)

    monkeypatch.setattr(FolderSource, "bring", bring)
    with pytest.raises(KeyboardInterrupt):
        fetch(published, tmp_path / "here.vault")
    assert not (tmp_path / "here.vault").exists()
    work = tmp_path / ".here.vault.fetching"
    spoilt = work / brought[3]
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    (work / "stranger").write_text("of an older publication")
    before, first = len(brought), list(brought)
    brought.append("")  # past the stop
    fetch(published, tmp_path / "here.vault")
    assert brought[before + 1] == first[3]
    assert not set(brought[before + 2 :]) & set(first)
    assert files_of(tmp_path / "here.vault") == files_of(published)
    assert [one.name for one in tmp_path.iterdir()] == ["here.vault"]


def test_a_folder_that_is_replaced_meanwhile(tmp_path, monkeypatch):
    """Where another publication takes the folder's name in between, that one is fetched, and no mixture."""
    vaults = [make_vault(tmp_path / f"{n}.vault", seed=n, lengths=(5 + n,)) for n in range(2)]
    publish(vaults[0], tmp_path / "out")
    plain, count = FolderSource.bring, [0]

    def bring(self, entry, path, tell):
        count[0] += 1
        if count[0] == 10:
            publish(vaults[1], tmp_path / "out")
        plain(self, entry, path, tell)

    monkeypatch.setattr(FolderSource, "bring", bring)
    path = fetch(tmp_path / "out", tmp_path / "here.vault")
    same_steps(vaults[1], path)
    assert files_of(path) == files_of(tmp_path / "out")
