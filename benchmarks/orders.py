"""Sample and add in one program: in which order, and what a copy of the whole state costs.

XLA cannot write a state in place that the same program has yet to read, unless it is told that the read comes
first. `sample_and_add` tells it; without that, sampling first copies everything.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from strongbax.buffer import sample_and_add

from .buffers import FLAT, THEIRS, Contestant, contestant, donated
from .measure import Series, Target, Work, in_turns
from .peers import OURS

_CAPACITY = 1_000_000
ADD_FIRST, THEIR_ADD_FIRST = "Strongbax, add first", "Flashbax, add first"


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures both orders on a state of 100 MB, in one call of a donated state."""
    del directory
    mine = contestant(FLAT, OURS, _CAPACITY)
    runs = {
        OURS: _calls(mine, lambda s, k, b: sample_and_add(mine.buffer, s, k, b)),
        ADD_FIRST: _calls(mine, partial(_add_first, mine)),
    }
    if any(THEIRS in name for name in who):
        theirs = contestant(FLAT, THEIRS, _CAPACITY)
        runs[THEIRS] = _calls(theirs, partial(_sample_first, theirs))
        runs[THEIR_ADD_FIRST] = _calls(theirs, partial(_add_first, theirs))
    in_turns(runs, 2)
    found: dict[str, list[list[float]]] = {name: [] for name in runs}
    for seed in range(2 if quick else 5):
        for name, values in in_turns(runs, 5, seed).items():
            found[name].append([1e6 * value for value in values])
    title = "flat, sample 256, then add 64, in one program, 1,000,000 steps"
    series = {name: Series(values) for name, values in found.items()}
    return [Work(title, "µs", series, OURS, (Target(ADD_FIRST, at_most=1.5),))]


def _sample_first(one: Contestant, state: Any, key: Any, batch: Any) -> tuple[Any, Any]:
    drawn = one.buffer.sample(state, key)
    return one.buffer.add(state, batch), drawn


def _add_first(one: Contestant, state: Any, key: Any, batch: Any) -> tuple[Any, Any]:
    state = one.buffer.add(state, batch)
    return state, one.buffer.sample(state, key)


def _calls(one: Contestant, turn: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Callable[[], float]:
    run, key, calls = jax.jit(turn, donate_argnums=0), jax.random.key(0), 20

    def call(state: Any, batch: Any) -> Any:
        return run(state, key, batch)[0]

    return partial(donated, call, one, calls, calls)
