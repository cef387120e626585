"""Writing chosen episodes as a vault of their own: end to end as one stream, block by block.

Saving, packing, merging, deleting and repairing are all this, with other episodes or another layout. What is
read is checked, so a copy is never made of damaged bytes.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .attachments import attach, attached_folders, read_attached
from .block import choose_block, choose_packed_block
from .codecs import choose_codecs
from .create import fill
from .dtypes import NpArray
from .root import Root
from .running import begin
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Schema
from .selected import Selected
from .shard_writer import write_array

Progress = Callable[[int, int], None]
Codec = str | Mapping[str, str] | None

_OF_THE_WHOLE = ("stats", "vaults")  # facts of a card that do not hold for other episodes


@dataclass(frozen=True)
class Layout:
    """How a vault is laid out.

    Attributes:
      codec: one for all leaves, or by leaf; what is not named keeps the codec that it has.
      block: steps of a shard, a power of two, or None to have it chosen.
      packed: few large shards.
    """

    codec: Codec = None
    block: int | None = None
    packed: bool = False

    def schema(self, source: Schema, length: int) -> Schema:
        """Gives the schema of a vault of one stream with the source's leaves."""
        asked = {"": self.codec} if isinstance(self.codec, str) else dict(self.codec or {})
        kept = {leaf.name: leaf.codec for leaf in source.leaves}
        wanted = dict.fromkeys(kept, asked.pop("")) if "" in asked else kept
        codecs = choose_codecs(wanted | asked, {leaf.name: leaf.row_form for leaf in source.leaves})
        leaves = tuple(replace(leaf, codec=codecs[leaf.name]) for leaf in source.leaves)
        if self.packed and self.block is None:
            block = choose_packed_block(length, leaves)
        else:
            block = choose_block(1, leaves, self.block)
        return replace(
            source, streams=1, leaves=leaves, block=block, finals_compressed=True, packed=self.packed
        )


@dataclass(frozen=True)
class Facts:
    """What a vault says of itself.

    Attributes:
      attributes: given when it is made.
      card: about the dataset.
    """

    attributes: Mapping[str, Any]
    card: Mapping[str, Any]


def facts_of(chosen: Selected) -> Facts:
    """Gives the facts that hold for chosen episodes.

    Those of one whole vault are its own. Else what all vaults share, and under `vaults` the rest of each,
    with its name and how much is taken of it; statistics are left out. A part belongs to its vault.
    """
    owners, owner = np.unique(_owners(chosen), return_inverse=True)
    paths = [chosen.sources[place].path for place in owners]
    roots = [chosen.sources[place].root for place in owners]
    count = sum(source.state.episodes for source in chosen.sources)
    if len(roots) == 1 and np.array_equal(np.sort(chosen.chosen), np.arange(count)):
        return Facts(dict(roots[0].attributes), dict(roots[0].card))
    card = {
        name: fact for name, fact in _shared([r.card for r in roots]).items() if name not in _OF_THE_WHOLE
    }
    lengths, source = chosen.where["length"], owner[chosen.source]
    vaults = [
        {
            "name": path.name,
            "episodes": int((source == place).sum()),
            "steps": int(lengths[source == place].sum()),
            "card": {n: fact for n, fact in root.card.items() if n not in card and n != "stats"},
        }
        for place, (path, root) in enumerate(zip(paths, roots, strict=True))
    ]
    return Facts(_shared([root.attributes for root in roots]), card | {"vaults": vaults})


def write_out(
    folder: Path, chosen: Selected, layout: Layout, facts: Facts, progress: Progress | None = None
) -> Root:
    """Writes chosen episodes into a new folder as a closed vault, synced but for the folders.

    Args:
      folder: empty but for a lock.
      chosen: episodes.
      layout: how.
      facts: about them.
      progress: called with (done, total), in bytes before compression.

    Returns:
      The root that stands there.

    Raises:
      CorruptionError: if bytes of a source are damaged, naming them; what is in the folder means nothing.
      OSError: if the disk refuses.
    """
    chosen = Selected([source.checked() for source in chosen.sources], chosen.chosen)
    state, table = chosen.state, chosen.episodes()
    schema = layout.schema(chosen.schema, state.length)
    texts = table.texts()
    text = np.frombuffer(b"".join(texts), np.uint8)
    root = Root(
        schema,
        begin(schema, state.length),
        length=state.length,
        committed=state.length,
        episodes=state.episodes,
        attribute_bytes=len(text),
        attributes=facts.attributes,
        card=facts.card,
    )
    columns = {name: table[name] for name in schema.column_dtypes} | {
        ATTRIBUTES: text,
        ATTRIBUTES_STOP: np.cumsum([len(one) for one in texts], dtype=np.int64),
    }
    tick = _ticker(root, progress)
    fill(folder, root)
    for array in root.arrays():
        group, name = array.path.split("/", 1)
        write_array(folder, array, _rows_of(chosen, columns, group, name), tick)
    return root


def copy_attached(folder: Path, chosen: Selected) -> None:
    """Copies what is attached to the sources; where it is attached to several, under their names."""
    found = {place: dict(attached_folders(source.path)) for place, source in enumerate(chosen.sources)}
    several = sum(map(bool, found.values())) > 1
    for place, folders in found.items():
        prefix = f"{place}-{chosen.sources[place].path.name}/" if several else ""
        for name, where in folders.items():
            attach(folder, {prefix + name: read_attached(where)})


def _owners(chosen: Selected) -> list[int]:
    """Gives for each source the place of the one whose vault it is of: itself, or the one it is a part of."""
    places = {str(source.path): place for place, source in enumerate(chosen.sources)}
    folders = [str(source.path).rpartition("/")[0] for source in chosen.sources]
    owners = [folder.removesuffix("/parts") if folder.endswith("/parts") else "" for folder in folders]
    return [places.get(owner, place) for place, owner in enumerate(owners)]


def _rows_of(
    chosen: Selected, columns: Mapping[str, NpArray], group: str, name: str
) -> Callable[[int, int], NpArray]:
    """Gives what reads the rows of an array that is to be written."""
    if group == "steps":
        leaf = chosen.schema.leaf(name)

        def steps(start: int, stop: int) -> NpArray:
            out = np.empty((1, stop - start, *leaf.shape), leaf.dtype)
            return chosen.read(name, start, stop, out=out)

        return steps
    if group == "final":
        return lambda start, stop: _finals(chosen, name, start, stop)
    return lambda start, stop: columns[name][start:stop]


def _finals(chosen: Selected, name: str, start: int, stop: int) -> NpArray:
    """Reads final rows of chosen episodes, those that lie one behind the other in one go."""
    leaf = chosen.schema.leaf(name)
    out = np.zeros((stop - start, *leaf.shape), leaf.dtype)
    source, ids = chosen.source[start:stop], chosen.ids[start:stop]
    edges = np.flatnonzero((np.diff(source) != 0) | (np.diff(ids) != 1)) + 1
    bounds = [0, *edges.tolist(), stop - start]
    for low, high in itertools.pairwise(bounds):
        one = chosen.sources[int(source[low])]
        if name in one.schema.finals:
            out[low:high] = one.final_rows(name, int(ids[low]), int(ids[low]) + high - low)
    return out


def _ticker(root: Root, progress: Progress | None) -> Callable[[int], None]:
    total = sum(int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize for array in root.arrays())
    done = 0

    def tick(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total)

    return tick


def _shared(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gives what is the same in all."""
    return {name: fact for name, fact in facts[0].items() if all(other.get(name) == fact for other in facts)}
