"""A vault and a list are given the same operations and hold the same, whenever the process dies."""

import shutil
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from strongbax.vault import ConflictError, Ends, Episode, GapError, Vault
from vault_death import Death, Killed, bury, dying, kill
from vault_folder import make_folder
from vault_model import End, Model
from vault_rings import SHAPES, Ring, Source, Steps, one_step, same, split

FLAGS = st.tuples(st.booleans(), st.booleans())


class VaultMachine(RuleBasedStateMachine):
    """Runs operations on a vault and on a `Model`."""

    @initialize(
        streams=st.integers(1, 3),
        block=st.sampled_from([4, 8]),
        capacity=st.integers(3, 20),
        seed=st.integers(0, 9),
    )
    def begin(self, streams: int, block: int, capacity: int, seed: int) -> None:
        self.path, self.storage = self.place()
        self.vault: Any = Vault.create(
            self.path,
            steps=one_step(),
            streams=streams,
            codec={"pixels": "zstd"},
            columns={"score": np.float64},
            block=block,
            storage=self.storage,
        )
        self.source = Source(streams, seed=seed)
        self.model = Model(streams)
        self.capacity = capacity
        self.ring = Ring(streams, capacity)
        self.reader: Any = self.open()
        self.seen = self.model.copy()

    def teardown(self) -> None:
        if hasattr(self, "path"):
            self.vault.close()
            self.clear()

    # -- where it lies

    def place(self) -> tuple[Any, Any]:
        """A path, and how to reach it."""
        return make_folder() / "machine.vault", None

    def clear(self) -> None:
        shutil.rmtree(self.path.parent)

    dying = staticmethod(dying)

    def open(self, mode: Any = "r") -> Any:
        return Vault.open(self.path, mode, storage=self.storage)

    @property
    def alone(self) -> bool:
        return self.model.streams == 1

    # -- writing

    @rule(count=st.integers(1, 12))
    def add(self, count: int) -> None:
        self.ring.add(self.source.steps(count))

    @rule(laps=st.booleans())
    def begin_another_ring(self, laps: bool) -> None:
        self.ring = Ring(self.model.streams, self.capacity, laps=laps)

    @rule(count=st.integers(0, 8), wait=st.booleans(), on_gap=st.sampled_from(["error", "record"]))
    def write(self, count: int, wait: bool, on_gap: str) -> None:
        self.ring.add(self.source.steps(count))
        expected = self._expected()
        if expected is None:
            return
        if not isinstance(expected, type) and expected[1] and on_gap == "error":
            expected = GapError
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.vault.write(self.ring.state(), wait=wait, on_gap=on_gap)
            return
        first, lost, fresh = expected
        written = self.vault.write(self.ring.state(), wait=wait, on_gap=on_gap)
        written = written if wait else written.result()
        assert written == self.model.flush(self.ring, first, lost=lost, fresh=fresh)

    def _expected(self) -> Any:
        """What `write` promises: (first new step, lost, fresh), an error, or None where it cannot know."""
        model, ring = self.model, self.ring
        mine, since = ring is model.ring, model.since
        if model.length == 0:
            return ring.oldest, 0, False
        if since is None:
            return None  # nothing was flushed before: tests of their own
        if mine and since > ring.oldest:  # they share the vault's last step
            return since, 0, False
        whole = ring.laps or ring.count < ring.capacity
        if not whole or ring.count < model.seen or (not mine and model.seen > ring.oldest):
            return ring.oldest, 0, ring.held > 0
        if not model.met:
            return ConflictError if ring.held else None
        return (ring.oldest, ring.oldest - since, False) if mine else None

    @precondition(lambda self: self.alone)
    @rule(
        lengths=st.lists(st.integers(0, 10), max_size=3),
        flags=st.lists(FLAGS, min_size=3, max_size=3),
        final=st.booleans(),
    )
    def append(self, lengths: list[int], flags: list[tuple[bool, bool]], final: bool) -> None:
        items = [self._episode(length, said, final) for length, said in zip(lengths, flags, strict=False)]
        if not items:
            return
        self.model.cut()
        first = self.vault.append([episode for episode, _, _ in items])
        assert first == len(self.model.episodes)
        for _, steps, end in items:
            self.model.commit(steps, [end])

    def _episode(
        self, length: int, flags: tuple[bool, bool], final: bool
    ) -> tuple[Episode, list[Steps], End]:
        block = self.source.steps(length)
        row = np.full(2, self.source.given, np.float32) if final else None
        end = End(length, *flags, final=row, score=float(length), attributes={"length": length})
        episode = Episode(
            {name: values[0] for name, values in block.items()},
            final={"observation": row} if final else None,
            terminated=flags[0],
            truncated=flags[1],
            columns={"score": float(length)},
            attributes={"length": length},
        )
        return episode, split(block), end

    @precondition(lambda self: self.alone)
    @rule(
        count=st.integers(0, 20),
        stops=st.none() | st.lists(st.integers(0, 20), max_size=4),
        flags=st.lists(FLAGS, min_size=4, max_size=4),
    )
    def extend(self, count: int, stops: list[int] | None, flags: list[tuple[bool, bool]]) -> None:
        block = self.source.steps(count)
        steps, ends = {name: values[0] for name, values in block.items()}, None
        if stops is not None:
            stops = sorted(stop for stop in stops if stop <= count)
            ends = [End(stop, *said) for stop, said in zip(stops, flags, strict=False)]
        self.vault.extend(steps, ends if ends is None else self._ends(ends))
        self.model.commit(split(block), ends)

    @staticmethod
    def _ends(ends: list[End]) -> Ends:
        return Ends(
            np.array([end.stop for end in ends], np.int64),
            np.array([end.terminated for end in ends], np.bool_),
            np.array([end.truncated for end in ends], np.bool_),
        )

    @rule()
    def seal(self) -> None:
        self.vault.seal()

    # -- ending and beginning

    @rule(how=st.sampled_from(["close", "die"]))
    def reopen(self, how: str) -> None:
        if how == "close":
            self.vault.close()
        else:
            kill(self.vault)
        self._reopen()

    @rule(
        count=st.integers(1, 12),
        after=st.sampled_from([0, 1, 2, 3, 4, 6, 9, 14, 20, 30]),
        share=st.floats(0, 1),
        what=st.sampled_from(["write", "seal", "close"]),
    )
    def die_while_working(self, count: int, after: int, share: float, what: str) -> None:
        """The vault opens with the last step that was committed, or with the flush that was under way."""
        self.ring.add(self.source.steps(count))
        before, after_it = self.model, self.model.copy()
        expected = self._expected() if what == "write" else None
        with self.dying(Death(after, share)):
            try:
                if isinstance(expected, tuple):
                    first, lost, fresh = expected
                    after_it.flush(self.ring, first, lost=lost, fresh=fresh)
                    self.vault.write(self.ring.state(), on_gap="record")
                    before = after_it
                elif what == "close":
                    self.vault.close()
                else:
                    self.vault.seal()
            except Killed:
                pass
            bury_whatever_happens(self.vault)
        with self.open() as reader:
            self.model = after_it if reader.length == after_it.length else before
            self.model.check(reader)
        self._reopen()

    def _reopen(self) -> None:
        self.vault = self.open("a")
        self.model.met = False

    # -- reading

    @rule(how=st.sampled_from(["stay", "refresh", "open"]))
    def read_beside_the_writer(self, how: str) -> None:
        """A reader holds what it saw when it looked."""
        if how == "refresh":
            self.reader.refresh()
        if how == "open":
            self.reader = self.open()
        if how != "stay":
            self.seen = self.model.copy()
        self.seen.check(self.reader)

    @rule()
    def read_everything(self) -> None:
        self.model.check(self.vault)
        for place in range(max(0, len(self.model.episodes) - 3), len(self.model.episodes)):
            self.model.check_episode(self.vault, place)

    @rule(data=st.data())
    def read_some(self, data: st.DataObject) -> None:
        length, streams = self.model.length, self.model.streams
        start = data.draw(st.integers(0, length))
        stop = data.draw(st.integers(start, length))
        name = data.draw(st.sampled_from(sorted(SHAPES)))
        low = data.draw(st.integers(0, streams - 1))
        run = slice(low, data.draw(st.integers(low + 1, streams)))
        vault = data.draw(st.sampled_from([self.vault, None])) or self.open()
        found = vault.read_numpy(start, stop, leaves=[name], streams=run)
        assert same(found[name], self.model.leaf(name, start, stop)[run])

    @rule()
    def verify(self) -> None:
        report = self.vault.verify()
        assert report.problems == []
        assert report.checked["steps"] == self.model.length * self.model.streams

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "vault"):
            assert self.vault.length == self.model.length
            assert self.vault.num_episodes == len(self.model.episodes)


def bury_whatever_happens(vault: Any) -> None:
    """A writer that died while closing is half buried already."""
    lock = getattr(vault._flusher._writer._journal, "lock", None)
    if lock is None or lock._descriptor >= 0:
        bury(vault)


TestVault = VaultMachine.TestCase
TestVault.settings = settings(max_examples=3 * settings().max_examples, stateful_step_count=30)
