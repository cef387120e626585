"""A view: chosen episodes of one or more vaults, read as a vault is, without a copy.

It is a list of episodes in an order, end to end as one stream, as they stood when it was made. Steps outside
of them are not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .contents import Contents
from .dtypes import NpArray
from .location import Location
from .selected import Selected


@dataclass(frozen=True)
class Origins:
    """Where the episodes of a view come from.

    Attributes:
      paths: of the vaults.
      vault: int64 [E], which of them holds an episode.
      id: int64 [E], the episode's id there.
    """

    paths: tuple[Location, ...]
    vault: NpArray
    id: NpArray


class View(Contents):
    """Episodes chosen with `select`, `filter`, `sort`, `split`, `take` or `concat`, in that order.

    In its table an episode's id is its place in the view, its stream is 0, and its start is its place in the
    stream that they form.

    Example:
      >>> view = example(lengths=[5, 2, 9]).sort("length")
      >>> view.episodes["length"], view.episodes["start"], view.origins.id
      (array([2, 5, 9]), array([0, 2, 7]), array([1, 0, 2]))
      >>> view.num_steps, view[0].length
      (16, 2)
    """

    def __init__(self, selected: Selected, treedef: Any = None) -> None:
        self._chosen = selected
        self._treedef = treedef
        _ = selected.where  # read now: the view is of how things stand

    def __repr__(self) -> str:
        places = ", ".join(repr(str(path)) for path in self.origins.paths)
        return f"View({self.num_steps} steps, {self.num_episodes} episodes of {places})"

    @property
    def origins(self) -> Origins:
        """Where each episode comes from."""
        paths = tuple(source.path for source in self._chosen.sources)
        return Origins(paths, self._chosen.source, self._chosen.ids)

    @property
    def attributes(self) -> dict[str, Any]:
        """The facts that were given to all of its vaults alike."""
        return _shared([source.root.attributes for source in self._chosen.sources])

    @property
    def card(self) -> dict[str, Any]:
        """Facts that all of its vaults' cards share, and under `vaults` the rest, with what is taken of each.

        Each of `vaults` has `path`, `episodes`, `steps` and `card`.
        """
        chosen = self._chosen
        shared = _shared([source.root.card for source in chosen.sources])
        lengths = chosen.where["length"]
        return shared | {
            "vaults": [
                {
                    "path": str(source.path),
                    "episodes": int((chosen.source == place).sum()),
                    "steps": int(lengths[chosen.source == place].sum()),
                    "card": {n: fact for n, fact in source.root.card.items() if n not in shared},
                }
                for place, source in enumerate(chosen.sources)
            ]
        }

    def finished(self) -> "View":
        """Gives itself: nothing runs in a view."""
        return self

    def _now(self) -> Selected:
        return self._chosen


def concat(vaults: Sequence[Contents]) -> View:
    """Joins vaults and views: their episodes one after the other, without a copy.

    Columns that only some have are left out. Where vaults keep final rows of different leaves, those that all
    keep remain; of a vault that keeps none, final rows are not known.

    Args:
      vaults: vaults and views, in the order wanted.

    Raises:
      ValueError: if there is none, or naming the leaf or role in which they differ.

    Example:
      >>> vault = example(lengths=[5, 2])
      >>> concat([vault, vault.select([0])]).episodes["length"]
      array([5, 2, 5])
    """
    parts = [part.selected() for part in vaults]
    sources = list(dict.fromkeys(source for part in parts for source in part.sources))
    offsets = np.cumsum([0, *(source.state.episodes for source in sources)])
    chosen = [
        offsets[np.array([sources.index(s) for s in part.sources], np.int64)[part.source]] + part.ids
        for part in parts
    ]
    joined = Selected(sources, np.concatenate([np.zeros(0, np.int64), *chosen]))
    treedefs = {part.treedef for part in vaults}
    return View(joined, treedefs.pop() if len(treedefs) == 1 else None)


def example(lengths: Sequence[int], seed: int = 0) -> Any:
    """Makes a small vault for examples: an episode a length, rewards 1. Its folder goes with the process."""
    import atexit
    import shutil
    import tempfile

    from .episodes import Episode
    from .vault import Vault

    step = {
        "observation": np.zeros(2, np.float32),
        "reward": np.float32(0),
        "terminated": np.bool_(0),
    }
    generator = np.random.default_rng(seed)
    folder = tempfile.mkdtemp(prefix="strongbax-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with Vault.create(Path(folder) / "example.vault", steps=step) as vault:
        for length in lengths:
            steps = {
                "observation": generator.normal(size=(length, 2)).astype(np.float32),
                "reward": np.ones(length, np.float32),
                "terminated": np.arange(length) == length - 1,
            }
            vault.append(Episode(steps, final=np.zeros(2, np.float32)))
    return Vault.open(vault.path)


def _shared(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gives what is the same in all."""
    return {name: fact for name, fact in facts[0].items() if all(other.get(name) == fact for other in facts)}
