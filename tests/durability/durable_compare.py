"""Comparing what a vault holds with the history that was written into it: byte for byte, row by row."""

from typing import Any

from durable_history import History, Moment, named, steps
from strongbax.vault import Vault

COLUMNS = ("stream", "start", "length", "return", "terminated", "truncated", "final_known", "seed")


def compare(vault: Vault, history: History, *, deep: bool = True) -> int:
    """Compares all that a vault holds with its history, and verifies it.

    Returns:
      How many writes it holds.

    Raises:
      AssertionError: saying what differs.
    """
    writes = history.held(vault.length)
    now = history.moment(writes)
    wanted = named(steps(history.streams, 0, now.length))
    found = vault.read_numpy(leaves=vault.leaves)
    assert set(found) == set(wanted)
    for name, leaf in wanted.items():
        assert (found[name].dtype, found[name].shape) == (leaf.dtype, leaf.shape), name
        assert found[name].tobytes() == leaf.tobytes(), f"the steps of {name} differ"
    _compare_episodes(vault, history.rows[: now.episodes])
    _compare_running(vault, now)
    report = vault.verify(deep=deep)
    assert report.ok, report.problems
    history.compare_resumed(vault, writes)
    return writes


def compare_end(vault: Vault, history: History, count: int = 200) -> int:
    """Compares the last steps and episodes of a vault, which may be long, with its history.

    Returns:
      How many writes it holds.
    """
    writes = history.held(vault.length)
    now = history.moment(writes)
    first = max(0, now.length - count)
    wanted = named(steps(history.streams, first, now.length))
    for name, leaf in vault.read_numpy(first, leaves=vault.leaves).items():
        assert leaf.tobytes() == wanted[name].tobytes(), f"the steps of {name} differ"
    table, first = vault.episodes, max(0, now.episodes - count)
    assert table.num_rows == now.episodes == vault.num_episodes
    for name in COLUMNS:
        wanted = [row[name] for row in history.rows[first : now.episodes]]
        assert table[name][first:].tolist() == wanted, f"the column {name} differs"
    _compare_running(vault, now)
    return writes


def _compare_episodes(vault: Vault, rows: list[dict[str, Any]]) -> None:
    table = vault.episodes
    assert table.num_rows == len(rows) == vault.num_episodes
    assert table["id"].tolist() == list(range(len(rows)))
    for name in COLUMNS:
        assert table[name].tolist() == [row[name] for row in rows], f"the column {name} differs"
    for number, row in enumerate(rows):
        assert table.attributes(number) == row["attributes"], f"the attributes of episode {number} differ"
    for number in {*range(len(rows))[:2], *range(len(rows))[-4:], len(rows) // 2} - {len(rows)}:
        _compare_episode(vault, number, rows[number])


def _compare_episode(vault: Vault, number: int, row: dict[str, Any]) -> None:
    episode, span = vault[number], slice(row["start"], row["start"] + row["length"])
    wanted = steps(row["stream"] + 1, span.start, span.stop)["observation"][-1]
    assert episode.steps["observation"].tobytes() == wanted.tobytes(), f"episode {number} differs"
    if row["final"] is None:
        assert episode.final is None
    else:
        assert episode.final["observation"].tolist() == [row["final"]] * 5, f"the final row {number} differs"


def _compare_running(vault: Vault, now: Moment) -> None:
    table = vault.open_episodes
    streams = [stream for stream, start in enumerate(now.starts) if start < now.length]
    assert table["stream"].tolist() == streams
    assert table["start"].tolist() == [now.starts[stream] for stream in streams]
    assert table["return"].tolist() == [now.totals[stream] for stream in streams]
