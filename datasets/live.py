"""A vault as Zarr files that are made when they are asked for: with its log, its parts, from any store.

The page reads shards. What is in the log of a vault that is being written, the parts of one that many write,
and what lies in a bucket are no shards that a browser could ask this machine for. For these the root is made
anew whenever it is asked for, of what is committed by then: one stream, every episode, those that run as the
last ones of their part, and arrays in plain chunks. What a root tells of can be asked for as long as it is
among the newest ones.
"""

import json
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from ..vault.arrays import ArraySpec
from ..vault.root import Root, read_root
from ..vault.running import begin

if TYPE_CHECKING:
    from ..vault import Vault
    from ..vault.dtypes import NpArray
    from ..vault.location import Location

PLACE = "live"  # below which the arrays of a root stand
_KEPT = 4  # roots whose arrays can still be asked for
_CHUNK = 1 << 18  # bytes of a chunk


class Live:
    """Answers for a vault at a place.

    Args:
      location: of the vault.
    """

    def __init__(self, location: "Location") -> None:
        self._location = location
        self._views: OrderedDict[int, View] = OrderedDict()
        self._made = 0
        self._lock = threading.Lock()

    def root(self) -> bytes | None:
        """Gives the root document of what is committed now; None where the vault's own files say it all.

        Raises:
          StrongbaxError: if the vault cannot be opened.
        """
        from ..vault import Vault

        with Vault.open(self._location) as vault:
            if isinstance(self._location, Path) and not vault.parts and _is_sealed(vault, self._location):
                return None
            view = View(vault)
        with self._lock:
            self._made += 1
            self._views[self._made] = view
            while len(self._views) > _KEPT:
                self._views.popitem(last=False)
            return view.root(f"{PLACE}/{self._made}/")

    def chunk(self, target: str) -> bytes | None:
        """Gives a chunk of an array that a root told of; None where there is none.

        Args:
          target: path from the vault's folder, `live/3/steps/reward/c.0.7`.
        """
        place, _, path = target.partition("/")
        number, _, path = path.partition("/")
        view = self._views.get(int(number)) if place == PLACE and number.isdecimal() else None
        path, _, key = path.rpartition("/")
        places = key.split(".")[1:]
        if view is None or not key.startswith("c.") or not all(place.isdecimal() for place in places):
            return None
        return view.chunk(unquote(path), [int(place) for place in places])


class View:
    """What a vault has committed at one moment.

    Args:
      vault: open.
    """

    def __init__(self, vault: "Vault") -> None:
        selected = vault.finished().selected()
        own = vault.selected().sources
        # Each source's running episodes follow its ended ones; `finished` has taken both.
        firsts = selected.offsets[:-1] + [source.state.episodes for source in own]
        self._running = [
            episode
            for first, stop in zip(firsts.tolist(), selected.offsets[1:].tolist(), strict=True)
            for episode in range(first, stop)
        ]
        self._selected, self._facts = selected, (dict(vault.attributes), dict(vault.card))
        self._table = selected.episodes()
        texts = self._table.texts()
        self._text = np.frombuffer(b"".join(texts), np.uint8)
        self._stops = np.cumsum([len(text) for text in texts], dtype=np.int64)
        schema, state = selected.schema, selected.state
        arrays = schema.arrays(state.length, state.episodes, len(self._text))
        self._arrays = {array.path: _plain(array) for array in arrays}

    def root(self, base: str) -> bytes:
        """Gives the root document, whose arrays stand below `base`."""
        selected, (attributes, card) = self._selected, self._facts
        length = selected.state.length
        root = Root(
            schema=selected.schema,
            running=begin(selected.schema, length),
            length=length,
            committed=length,
            episodes=selected.state.episodes,
            attribute_bytes=len(self._text),
            attributes=attributes,
            card=card,
        )
        document = json.loads(root.encode())
        metadata = document["consolidated_metadata"]["metadata"]
        metadata |= {path: _document(array) for path, array in self._arrays.items()}
        # Not checked by a checksum: it never lay on a disk.
        document["attributes"]["strongbax"] |= {"live": {"base": base, "running": self._running}}
        return json.dumps(document).encode()

    def chunk(self, path: str, places: list[int]) -> bytes | None:
        """Gives the chunk at a place of an array's grid, filled up with zeros behind the last row."""
        array = self._arrays.get(path)
        if array is None or len(places) != len(array.stored_shape()):
            return None
        number = places[array.axis]
        start, stop = number * array.rows, min((number + 1) * array.rows, array.shape[array.axis])
        if start >= stop or any(place for axis, place in enumerate(places) if axis != array.axis):
            return None
        values = array.stored.to_disk(np.ascontiguousarray(self._rows(array, start, stop)))
        whole = np.zeros((*array.shard, *array.stored.trailing), values.dtype)
        whole[(slice(None),) * array.axis + (slice(0, stop - start),)] = values
        return whole.astype(whole.dtype.newbyteorder("<"), copy=False).tobytes()

    def _rows(self, array: ArraySpec, start: int, stop: int) -> "NpArray":
        group, _, name = array.path.partition("/")
        if group == "steps":
            return self._selected.read(name, start, stop)
        if group == "final":
            return np.stack([self._selected.final(name, episode) for episode in range(start, stop)])
        if name == "attributes_stop":
            return self._stops[start:stop]
        if name == "attributes":
            return self._text[start:stop]
        return self._table[name][start:stop]


def _is_sealed(vault: "Vault", path: Path) -> bool:
    root = read_root(path)
    return (vault.length, vault.num_episodes) == (root.length, root.episodes)


def _plain(array: ArraySpec) -> ArraySpec:
    """The same array in chunks that are files; of final rows one, since one is asked for at a time."""
    stored = array.stored
    values = int(np.prod((*array.tail, *stored.trailing), dtype=np.int64))
    rows = 1 if array.path.startswith("final/") else max(1, _CHUNK // max(1, values * stored.base.itemsize))
    shape = (*array.shape[: array.axis], rows, *(max(1, axis) for axis in array.tail))
    return replace(array, shard=shape, chunk=shape, codec="none")


def _document(array: ArraySpec) -> dict[str, Any]:
    """The array's Zarr document without the codec of shards."""
    return array.to_dict() | {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
