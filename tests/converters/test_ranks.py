"""Ranks and engines: whoever writes the shares, in whatever order, the vault is a plain conversion's."""

import json
import pickle
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from resume_files import files, write
from strongbax.converters import convert, convert_rank
from strongbax.converters.order import orders, work_of
from strongbax.converters.share import write_share
from strongbax.vault import block
from strongbax.vault.errors import AlreadyExistsError, NotFoundError
from strongbax.vault.vault import Vault

SHARE = 8 << 10


@pytest.fixture(autouse=True)
def small_vault_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "BLOCK_BYTES", 4096)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "from").mkdir()
    return write(tmp_path / "from/file.hdf5")


def test_ranks_in_any_order_make_the_same_vault(source: Path, tmp_path: Path):
    """Ranks come when they like, one comes twice; the last call only puts the vault in its place."""
    convert(source, tmp_path / "alone", share_bytes=SHARE)
    rank = partial(convert_rank, source, tmp_path / "v", world_size=3, share_bytes=SHARE)
    seen: list[tuple[int, int]] = []
    reports = [rank(rank=number, progress=lambda *done: seen.append(done)) for number in (2, 0, 2, 1)]
    assert sum(reports[n].shares for n in (0, 1, 3)) == reports[0].num_shares == 8
    assert [report.missing for report in reports] == [6, 3, 3, 0]
    assert seen[-1][0] == seen[-1][1] > 0
    written: list[int] = []
    convert(source, tmp_path / "v", share_bytes=SHARE, engine=lambda job, numbers: written.extend(numbers))
    assert written == []
    assert files(tmp_path / "v") == files(tmp_path / "alone")
    assert not work_of(tmp_path / "v").exists()
    with pytest.raises(AlreadyExistsError):
        rank(rank=0)


def test_what_no_rank_made_is_made_at_the_end(source: Path, tmp_path: Path):
    """A rank that never ran is no obstacle."""
    convert_rank(source, tmp_path / "v", rank=1, world_size=2, share_bytes=SHARE)
    report = convert(source, tmp_path / "v", share_bytes=SHARE)
    assert report.num_steps == 1500
    with pytest.raises(ValueError, match="`rank` must be from 0 to `world_size` - 1: got 2 of 2"):
        convert_rank(source, tmp_path / "w", rank=2, world_size=2)


def test_what_one_rank_finds_out_all_ranks_do(tmp_path: Path):
    """A rank that finds that the source is to be read otherwise tells those that begin a share after it."""
    path = write(tmp_path / "file.hdf5", odd=1400)
    convert(path, tmp_path / "alone", share_bytes=SHARE)
    rank = partial(convert_rank, path, tmp_path / "v", world_size=2, share_bytes=SHARE)
    early, late, again = rank(rank=0), rank(rank=1), rank(rank=0)
    assert (early.missing > 0, late.missing > 0, again.missing) == (True, True, 0)
    assert max(len(order.notes) for order in orders(work_of(tmp_path / "v"))) == 1
    convert(path, tmp_path / "v", share_bytes=SHARE)
    assert files(tmp_path / "v") == files(tmp_path / "alone")
    with Vault.open(tmp_path / "v") as vault:
        assert "next_observation" in vault.leaves


def test_an_engine_writes_shares_in_any_order_and_twice(source: Path, tmp_path: Path):
    """Engines repeat and reorder what they are given; the vault does not show it."""
    convert(source, tmp_path / "alone", share_bytes=SHARE)

    def engine(job, numbers):
        shuffled = random.Random(0).sample(numbers, len(numbers))
        for number in [*shuffled, *shuffled[:3]]:
            write_share(job, number)
            if number == 5:
                job.record(5).unlink()  # as if it had been lost, and another attempt made it too
                write_share(job, number)

    convert(source, tmp_path / "v", share_bytes=SHARE, engine=engine)
    assert files(tmp_path / "v") == files(tmp_path / "alone")


def test_an_engine_that_leaves_something_out_is_told(source: Path, tmp_path: Path):
    """No vault is made of less than all shares, and what is there is kept for the next call."""
    with pytest.raises(NotFoundError, match="7 of the 8 shares are not written yet, number 1 first"):
        convert(
            source,
            tmp_path / "v",
            share_bytes=SHARE,
            engine=lambda job, numbers: write_share(job, 0) and None,
        )
    seen: list[int] = []
    convert(
        source,
        tmp_path / "v",
        share_bytes=SHARE,
        engine=lambda job, numbers: seen.extend(numbers) or all_of(job),
    )
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def all_of(job):
    for number in job.missing():
        write_share(job, number)


def test_the_command_line_converts_by_ranks_and_workers(source: Path, tmp_path: Path, strongbax):
    """`--rank R --world-size W` writes some, the plain command finishes; `--workers` makes the same vault."""
    for rank in (1, 0):
        ranks = ("--rank", rank, "--world-size", 2, "--json")
        code, output, _ = strongbax("convert", source, tmp_path / "v", *ranks)
        assert code == 0
        told = json.loads(output)
        assert (told["rank"], told["num_shares"]) == (rank, 1)
    assert told["missing"] == 0
    assert not (tmp_path / "v").exists()
    _, output, _ = strongbax("convert", source, tmp_path / "v", "--rank", 0, "--world-size", 2)
    assert "All is written" in output
    assert strongbax("convert", source, tmp_path / "v")[0] == 0
    assert strongbax("convert", source, tmp_path / "w", "--workers", 2)[0] == 0
    assert files(tmp_path / "v") == files(tmp_path / "w")
    code, _, error = strongbax("convert", source, tmp_path / "x", "--rank", 0)
    assert (code, "belong together" in error) == (2, True)


def test_a_share_is_written_without_jax(source: Path, tmp_path: Path):
    """A process that writes shares never imports JAX, nor the program that made the job."""
    code = (
        "import pickle, sys; from strongbax.converters.share import write_share; "
        "import strongbax.converters.worker;"
        "share = write_share(pickle.load(open(sys.argv[1], 'rb')), 0);"
        "assert share.span.stop > 100; assert 'jax' not in sys.modules"
    )

    def engine(job, numbers):
        (tmp_path / "job").write_bytes(pickle.dumps(job))
        subprocess.run([sys.executable, "-c", code, tmp_path / "job"], check=True, timeout=120)
        assert job.missing() == numbers[1:]
        all_of(job)

    convert(source, tmp_path / "v", share_bytes=SHARE, engine=engine)
