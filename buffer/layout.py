"""How a batch of steps is laid out by those who add it, and what it must match to be added.

A buffer may be given one step, a sequence, or a batch of either; the ring takes `[B, T, ...]`.
A `Layout` says which leading axes a caller's batch has and adds those that are missing.

Letters: `B` streams of the ring, `T` steps, `C` capacity in steps, `N` any number of sequences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Step = TypeVar("Step")


class BatchMismatchError(ValueError, TypeError, AssertionError):
    """A batch does not match the steps that the buffer stores.

    It is a `ValueError` and a `TypeError`, as wrong arguments are, and also an `AssertionError`,
    since that is what code written for Flashbax catches.
    """


@dataclass(frozen=True)
class Layout:
    """Which leading axes a batch has, before the axes of one step.

    Attributes:
      batched: the batch has an axis of streams (or of sequences, where `merged`).
      sequential: the batch has an axis of time.
      merged: sequences are laid end to end on the ring's only stream, any number of them.
    """

    batched: bool = True
    sequential: bool = True
    merged: bool = False

    def steps(self, batch: Step, stored: Step) -> Step:
        """Returns the batch as steps `[B, T, ...]`, the layout of the ring.

        Args:
          batch: leaves laid out as this layout says.
          stored: the ring's leaves `[B, C, ...]`.

        Raises:
          BatchMismatchError: if the batch does not match what is stored.

        Example:
          >>> one_step = Layout(batched=False, sequential=False)
          >>> one_step.steps(jnp.zeros(3), stored=jnp.zeros((1, 9, 3))).shape
          (1, 1, 3)
        """
        batch = jax.tree.map(jnp.asarray, batch)
        self._check(batch, stored)
        return jax.tree.map(self._laid_out, batch)

    def numbers(self, values: Any, streams: int, length: int) -> jax.Array:
        """Returns one number a step as float32 `[B, T]`, for numbers laid out like the batch.

        Args:
          values: real, with the leading axes that the batch has.
          streams: `B`.
          length: `T`, in steps.

        Raises:
          BatchMismatchError: if there is not one number for each step.

        Example:
          >>> Layout(sequential=False).numbers([0.5, 2.0], streams=2, length=1).shape
          (2, 1)
        """
        array = jnp.asarray(values).astype(jnp.float32)
        if array.ndim == self.batched + self.sequential:
            laid_out = self._laid_out(array)
            if laid_out.shape == (streams, length):
                return laid_out
        raise BatchMismatchError(
            f"`priorities` must be one number for each of the {streams} x {length} steps, with the leading "
            f"axes that `batch` has: got shape {_shape(array.shape)}. Leave them out, and new windows get "
            "the greatest priority."
        )

    def _laid_out(self, leaf: jax.Array) -> jax.Array:
        if not self.batched:
            leaf = jnp.expand_dims(leaf, 0)
        if not self.sequential:
            leaf = jnp.expand_dims(leaf, 1)
        if self.merged:
            leaf = leaf.reshape(1, leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])
        return leaf

    def _check(self, batch: Any, stored: Any) -> None:
        check_structure(batch, stored)
        leaves, slots = jax.tree.leaves(batch), jax.tree.leaves(stored)
        lead = self._lead(leaves[0], slots[0])
        for index, (leaf, slot) in enumerate(zip(leaves, slots, strict=True)):
            if leaf.dtype != slot.dtype:
                raise BatchMismatchError(
                    "`batch` must have the dtypes that the buffer stores: leaf "
                    f"`{leaf_names(stored)[index]}` must be {slot.dtype}, got {leaf.dtype}. "
                    "Cast it with `.astype`, or give `init` a timestep of the dtype to store."
                )
            if leaf.shape != (*lead, *slot.shape[2:]):
                # The first leaf sets the free sizes, so in its own message they are letters.
                wanted = (*(lead if index else self._letters(slot)), *slot.shape[2:])
                raise BatchMismatchError(
                    f"`batch` must be laid out {self._notation()} like the buffer's steps: leaf "
                    f"`{leaf_names(stored)[index]}` must have shape {_shape(wanted)}, got "
                    f"{_shape(leaf.shape)}. Reshape it, or give `init` a timestep of the shape to "
                    "store."
                )
        self._check_length(lead, slots[0].shape[1])

    def _lead(self, leaf: jax.Array, slot: jax.Array) -> tuple[int, ...]:
        """The leading sizes that every leaf must have; the first leaf sets those that are free."""
        came = (*leaf.shape, 1, 1)
        return tuple(
            came[axis] if isinstance(size, str) else size for axis, size in enumerate(self._letters(slot))
        )

    def _letters(self, slot: jax.Array) -> tuple[int | str, ...]:
        """The leading axes: a number where the ring fixes the size, a letter where it is free."""
        streams = ("N" if self.merged else slot.shape[0],)
        return streams * self.batched + ("T",) * self.sequential

    def _notation(self) -> str:
        lead = ("N" if self.merged else "B",) * self.batched + ("T",) * self.sequential
        return f"`[{', '.join((*lead, '...'))}]`"

    def _check_length(self, lead: tuple[int, ...], capacity: int) -> None:
        length = math.prod(lead if self.merged else lead[int(self.batched) :])
        if length > capacity:
            raise BatchMismatchError(
                f"`batch` must fit the buffer: got {length} steps for a capacity of {capacity}. "
                "Add them in pieces, or make the buffer longer."
            )


AS_STORED = Layout()


def check_structure(batch: Any, stored: Any) -> None:
    """Checks that the batch is the same pytree as what is stored, leaf values aside.

    Args:
      batch: any pytree.
      stored: the pytree it must match.

    Raises:
      BatchMismatchError: if containers or leaf names differ.

    Example:
      >>> check_structure({"reward": 1.0}, {"reward": 2.0})
    """
    came, wanted = jax.tree.structure(batch), jax.tree.structure(stored)
    if came == wanted:
        return
    had, needed = leaf_names(batch), leaf_names(stored)
    missing = ", ".join(f"`{name}`" for name in needed if name not in had)
    surplus = ", ".join(f"`{name}`" for name in had if name not in needed)
    problems = [
        f"leaves are missing: {missing}." if missing else "",
        f"leaves are not stored: {surplus}." if surplus else "",
        "" if missing or surplus else f"wanted {wanted}, got {came}.",
    ]
    raise BatchMismatchError(
        "`batch` must be the same pytree as the timestep given to `init`: "
        f"{' '.join(filter(None, problems))} Give both the same containers and names."
    )


def leaf_names(tree: Any) -> list[str]:
    """Returns the path of every leaf, its parts joined by `/`.

    Args:
      tree: any pytree.

    Returns:
      One name a leaf, in the order of `jax.tree.leaves`; a bare array is named `.`.

    Example:
      >>> leaf_names({"observation": (1, 2)})
      ['observation/0', 'observation/1']
    """
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return [jax.tree_util.keystr(path, simple=True, separator="/") or "." for path in paths]


def _shape(sizes: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, sizes))}]"
