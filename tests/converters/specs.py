"""Small vaults by a description, every bit of their values random."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from strongbax.converters.source import nest
from strongbax.vault.attachments import attach
from strongbax.vault.episodes import Episode
from strongbax.vault.vault import Vault

F32 = np.dtype(np.float32)
NONE, TERMINATED, TRUNCATED = (False, False), (True, False), (False, True)


@dataclass(frozen=True)
class Spec:
    """A vault: of each leaf dtype and shape, of each episode length, flags and if its final row is known."""

    leaves: Mapping[str, tuple[Any, tuple[int, ...]]] = field(
        default_factory=lambda: {"observation": (F32, (3,)), "action": (F32, (2,)), "reward": (F32, ())}
    )
    episodes: tuple[tuple[int, tuple[bool, bool], bool], ...] = (
        (3, TRUNCATED, True),
        (2, TRUNCATED, True),
        (4, TRUNCATED, True),
    )
    finals: tuple[str, ...] = ("observation",)
    columns: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    attached: Mapping[str, Any] = field(default_factory=dict)
    streams: int = 1
    running: int = 0
    nan: bool = False

    def leaf(self, name: str, dtype: Any, *shape: int) -> "Spec":
        """The same with one more leaf, or another."""
        return replace(self, leaves={**self.leaves, name: (np.dtype(dtype), shape)})

    def ends(self, *flags: tuple[bool, bool]) -> "Spec":
        """The same with other flags of its three episodes."""
        return replace(
            self, episodes=tuple((n, new, k) for (n, _, k), new in zip(self.episodes, flags, strict=True))
        )

    def write(self, path: Path) -> Path:
        """Makes the vault."""
        flags = {"terminated": (np.dtype(np.bool_), ()), "truncated": (np.dtype(np.bool_), ())}
        leaves = {**self.leaves, **flags}
        if self.streams > 1:
            return self._write_streams(path, leaves)
        step = nest({name: np.zeros(shape, dtype) for name, (dtype, shape) in leaves.items()})
        facts: dict[str, Any] = {"columns": self.columns, "attributes": self.attributes}
        with Vault.create(path, steps=step, finals=list(self.finals), streams=self.streams, **facts) as vault:
            for number, (length, (terminated, truncated), known) in enumerate(self.episodes):
                rows = {
                    name: values(name, dtype, (length, *shape), number)
                    for name, (dtype, shape) in self.leaves.items()
                }
                if self.nan and number == 1:
                    rows["reward"][0] = np.nan
                last = np.arange(length) == length - 1
                rows |= {"terminated": last & terminated, "truncated": last & truncated}
                final = {
                    name: values(name, dtype, shape, 9 + number)
                    for name, (dtype, shape) in self.leaves.items()
                    if any(name == top or name.startswith(top + "/") for top in self.finals)
                }
                columns = {name: np.dtype(dtype).type(number) for name, dtype in self.columns.items()}
                episode = Episode(
                    nest(rows), nest(final) if known and final else None, terminated, truncated,
                    columns=columns, attributes={key: one(text, number) for key, text in self.texts.items()},
                )  # fmt: skip
                vault.append(episode)
            if self.running:
                rows = {n: values(n, d, (self.running, *s), 7) for n, (d, s) in self.leaves.items()}
                rows |= {name: np.zeros(self.running, np.bool_) for name in flags}
                vault.extend(nest(rows))
            if self.card:
                vault.write_card(dict(self.card))
        attach(path, self.attached)
        return path

    def _write_streams(self, path: Path, leaves: Mapping[str, Any]) -> Path:
        """An episode of three steps on every stream, from a buffer."""
        import jax.numpy as jnp
        from strongbax.buffer.trajectory_buffer import TrajectoryBufferState

        rows = {n: values(n, dtype, (self.streams, 3, *shape), 1) for n, (dtype, shape) in leaves.items()}
        rows |= {
            "terminated": np.zeros((self.streams, 3), np.bool_),
            "truncated": np.zeros((self.streams, 3), np.bool_),
        }
        rows["truncated"][:, -1] = True
        state = TrajectoryBufferState(
            experience=nest({name: jnp.asarray(leaf) for name, leaf in rows.items()}),
            current_index=jnp.array(0, jnp.int32),
            is_full=jnp.array(True),
        )
        with Vault.create(path, like=state) as vault:
            vault.write(state)
        return path


def one(text: Any, number: int) -> Any:
    return f"{text} {number}" if isinstance(text, str) else text


def values(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], seed: int) -> Any:
    """Values that no other dtype holds: all bits are random."""
    rng = np.random.default_rng([seed, *name.encode()])
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "US":
        words = ["größer", "日本", "", "ja"] if dtype.kind == "U" else [b"raw", b"x", b"", b"ab"]
        return np.array(words, dtype)[rng.integers(0, 4, shape)]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if dtype.kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.normal(size=shape)).astype(dtype)
