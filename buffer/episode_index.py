"""Where the episodes of a ring lie, and which windows of them can be drawn, kept up to date as steps come.

A step knows the number of its episode, an episode when it began; the end of one lies before the begin of
the next. The windows stand in one queue a stream, in the order of their first steps: a window joins when
its steps have come, and leaves when its first step is overwritten, so that a draw is one look-up.

```
# step          :  0  1  2  3  4  5  6  7  8        W = 3, period 1, short "drop"
# last          :  .  .  .  1  .  1  .  .  .
# episode       :  1  1  1  1  2  2  3  3  3
# begins        :  [1] = 0, [2] = 4, [3] = 6
# windows start :  0  1  6                          episode 2 is too short
```

Letters: `B` streams, `C` capacity in steps, `T` steps, `W` window in steps, `N` batch.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from . import queues, ring
from .episode_coming import Coming, Rule, Steps, Windows, completed, read, wrap
from .queues import Queues
from .running import running


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EpisodeIndex:
    """Episodes and windows of `B` streams.

    Attributes:
      episode: int32 `[B, C]`, the number of the episode that the step in a slot belongs to, counted modulo
        `C + 1`: at most `C` episodes have steps in the ring, so no two of them share a number.
      begins: int32 `[B, C + 1]`, by episode number, the time of its first step, modulo `2**32`.
      now: int32 `[B, 3]`, the time of the next step, the number of the newest episode, and the steps that
        it has so far, 0 once it has ended.
      windows: the slots at which windows start. The queues have room for `2 C`, so that those to come are
        put in before those that are overwritten are taken out.
      groups: None where nothing is drawn by episodes; else, for every episode that has windows, the slot
        of `windows` that the first of them went to.
      newest: int32 `[B]`, the number of the episode of the last group; None without groups.
    """

    episode: Array
    begins: Array
    now: Array
    windows: Queues
    groups: Queues | None = None
    newest: Array | None = None

    @property
    def capacity(self) -> int:
        """`C`, in steps."""
        return self.episode.shape[1]


def init(streams: int, capacity: int, *, grouped: bool = False) -> EpisodeIndex:
    """Makes the index of an empty ring.

    Args:
      streams: `B`.
      capacity: `C`, in steps.
      grouped: whether windows are to be drawn by episodes.

    Example:
      >>> init(2, 8).windows.counts
      Array([0, 0], dtype=int32)
    """
    return EpisodeIndex(
        episode=jnp.zeros((streams, capacity), jnp.int32),
        begins=jnp.zeros((streams, capacity + 1), jnp.int32),
        now=jnp.zeros((streams, 3), jnp.int32),
        windows=queues.init(streams, 2 * capacity),
        groups=queues.init(streams, 2 * capacity) if grouped else None,
        newest=jnp.zeros((streams,), jnp.int32) if grouped else None,
    )


@dataclass(frozen=True)
class Change:
    """What steps changed, for those who keep something of every window or episode.

    Attributes:
      begins: bool `[B, T]`, whether an episode began with a step.
      numbers: int32 `[B, T]`, of which episode a step is.
      lost: int32 `[B, T]`, slots that windows started at and that are overwritten; -1 for none.
      came: int32 `[B, K]`, slots that new windows start at; -1 for none.
      closed: int32 `[B, K + 1]`, slots of `groups` whose episodes lost all their windows; -1 for none.
      met: int32 `[B, K + 1]`, slots of `groups` whose episodes may have got steps or windows; -1 for none.
      episodes: int32 `[B, K + 1]`, the numbers of the episodes of `met`.
    """

    begins: Array
    numbers: Array
    lost: Array
    came: Array
    closed: Array
    met: Array
    episodes: Array


def extend(index: EpisodeIndex, coming: Coming, rule: Rule) -> tuple[EpisodeIndex, Change]:
    """Returns the index of the ring with `T` more steps on every stream, and what they changed.

    Args:
      index: the index. Donate it, and it is written in place.
      coming: the steps, `1 <= T <= C`.
      rule: which windows there are.

    Example:
      >>> last = jnp.array([[False, True, False, False]])
      >>> index, _ = extend(init(1, 8), Coming(jnp.asarray(0), last), Rule(length=2))
      >>> queues.front(index.windows, 3)
      (Array([[0, 2, 0]], dtype=int32), Array([[ True,  True, False]], dtype=bool))
    """
    streams, length = coming.last.shape
    steps = read(coming, index.now[:, 1], index.now[:, 2], index.capacity)
    windows = completed(steps, coming, rule, index.capacity)
    starts = wrap(coming.cursor + windows.start, index.capacity)
    # Written first, then read: a read of what was written needs no copy of what was there before.
    pushed = queues.push(index.windows, starts, windows.chosen)
    gone = _overwritten(pushed, index.windows.counts, coming, index.capacity)
    groups = _regrouped(index, gone, windows)
    rows = jnp.arange(streams, dtype=jnp.int32)[:, None]
    i = jnp.arange(length, dtype=jnp.int32)[None]
    # Always true; but who samples before adding orders the two through the cursor, and so must all writes.
    begins = steps.begins & (coming.cursor >= 0)
    begins = begins if coming.count is None else begins & (i < coming.count)
    numbers = jnp.where(begins, steps.episode, index.capacity + 1 + i)
    times = jnp.broadcast_to(index.now[:, :1] + i, numbers.shape)
    change = Change(
        begins=begins,
        numbers=steps.episode,
        lost=jnp.where(i < gone[:, None], queues.front(pushed, length)[0], -1),
        came=jnp.where(windows.chosen, starts, -1),
        closed=groups.closed,
        met=groups.met,
        episodes=groups.episodes,
    )
    longer = EpisodeIndex(
        episode=ring.append(_ring(index.episode, coming.cursor), steps.episode).steps,
        begins=index.begins.at[rows, numbers].set(times, mode="drop", unique_indices=True),
        now=_now(index.now, steps, coming),
        windows=queues.pop(pushed, gone),
        groups=groups.queues,
        newest=groups.newest,
    )
    return longer, change


def _overwritten(pushed: Queues, counts: Array, coming: Coming, capacity: int) -> Array:
    """Counts the windows of each stream whose first step is overwritten, int32 `[B]`.

    Of the queues, the first `counts` entries were there before the steps came.
    """
    count = coming.last.shape[1]

    def overwritten(start: Array) -> Array:
        ago = wrap(coming.cursor - 1 - start, capacity) + 1  # in [1, C]
        return ago + count > capacity

    return queues.leading(pushed, count, counts, overwritten)


@dataclass(frozen=True)
class _Groups:
    """The groups after the steps, and what became of them; see `Change`."""

    queues: Queues | None
    newest: Array | None
    closed: Array
    met: Array
    episodes: Array


def _regrouped(index: EpisodeIndex, gone: Array, windows: Windows) -> _Groups:
    """Opens a group for every episode that is new, and drops those that have lost all their windows."""
    if index.groups is None or index.newest is None:
        none = jnp.full((gone.shape[0], 0), -1, jnp.int32)
        return _Groups(None, None, none, none, none)
    held = index.groups
    empty = gone == index.windows.counts
    # Each window's episode beside that of the window before it, which may have come with an earlier batch.
    episodes = jnp.concatenate([jnp.where(empty, -1, index.newest)[:, None], windows.episode], axis=1)
    _, latest = running(windows.chosen)
    latest = jnp.take_along_axis(episodes, jnp.pad(latest + 1, ((0, 0), (1, 0))), axis=1)
    opens = windows.chosen & (windows.episode != latest[:, :-1])
    opened = queues.ahead(held, opens)
    groups = queues.push(held, queues.ahead(index.windows, windows.chosen), opens)

    def passed(first: Array) -> Array:
        """Whether a group begins at the new head or before: then the one before it is empty."""
        return wrap(first - index.windows.heads[:, None], groups.capacity) <= gone[:, None]

    count = windows.chosen.shape[1]
    after_first = queues.pop(groups, jnp.ones_like(gone))
    closing = queues.leading(after_first, count, held.counts - 1, passed)
    closing = jnp.where(empty, held.counts, closing)
    i = jnp.arange(count + 1, dtype=jnp.int32)[None]
    tail = wrap(held.heads + held.counts - 1, groups.capacity)
    return _Groups(
        queues=queues.pop(groups, closing),
        newest=latest[:, -1],
        closed=jnp.where(i < closing[:, None], wrap(held.heads[:, None] + i, groups.capacity), -1),
        met=jnp.concatenate([jnp.where(empty, -1, tail)[:, None], jnp.where(opens, opened, -1)], axis=1),
        episodes=episodes,
    )


def _now(now: Array, steps: Steps, coming: Coming) -> Array:
    """The time, the newest episode and its age after the steps."""
    length = steps.age.shape[1]
    after = jnp.where(coming.last, 0, steps.age + 1)
    if coming.count is None:
        return jnp.stack([now[:, 0] + length, steps.episode[:, -1], after[:, -1]], axis=1)
    at = jnp.maximum(coming.count - 1, 0)
    then = jnp.stack([now[:, 0] + coming.count, steps.episode[:, at], after[:, at]], axis=1)
    return jnp.where(coming.count > 0, then, now)


def _ring(slots: Array, cursor: Array) -> ring.Ring[Array]:
    return ring.Ring(steps=slots, cursor=cursor, full=jnp.zeros((), bool))
