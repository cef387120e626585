"""A vault in a list: what the real one must hold after the same operations."""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from vault_rings import SHAPES, Ring, Steps, same


@dataclass
class End:
    """An episode's end in a block: its last step is the one before `stop`."""

    stop: int
    terminated: bool
    truncated: bool
    stream: int = 0
    final: Any = None
    score: float = 0.0
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Model:
    """Steps, episodes and gaps of a vault, and what it knows of the ring that was flushed last.

    `since` is that ring's count at its last flush, `seen` the same as far as its state says (a full ring
    without laps may have gone round any number of times), `row` the vault's length then, `ring` the ring
    itself. `met` says whether this session flushed it.
    """

    streams: int
    steps: list[Steps] = field(default_factory=list)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    since: int | None = None
    seen: int = 0
    row: int = 0
    ring: Ring | None = None
    met: bool = False

    def __post_init__(self) -> None:
        self.start = self.start or [0] * self.streams
        self.total = self.total or [0.0] * self.streams

    @property
    def length(self) -> int:
        return len(self.steps)

    def copy(self) -> "Model":
        return copy.copy(self)._apart()

    def _apart(self) -> "Model":
        for name in ("steps", "episodes", "start", "total", "gaps"):
            setattr(self, name, list(getattr(self, name)))
        return self

    # -- operations

    def end(self, end: End) -> None:
        """Ends the running episode of a stream at the present length."""
        self.episodes.append(
            {
                "stream": end.stream,
                "start": self.start[end.stream],
                "length": self.length - self.start[end.stream],
                "return": self.total[end.stream],
                "terminated": end.terminated,
                "truncated": end.truncated,
                "final": end.final,
                "score": end.score,
                "attributes": end.attributes,
            }
        )
        self.start[end.stream], self.total[end.stream] = self.length, 0.0

    def cut(self) -> None:
        """Ends every running episode that has a step, as neither terminated nor truncated."""
        for stream in range(self.streams):
            if self.start[stream] < self.length:
                self.end(End(0, terminated=False, truncated=False, stream=stream))

    def commit(self, steps: list[Steps], ends: list[End] | None = None) -> None:
        """Appends steps; episodes end where `ends` says, or where the steps' own flags do."""
        for place in range(len(steps) + 1):
            if ends is not None:
                for end in ends:
                    if end.stop == place:
                        self.end(end)
            if place == len(steps):
                break
            step = steps[place]
            self.steps.append(step)
            for stream in range(self.streams):
                self.total[stream] += float(step["reward"][stream])
            for stream in range(self.streams):
                flags = bool(step["terminated"][stream]), bool(step["truncated"][stream])
                if ends is None and any(flags):
                    self.end(End(0, *flags, stream=stream))

    def flush(self, ring: Ring, first: int, *, lost: int, fresh: bool) -> int:
        """Flushes a ring's steps from `first` on."""
        news = ring.history[first:]
        begins = fresh or self.ring is not ring
        apart = self.ring is ring and self.row < self.length  # steps from elsewhere came between
        if news and (fresh or lost or apart):
            self.gaps.append((self.length, lost))
            self.cut()
        self.commit(news)
        if news:
            self.seen = ring.least_count if begins else self.seen + lost + len(news)
            self.since, self.ring, self.row, self.met = ring.count, ring, self.length, True
        return len(news)

    # -- comparison

    def leaf(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Gives `[B, T, ...]`."""
        dtype, shape = SHAPES[name]
        rows = [step[name] for step in self.steps[start:stop]]
        empty = np.zeros((self.streams, 0, *shape), dtype)
        return np.concatenate([empty, *(row[:, None] for row in rows)], axis=1)

    def check(self, vault: Any) -> None:
        """Compares everything that a vault can tell."""
        assert (vault.length, vault.num_episodes) == (self.length, len(self.episodes))
        assert vault.num_steps == self.length * self.streams
        steps = vault.read_numpy()
        for name in SHAPES:
            assert same(steps[name], self.leaf(name)), name
        self.check_table(vault)
        assert [(gap.time, gap.lost) for gap in vault.gaps] == self.gaps

    def check_table(self, vault: Any) -> None:
        table = vault.episodes
        assert table["id"].tolist() == list(range(len(self.episodes)))
        for name in ("stream", "start", "length", "return", "terminated", "truncated", "score"):
            assert table[name].tolist() == [row[name] for row in self.episodes], name
        assert table["return"].dtype == np.float64
        known = [row["final"] is not None for row in self.episodes]
        assert table["final_known"].tolist() == known
        for place, row in enumerate(self.episodes):
            assert table.attributes(place) == row["attributes"]
        runs = [stream for stream in range(self.streams) if self.start[stream] < self.length]
        table = vault.open_episodes
        assert table["id"].tolist() == [-1] * len(runs)
        assert table["stream"].tolist() == runs
        assert table["start"].tolist() == [self.start[stream] for stream in runs]
        assert table["length"].tolist() == [self.length - self.start[stream] for stream in runs]
        assert table["return"].tolist() == [self.total[stream] for stream in runs]

    def check_episode(self, vault: Any, place: int) -> None:
        """Compares one episode with its steps."""
        row, episode = self.episodes[place], vault[place]
        stop = row["start"] + row["length"]
        assert (episode.id, episode.stream, episode.start) == (place, row["stream"], row["start"])
        assert len(episode) == row["length"]
        for name in SHAPES:
            assert same(episode.steps[name], self.leaf(name, row["start"], stop)[row["stream"]]), name
        assert (episode.terminated, episode.truncated) == (row["terminated"], row["truncated"])
        assert episode.attributes == row["attributes"]
        assert episode.return_ == row["return"]
        assert episode.columns["score"] == row["score"]
        assert (episode.final is None) == (row["final"] is None)
        if row["final"] is not None:
            assert same(episode.final["observation"], row["final"])
