"""Episodes in a list: what a view must hold after the same choices."""

from dataclasses import dataclass

import numpy as np
from strongbax.vault import Ends, Vault
from vault_rings import Source, Steps, one_step


@dataclass(frozen=True)
class Known:
    """An episode as the list has it."""

    steps: Steps
    final: np.ndarray | None
    terminated: bool
    score: int

    @property
    def length(self) -> int:
        return len(self.steps["reward"])

    @property
    def total(self) -> float:
        return float(self.steps["reward"].sum(dtype=np.float64))


def make(path, lengths, *, streams=1, block=8, seed=0, close=True, tail=0):
    """Writes episodes of these lengths, and `tail` steps that run on; gives the vault and the list.

    With several streams the steps' own flags end episodes, and `lengths` only says how many steps there are.
    """
    source = Source(streams, seed=seed)
    vault = Vault.create(path, steps=one_step(), streams=streams, block=block, columns={"score": np.int64})
    known: list[Known] = []
    if streams == 1:
        for place, length in enumerate(lengths):
            steps = {name: leaf[0] for name, leaf in source.steps(length).items()}
            final = np.array([place, -place], np.float32) if place % 3 else None
            known.append(Known(steps, final, place % 2 == 0, place * 7 % 5))
            vault.extend(steps, _ends(known[-1]))
        if tail:
            vault.extend({name: leaf[0] for name, leaf in source.steps(tail).items()}, _no_ends())
    else:
        known = _flushed(vault, source, [*lengths, tail])
    if close:
        vault.close()
        vault = Vault.open(path)
    return vault, known


def _ends(episode: Known) -> Ends:
    return Ends(
        stop=np.array([episode.length]),
        terminated=np.array([episode.terminated]),
        truncated=np.array([not episode.terminated]),
        final={"observation": np.zeros((1, 2), np.float32) if episode.final is None else episode.final[None]},
        final_known=np.array([episode.final is not None]),
        columns={"score": np.array([episode.score])},
    )


def _no_ends() -> Ends:
    none = np.zeros(0, np.bool_)
    return Ends(np.zeros(0, np.int64), none, none)


def _flushed(vault, source, lengths):
    from vault_rings import Ring

    ring, whole = Ring(source.streams, 64), []
    for length in lengths:
        if length:
            steps = source.steps(length)
            ring.add(steps)
            whole.append(steps)
            vault.write(ring.state())
    joined = {name: np.concatenate([part[name] for part in whole], axis=1) for name in whole[0]}
    table = vault.episodes
    known = []
    for row in range(table.num_rows):
        stream, start, length = (int(table[name][row]) for name in ("stream", "start", "length"))
        steps = {name: leaf[stream, start : start + length] for name, leaf in joined.items()}
        assert bool(steps["terminated"][-1] | steps["truncated"][-1])
        known.append(Known(steps, None, bool(steps["terminated"][-1]), 0))
    return known


def end_to_end(known: list[Known]) -> Steps:
    """Lays episodes end to end, leaves `[T, ...]`."""
    return {
        name: np.concatenate([leaf[None][:0], *(episode.steps[name] for episode in known)])
        for name, leaf in one_step().items()
    }
