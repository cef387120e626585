"""Histories: what a run of writes must leave in a vault, known in advance and kept in plain Python.

Write `k` of a history is a function of `k` alone, so any process can go on where another was killed, and any
vault can be compared with the writes that it must hold. A write brings at least one step, so the vault's
length says how many writes it holds.
"""

import bisect
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from strongbax.vault import Ends, Episode, Vault

BLOCK = 32
CAPACITY = 80  # of the ring, in steps: more than a flush, so that ring and vault share some
CUT = {
    "terminated": False,
    "truncated": False,
    "final_known": False,
    "seed": 0,
    "attributes": {},
    "final": None,
}


def hashes(streams: int, start: int, stop: int) -> np.ndarray:
    """A number for every step, int64 [B, T]."""
    times, stream = np.arange(start, stop)[None], np.arange(streams)[:, None]
    return (times * 2654435761 + stream * 40503 + 12345) % 1000003


def steps(streams: int, start: int, stop: int) -> dict[str, Any]:
    """The steps `[start, stop)` of every stream; rewards are quarters, so that their sums are exact."""
    h = hashes(streams, start, stop)
    return {
        "observation": (h[..., None] + np.arange(5)).astype(np.float32),
        "infos": {"qpos": h[..., None] / np.array([3.0, 7.0])},
        "pixels": ((h[..., None, None] // 64 + np.arange(36).reshape(6, 6)) % 256).astype(np.uint8),
        "reward": (h % 41 / 4 - 5).astype(np.float32),
        "terminated": h % 13 == 0,
        "truncated": h % 17 == 0,
    }


def named(tree: dict[str, Any]) -> dict[str, np.ndarray]:
    """The leaves by the names that a vault gives them."""
    return {"infos/qpos": tree["infos"]["qpos"]} | {
        name: leaf for name, leaf in tree.items() if name != "infos"
    }


def one_stream(tree: dict[str, Any]) -> dict[str, Any]:
    """Steps of the first stream, leaves `[T, ...]`."""
    return {name: one_stream(leaf) if isinstance(leaf, dict) else leaf[0] for name, leaf in tree.items()}


@dataclass
class Moment:
    """What a vault holds after some writes."""

    length: int
    episodes: int
    starts: list[int]
    totals: list[float]


@dataclass
class History(ABC):
    """The writes, and what they add up to; `moments[k]` is the state after `k` writes."""

    streams: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moments.append(Moment(0, 0, [0] * self.streams, [0.0] * self.streams))

    def moment(self, writes: int) -> Moment:
        while len(self.moments) <= writes:
            self._add(len(self.moments) - 1)
        return self.moments[writes]

    def held(self, length: int) -> int:
        """How many writes bring this many steps.

        Raises:
          AssertionError: if a write would be there in part.
        """
        while self.moments[-1].length < length:
            self._add(len(self.moments) - 1)
        writes = bisect.bisect_left(self.moments, length, key=lambda moment: moment.length)
        assert self.moment(writes).length == length, f"{length} steps are no boundary between two writes"
        return writes

    def create(self, path: Any, **further: Any) -> Vault:
        step = one_stream(one_stream(steps(1, 0, 1)))
        further = {"block": BLOCK, "codec": {"pixels": "zstd"}} | further
        return Vault.create(path, steps=step, streams=self.streams, columns={"seed": np.int64}, **further)

    def compare_resumed(self, vault: Vault, writes: int) -> None:
        """Compares the newest resume point of a vault that holds so many writes; most histories make none."""
        assert vault.resume_points == ()

    @abstractmethod
    def write(self, vault: Vault, number: int, *, wait: bool) -> Any:
        """Does write `number` on a vault that holds those before it; a handle, or None if it waited."""

    @abstractmethod
    def _add(self, number: int) -> None:
        """Adds write `number` to what the vault must hold."""

    def _end(self, now: Moment, stream: int, stop: int, **facts: Any) -> None:
        """Ends the episode that runs in a stream."""
        start = now.starts[stream]
        row = {"stream": stream, "start": start, "length": stop - start, "return": now.totals[stream]}
        self.rows.append(CUT | row | facts)
        now.episodes += 1
        now.starts[stream], now.totals[stream] = stop, 0.0

    def _step(self, now: Moment, tree: dict[str, Any], place: int, stream: int) -> tuple[bool, bool]:
        """Takes a step's reward; says whether the step terminated or truncated its episode."""
        now.totals[stream] += float(tree["reward"][stream, place])
        return bool(tree["terminated"][stream, place]), bool(tree["truncated"][stream, place])


class RingHistory(History):
    """A ring of 3 streams, flushed after each few steps."""

    def __init__(self) -> None:
        super().__init__(streams=3)

    def write(self, vault: Vault, number: int, *, wait: bool) -> Any:
        handle = vault.write(self.state(self.moment(number + 1).length), wait=wait)
        return None if wait else handle

    def state(self, length: int) -> SimpleNamespace:
        """The ring when `length` steps were added to each stream."""
        times = np.arange(max(0, length - CAPACITY), length)
        held = steps(self.streams, times[0] if len(times) else 0, length)
        return SimpleNamespace(
            experience=_lay_out(held, times % CAPACITY),
            current_index=np.int32(length % CAPACITY),
            is_full=np.bool_(length >= CAPACITY),
            laps=np.int32(length // CAPACITY),
        )

    def _add(self, number: int) -> None:
        before, rng = self.moments[-1], random.Random(number)
        count = rng.choice([1, 2, 3, 5, 8, 13, 21, 31, 32, 33, 40, 64]) if number % 2 else rng.randint(1, 12)
        now = Moment(before.length + count, before.episodes, [*before.starts], [*before.totals])
        tree = steps(self.streams, before.length, now.length)
        for place in range(count):
            for stream in range(self.streams):
                terminated, truncated = self._step(now, tree, place, stream)
                if terminated or truncated:
                    stop = before.length + place + 1
                    self._end(now, stream, stop, terminated=terminated, truncated=truncated)
        self.moments.append(now)


class RecordingHistory(History):
    """Recorded steps of one stream: whole episodes, blocks with flags, blocks with ends."""

    def __init__(self) -> None:
        super().__init__(streams=1)

    def write(self, vault: Vault, number: int, *, wait: bool) -> Any:
        kind, counts = self._plan(number)
        start = self.moment(number).length
        if kind == "episodes":
            vault.append(self._episodes(start, counts))
        else:
            block = one_stream(steps(1, start, start + sum(counts)))
            vault.extend(block, self._ends(start, counts) if kind == "ends" else None)

    def _plan(self, number: int) -> tuple[str, list[int]]:
        """What a write is, and the lengths of its parts."""
        rng = random.Random(number)
        kind = rng.choice(["episodes", "flags", "ends"])
        longest = rng.choice([4, 12, 40])
        return kind, [rng.randint(1, longest) for _ in range(rng.randint(1, 4))]

    def _episodes(self, start: int, counts: list[int]) -> list[Episode]:
        stops = np.cumsum(counts) + start
        return [
            Episode(
                one_stream(steps(1, stop - count, stop)),
                final={"observation": np.full(5, stop, np.float32)},
                terminated=bool(stop % 2),
                columns={"seed": stop * 3},
                attributes={"stop": int(stop)},
            )
            for stop, count in zip(stops, counts, strict=True)
        ]

    def _ends(self, start: int, counts: list[int]) -> Ends:
        """The ends of all parts but the last, which runs on."""
        stop = np.cumsum(counts[:-1], dtype=np.int64)
        times = stop + start
        return Ends(
            stop=stop,
            terminated=times % 2 == 0,
            truncated=times % 3 == 0,
            final={"observation": np.repeat(times[:, None], 5, 1).astype(np.float32)},
            final_known=times % 5 != 0,
            columns={"seed": times * 7},
            attributes=[{"time": int(time)} for time in times],
        )

    def _add(self, number: int) -> None:
        kind, counts = self._plan(number)
        before = self.moments[-1]
        now = Moment(before.length + sum(counts), before.episodes, [*before.starts], [*before.totals])
        if kind == "episodes" and now.starts[0] < before.length:
            self._end(now, 0, before.length)  # whole episodes cut the one that runs
        tree, stops = steps(1, before.length, now.length), set((np.cumsum(counts) + before.length).tolist())
        for place in range(sum(counts)):
            terminated, truncated = self._step(now, tree, place, 0)
            stop = before.length + place + 1
            if kind == "flags" and (terminated or truncated):
                self._end(now, 0, stop, terminated=terminated, truncated=truncated)
            elif kind == "episodes" and stop in stops:
                self._end(now, 0, stop, **_appended(stop, truncated))
            elif kind == "ends" and stop in stops - {now.length}:
                self._end(now, 0, stop, **_told(stop))
        self.moments.append(now)


HISTORIES = {"ring": RingHistory, "recording": RecordingHistory}


def _appended(stop: int, truncated: bool) -> dict[str, Any]:
    facts = {"terminated": bool(stop % 2), "truncated": truncated, "final_known": True}
    return facts | {"seed": stop * 3, "attributes": {"stop": stop}, "final": float(stop)}


def _told(stop: int) -> dict[str, Any]:
    known = stop % 5 != 0
    facts = {"terminated": stop % 2 == 0, "truncated": stop % 3 == 0, "final_known": known}
    return facts | {"seed": stop * 7, "attributes": {"time": stop}, "final": float(stop) if known else None}


def _lay_out(tree: dict[str, Any], slots: np.ndarray) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, leaf in tree.items():
        if isinstance(leaf, dict):
            out[name] = _lay_out(leaf, slots)
        else:
            out[name] = np.zeros((len(leaf), CAPACITY, *leaf.shape[2:]), leaf.dtype)
            out[name][:, slots] = leaf
    return out
