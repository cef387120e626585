"""A training run that is nothing but its buffer and its key, and what the vault must hold of it."""

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import strongbax

STREAMS, CAPACITY = 2, 8
STEP = {"id": jnp.zeros((), jnp.int32), "terminated": jnp.zeros((), bool)}
_SIZES = {"add_batch_size": STREAMS, "max_length_time_axis": CAPACITY, "min_length_time_axis": 2}
BUFFERS: dict[str, Any] = {
    "uniform": strongbax.make_trajectory_buffer(
        **_SIZES, sample_batch_size=4, sample_sequence_length=2, period=1
    ),
    "prioritised": strongbax.make_prioritised_trajectory_buffer(
        **_SIZES, sample_batch_size=4, sample_sequence_length=2, period=1
    ),
}


@functools.lru_cache
def turn(kind: str) -> Any:
    """One turn of a run: steps come in, a batch is drawn, its priorities are set."""
    buffer = BUFFERS[kind]

    def step(state: Any, key: Any, ids: Any) -> Any:
        key, drawn = jax.random.split(key)
        steps = jnp.stack([ids, -ids])
        state = buffer.add(state, {"id": steps, "terminated": steps % 5 == 0})
        sample = buffer.sample(state, drawn)
        if kind == "prioritised":
            state = buffer.set_priorities(state, sample.indices, 1.0 + sample.probabilities)
        return state, key, sample

    return jax.jit(step)


@dataclass(frozen=True)
class Run:
    """A run so far: which steps it was given, turn by turn, and where it stands in the vault."""

    kind: str
    state: Any
    key: Any
    turns: tuple[tuple[int, ...], ...] = ()
    at: tuple[int, int] = (0, 0)

    @classmethod
    def begin(cls, kind: str) -> "Run":
        return cls(kind, BUFFERS[kind].init(STEP), jax.random.key(3))

    @property
    def ids(self) -> list[int]:
        return [one for turn in self.turns for one in turn]

    def play(self, count: int, salt: int) -> "Run":
        """Goes on; the steps say when they were made, and in which life of the run."""
        first = len(self.ids)
        ids = tuple(1000 * salt + first + n for n in range(count))
        state, key, _ = turn(self.kind)(self.state, self.key, jnp.array(ids, jnp.int32))
        return replace(self, state=state, key=key, turns=(*self.turns, ids))

    def again(self) -> "Run":
        """The same run, never interrupted."""
        run = Run.begin(self.kind)
        for ids in self.turns:
            state, key, _ = turn(self.kind)(run.state, run.key, jnp.array(ids, jnp.int32))
            run = replace(run, state=state, key=key, turns=(*run.turns, ids))
        return run


@dataclass(frozen=True)
class Rows:
    """What the vault must hold."""

    ids: tuple[int, ...] = ()
    gaps: tuple[tuple[int, int], ...] = field(default=())

    def write(self, run: Run) -> tuple["Rows", Run]:
        """What a write makes of it: steps that are there already are not doubled, none is lost."""
        ids, length = run.ids, len(self.ids)
        count, row = run.at
        oldest = max(0, len(ids) - CAPACITY)
        if oldest <= count:
            limit = min([gap for gap, _ in self.gaps if gap >= row] + [length])
            while count < len(ids) and row < limit and ids[count] == self.ids[row]:
                count, row = count + 1, row + 1
        first, lost = max(count, oldest), max(0, oldest - count)
        if first == len(ids):
            return self, replace(run, at=(count, row))
        gaps = self.gaps + (((length, lost),) if length and (lost or row != length) else ())
        rows = Rows((*self.ids, *ids[first:]), gaps)
        return rows, replace(run, at=(len(ids), len(rows.ids)))

    def check(self, vault: Any) -> None:
        assert vault.read_numpy()["id"][0].tolist() == list(self.ids)
        assert [(gap.time, gap.lost) for gap in vault.gaps] == list(self.gaps)


def bits(tree: Any) -> list[tuple[Any, ...]]:
    """Every leaf of a pytree by its path: its type, dtype, shape and bytes."""
    paths = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: leaf is None)
    return [(jax.tree_util.keystr(path), *_bits(leaf)) for path, leaf in paths]


def _bits(leaf: Any) -> tuple[Any, ...]:
    if not hasattr(leaf, "dtype"):
        return type(leaf), leaf
    form = np.ndarray if isinstance(leaf, np.ndarray) else jax.Array
    data = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return form, str(leaf.dtype), leaf.shape, np.asarray(data).tobytes()
