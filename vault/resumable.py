"""Exact resume: a checkpoint of a buffer and its keys, and the state that it was, bit for bit."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from . import resume
from .contents import Contents
from .describe import treedef_of
from .dtypes import NpArray
from .errors import CorruptionError
from .flusher import Flusher, Place
from .location import Location
from .plain import hang, pack, unpack
from .reader import Snapshot
from .restoring import has_cursor, point_of, state_of
from .resume_point import Point

_KEY = "key"  # where `extra` has the key


class Resumable(Contents):
    """A vault in which training runs resume."""

    path: Location
    _flusher: Flusher | None
    _blank: tuple[int, int, int] | None = None  # capacity, count and gaps when unused slots were looked at

    @abstractmethod
    def _writing(self) -> Flusher: ...

    @abstractmethod
    def _own(self) -> Snapshot:
        """Gives what is committed, without parts."""

    @property
    def resume_points(self) -> tuple[int, ...]:
        """Numbers of the resume points that are there, the oldest first."""
        return resume.numbers(self.path)

    def checkpoint(
        self,
        state: Any,
        key: Any = None,
        extra: Mapping[str, Any] | None = None,
        *,
        keep: int = 3,
        on_gap: Literal["error", "record"] = "error",
        continues: bool | None = None,
    ) -> int:
        """Makes a resume point: `restore` gives back the state bit for bit, whatever happens afterwards.

        What is new of the state is flushed as by `write`. Beside that only what the vault does not hold is
        written: priorities, counters, and what is given here. It is durable when it returns. Until then the
        resume points before it stand.

        Args:
          state: of any buffer. One without a cursor (a queue's) is kept whole.
          key: PRNG keys, any pytree of them.
          extra: what else the run needs to go on, by name: arrays, numbers, texts, None, in dicts, lists and
            tuples.
          keep: how many resume points stay, this one included.
          on_gap: as in `write`.
          continues: as in `write`.

        Returns:
          The resume point's number.

        Raises:
          GapError, ConflictError, ValueError, StorageError, LockedError: as `write` does.
          TypeError: if `extra` holds something that is none of these.

        Example:
          >>> import tempfile
          >>> import jax
          >>> import strongbax
          >>> buffer = strongbax.make_item_buffer(max_length=4, min_length=1, sample_batch_size=2)
          >>> state = buffer.add(buffer.init({"reward": 0.0}), {"reward": 1.0})
          >>> with strongbax.Vault.create(tempfile.mkdtemp() + "/my.vault", like=state) as vault:
          ...     _ = vault.checkpoint(state, key=jax.random.key(7), extra={"episodes": 12})
          ...     state, extra = vault.restore(buffer)
          >>> state.experience["reward"], extra["episodes"], extra["key"]
          (Array([[1., 0., 0., 0.]], dtype=float32), 12, Array((), dtype=key<fry>) overlaying:
          [0 7])
        """
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1: got {keep}.")
        point = self.take_point(state, key, extra, on_gap=on_gap, continues=continues)
        self._writing().check()
        return resume.save(self.path, point, keep)

    def take_point(
        self,
        state: Any,
        key: Any = None,
        extra: Mapping[str, Any] | None = None,
        *,
        on_gap: Literal["error", "record"] = "error",
        continues: bool | None = None,
    ) -> Point:
        """Makes a resume point for somebody else to keep; arguments and errors as in `checkpoint`.

        Returns:
          The point: its steps are durable, the rest is in memory, and `encode` gives its bytes. It may share
          memory with the state: encode it before that is donated.
        """
        flusher = self._writing()
        arrays: list[NpArray] = []
        packed = pack(_with_key(extra, key), arrays, ("extra",))
        place = flusher.place(state, on_gap=on_gap, continues=continues) if has_cursor(state) else None
        blank = place is not None and self._was_blank(place)
        point = point_of(state, place, flusher.schema, packed, arrays, blank=blank)
        if place is not None and not (point.steps and point.steps.kept):
            self._blank = (place.held.ring.capacity, place.at.count, len(self.gaps))
        return point

    def restore(
        self,
        buffer: Any,
        step: int | None = None,
        *,
        device: Any = None,
        like: Any = None,
        extra_like: Any = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Gives back a state as it was at a checkpoint, bit for bit.

        Where the vault is open for writing the next `write` goes on from there. What a killed run had flushed
        after the checkpoint stays: as long as the run brings the same steps again they are found to be there,
        and from the first that differs it is another history behind all that the vault holds.

        Args:
          buffer: that made the state, or one made alike.
          step: the number of a resume point; the newest by default.
          device: a JAX device, a sharding, or a pytree of such as the state's; JAX's default by default.
          like: an example of a step, for its container types (named tuples, dataclasses).
          extra_like: an example of `extra`, for its container types.

        Returns:
          The state, and what was given as `extra`, with the key as "key".

        Raises:
          NotFoundError: if there is no resume point, or not that one.
          CorruptionError: if it is damaged, or the vault does not hold its steps any more.
          ValueError: if `buffer` is not the one whose state was kept.
        """
        point = resume.load(self.path, step)
        return self.restore_point(point, buffer, device=device, like=like, extra_like=extra_like)

    def restore_point(
        self, point: Point, buffer: Any, *, device: Any = None, like: Any = None, extra_like: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Gives back a state as it was when a point was taken; arguments and errors as in `restore`."""
        snapshot = self._own()
        if point.length > snapshot.state.length:
            raise CorruptionError(
                f"The resume point needs {point.length} steps of each stream, the vault {str(self.path)!r} "
                f"holds {snapshot.state.length}. If a writer is at work `refresh()` shows what it added; "
                "else steps were lost: restore an earlier point with `step=`."
            )
        treedef = self._treedef if like is None else treedef_of(like)
        state = state_of(point, snapshot, buffer, treedef, _to_jax)
        if device is not None:
            import jax

            state = jax.device_put(state, device)
        if self._flusher is not None and point.steps is not None:
            self._flusher.resume(state, point.steps.at, point.steps.spans)
        extra = unpack(point.extra, point.arrays, _to_jax)
        return state, extra if extra_like is None else hang(extra, extra_like)

    def _was_blank(self, place: Place) -> bool:
        """Says whether the slots that a ring never wrote were looked at before: they do not change."""
        if self._blank is None:
            return False
        capacity, count, gaps = self._blank
        same = (capacity, gaps) == (place.held.ring.capacity, len(self.gaps))
        return same and count <= place.at.count


def _with_key(extra: Mapping[str, Any] | None, key: Any) -> dict[str, Any]:
    if extra is not None and not isinstance(extra, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"`extra` must be a dict of values by name: got {type(extra).__name__}. "
            "Give it a name: `extra={'params': params}`."
        )
    named = dict(extra or {})
    if key is None:
        return named
    if _KEY in named:
        raise ValueError("`extra` must not have a 'key' where `key` is given. Give it another name.")
    return {**named, _KEY: key}


def _to_jax(values: NpArray, prng: str | None) -> Any:
    """Makes a JAX array, without narrowing it.

    Raises:
      ValueError: if JAX runs with 32 bits and the array has 64.
    """
    import jax

    if jax.dtypes.canonicalize_dtype(values.dtype) != values.dtype:
        raise ValueError(
            f"What was kept has an array of {values.dtype}, and JAX runs with 32 bits. Set "
            "`jax.config.update('jax_enable_x64', True)`, as it was at the checkpoint."
        )
    array = jax.device_put(values)
    return jax.random.wrap_key_data(array, impl=prng) if prng else array
