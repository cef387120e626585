"""Whatever happens to a run, it goes on from a checkpoint as if nothing had, and no step is doubled."""

import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resume_run import BUFFERS, STEP, STREAMS, Rows, Run, bits, turn
from strongbax.vault import Vault
from vault_death import Death, Killed, bury, dying, kill
from vault_folder import make_folder

ACTIONS = st.one_of(
    st.tuples(st.just("play"), st.sampled_from([1, 3, 5])),
    st.tuples(st.just("play"), st.sampled_from([1, 3, 5])),
    st.tuples(st.just("write"), st.none()),
    st.tuples(st.just("checkpoint"), st.none()),
    st.tuples(st.just("kill"), st.integers(0, 3)),
    st.tuples(st.just("kill in a write"), st.tuples(st.integers(0, 5), st.floats(0, 1))),
    st.tuples(st.just("kill in a checkpoint"), st.tuples(st.integers(0, 12), st.floats(0, 1))),
    st.tuples(st.just("close"), st.none()),
)


class Life:
    """A run, its vault, and what must be there."""

    def __init__(self, kind: str, *, diverges: bool) -> None:
        self.folder, self.diverges, self.salt = make_folder(), diverges, 0
        self.path = self.folder / "run.vault"
        self.vault: Any = Vault.create(self.path, steps=STEP, streams=STREAMS, block=4)
        self.run, self.rows, self.points = Run.begin(kind), Rows(), dict[int, Run]()
        self.checkpoint()

    def play(self, count: int) -> None:
        self.run = self.run.play(count, self.salt)

    def write(self, _: Any = None) -> None:
        before = len(self.rows.ids)
        self.rows, self.run = self.rows.write(self.run)
        assert self.vault.write(self.run.state, on_gap="record") == len(self.rows.ids) - before

    def checkpoint(self, _: Any = None) -> None:
        self.rows, self.run = self.rows.write(self.run)
        number = self._checkpoint()
        assert number == max(self.points, default=-1) + 1
        self.points[number] = self.run

    def _checkpoint(self) -> int:
        extra = {"turns": [list(ids) for ids in self.run.turns]}
        return self.vault.checkpoint(self.run.state, self.run.key, extra, on_gap="record")

    def kill(self, back: int) -> None:
        kill(self.vault)
        self.reopen(back)

    def kill_in(self, call: Any, death: Death) -> None:
        """Kills in a call; the steps and the resume point that it brings are there or not."""
        before = self.rows
        self.rows, self.run = self.rows.write(self.run)
        number = max(self.points) + 1
        try:
            with dying(death):
                call()
                bury(self.vault)
        except Killed:
            with dying(Death(0)):
                bury(self.vault)
        with Vault.open(self.path) as reader:
            if reader.length != len(self.rows.ids):
                self.rows = before
            if number in reader.resume_points:
                self.points[number] = self.run
        self.reopen(0)

    def close(self, _: Any = None) -> None:
        self.vault.close()
        self.reopen(0)

    def reopen(self, back: int) -> None:
        """Opens the vault and goes on from one of the resume points that are there."""
        self.salt += self.diverges
        self.vault = Vault.open(self.path, mode="a")
        self.rows.check(self.vault)
        there = self.vault.resume_points
        assert there[-1] == max(self.points)
        number = there[max(0, len(there) - 1 - back)]
        wanted = self.points[number]
        state, extra = self.vault.restore(BUFFERS[wanted.kind], number if back else None)
        assert bits((state, extra["key"])) == bits((wanted.state, wanted.key))
        assert extra["turns"] == [list(ids) for ids in wanted.turns]
        self.run = Run(wanted.kind, state, extra["key"], wanted.turns, wanted.at)

    def act(self, name: str, how: Any) -> None:
        if name == "kill in a write":
            call = lambda: self.vault.write(self.run.state, on_gap="record")  # noqa: E731
            self.kill_in(call, Death(*how))
        elif name == "kill in a checkpoint":
            self.kill_in(self._checkpoint, Death(*how))
        else:
            getattr(self, name)(how)

    def end(self) -> None:
        self.checkpoint()
        self.rows.check(self.vault)
        report = self.vault.verify()
        assert report.ok, report.problems
        self.close()
        whole = self.run.again()
        assert bits((self.run.state, self.run.key)) == bits((whole.state, whole.key))
        ids = whole.state.experience["id"][0, :3]
        assert bits(turn(self.run.kind)(self.run.state, self.run.key, ids)) == bits(
            turn(self.run.kind)(whole.state, whole.key, ids)
        )
        self.vault.close()


def live(kind: str, diverges: bool, actions: list[tuple[str, Any]]) -> None:
    life = Life(kind, diverges=diverges)
    try:
        for name, how in actions:
            life.act(name, how)
        life.end()
    finally:
        life.vault.close()
        shutil.rmtree(life.folder)


@pytest.mark.parametrize("kind", BUFFERS)
@given(actions=st.lists(ACTIONS, max_size=16), diverges=st.booleans())
def test_a_run_goes_on_as_if_it_had_not_been_killed(kind, actions, diverges):
    """A restored state is that of the checkpoint bit for bit and goes on alike; the vault doubles nothing."""
    live(kind, diverges, actions)


def test_steps_that_a_killed_run_had_flushed_are_not_doubled():
    """A run that brings the same steps again finds them in the vault; the first that differs is a gap."""
    life = Life("uniform", diverges=False)
    for name, how in [("play", 5), ("checkpoint", None), ("play", 3), ("write", None), ("kill", 0)]:
        life.act(name, how)
    life.play(1)
    life.write()
    assert life.vault.length == 8
    life.play(3)
    life.write()
    assert life.vault.length == 9
    assert life.vault.gaps == ()
    life.kill(0)
    life.salt = 1
    life.play(1)
    life.write()
    assert [(gap.time, gap.lost) for gap in life.vault.gaps] == [(9, 0)]
    life.end()
    shutil.rmtree(life.folder)
