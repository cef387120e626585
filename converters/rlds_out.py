"""Vaults as RLDS datasets: TFRecord shards, `features.json` and `dataset_info.json`, as TFDS reads them.

```
# observation, final : (o0, o1, o2), (o3)  ->  steps/observation : [o0, o1, o2, o3]
# action             : (a0, a1, a2)        ->  steps/action      : [a0, a1, a2,  0]
```
Where no final row is known, the last step is the last row, as in many datasets of Open X-Embodiment.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.errors import CorruptionError
from .left_out import left_out
from .pictures import png_bytes
from .readback import compare
from .recorded import Recorded
from .rlds import read
from .rlds_features import STEPS, TEXT, Feature, features_of
from .rlds_folder import FEATURES, INFO, MARK, TEMPLATE, open_folder, shard_name
from .rlds_scan import records_of
from .rlds_schema import IMAGES, PACKED, Schema, feature_tree, schema_of
from .standard import Standard, standard
from .tf_example import Values, example_bytes
from .tfrecord import write_records

OPTIONS = ("name", "version", "split", "images", "shard_bytes")


def write(
    contents: Contents,
    path: Path,
    progress: Callable[[int, int], None],
    *,
    name: str = "strongbax_dataset",
    version: str = "1.0.0",
    split: str = "train",
    images: str = "png",
    shard_bytes: int = 256 << 20,
) -> Sequence[str]:
    """Writes a vault or view as an RLDS dataset.

    Args:
      contents: to write.
      path: of the version's folder; `tfds.builder_from_directory` opens it.
      progress: called with episodes.
      name: of the dataset, in lower case with underscores.
      version: of it, three numbers.
      split: that all episodes are in.
      images: how uint8 leaves of height, width and channels are stored: as images in `png`, which needs
        Pillow, or as arrays in `zlib`.
      shard_bytes: of a file, about.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if an option is wrong, or TFDS has no feature for a leaf.
      MissingExtraError: for images in PNG, without Pillow.
      CorruptionError: if what was written, read back, is not what was meant.

    Example:
      >>> from strongbax.vault.view import example
      >>> write(example(lengths=[2, 3]), Path("written"), lambda done, total: None)
      []
      >>> sorted(entry.name for entry in Path("written").iterdir())[-1]
      'strongbax_dataset-train.tfrecord-00000-of-00001'
    """
    _check_options(name, version, split, images, shard_bytes)
    out = standard(contents, needs=())
    schema = schema_of(out, images)
    final = bool(out.finals) and bool(contents.episodes["final_known"].any())
    path.mkdir()
    records = _records(out, schema, final=final, progress=progress)
    written = write_records(path / "shard", records, shard_bytes)
    for number in range(len(written)):
        file = shard_name(TEMPLATE, name, split, "tfrecord", number, len(written))
        (path / f"shard.{number}").rename(path / file)
    about = {
        "name": split,
        "filepathTemplate": TEMPLATE,
        "numBytes": str(sum(size for _, size in written)),
        "shardLengths": [str(count) for count, _ in written],
    }
    info = {
        "name": name,
        "version": version,
        "fileFormat": "tfrecord",
        "moduleName": "strongbax",
        "splits": [about],
    }
    card = {key: str(contents.card[key]) for key in ("description", "citation") if contents.card.get(key)}
    _dump(path / INFO, info | card)
    _dump(path / FEATURES, feature_tree(schema.features()))
    _dump(path / MARK, schema.mark(out, final=final))
    source = read(path)
    compare(_meant(out, schema, final=final), source)
    _check_columns(out, schema, path)
    return [*schema.notes, *_notes(out, final=final), *left_out(contents, source)]


def _check_options(name: str, version: str, split: str, images: str, shard_bytes: int) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"`name` must be lower-case letters, digits and underscores: got {name!r}.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"`version` must be three numbers, as in '1.0.0': got {version!r}.")
    if not re.fullmatch(r"\w+", split):
        raise ValueError(f"`split` must be a word: got {split!r}.")
    if images not in IMAGES:
        raise ValueError(f"`images` must be one of {list(IMAGES)}: got {images!r}.")
    if shard_bytes < 1:
        raise ValueError(f"`shard_bytes` must be at least 1: got {shard_bytes}.")


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _records(
    out: Standard, schema: Schema, *, final: bool, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    for number, episode in enumerate(out.episodes()):
        yield example_bytes(_lists(episode, schema, final=final))
        progress(number + 1, len(out))


def _lists(episode: Recorded, schema: Schema, *, final: bool) -> dict[str, Values]:
    """One record: each feature as a flat list."""
    known = final and episode.final is not None
    length = len(episode.steps["terminated"]) + known
    lists: dict[str, Values] = {}
    for name, feature in schema.leaves.items():
        rows = episode.steps[name]
        if known:
            last = (episode.final or {}).get(name, np.zeros(rows.shape[1:], rows.dtype))
            rows = np.concatenate([rows, np.asarray(last, rows.dtype)[None]])
        lists[feature.path] = _encode(feature, rows)
    is_last = _is_last(episode, final=final)
    for flag, row, value in (
        ("is_first", 0, True),
        ("is_last", -1, is_last),
        ("is_terminal", -1, episode.terminated),
    ):
        flags = np.zeros(length, np.int64)
        if length:
            flags[row] = value
        lists[f"{STEPS}/{flag}"] = flags
    for name, feature in schema.columns.items():
        lists[feature.path] = _encode(feature, np.asarray(episode.columns[name], feature.dtype)[None])
    for name, path in schema.texts.items():
        text = episode.attributes[name].encode()
        lists[path] = [text] * length if path.startswith(STEPS + "/") else [text]
    if schema.packed:
        rest = {key: value for key, value in episode.attributes.items() if key not in schema.texts}
        lists[PACKED] = [json.dumps(rest, ensure_ascii=False).encode()]
    return lists


def _is_last(episode: Recorded, *, final: bool) -> bool:
    """Whether the last row says so: a final observation always, a step where the episode has an end."""
    return episode.final is not None if final else episode.terminated or episode.truncated


def _encode(feature: Feature, rows: NpArray) -> Values:
    """A feature's rows `[T, ...]` as a flat list."""
    if feature.dtype == TEXT:
        return [text.encode() if isinstance(text, str) else bytes(text) for text in rows.reshape(-1).tolist()]
    if feature.encoding == "image":
        what = 'Writing images as PNG (and not with `images="zlib"`)'
        return [png_bytes(row, what) for row in rows]
    if feature.encoding != "none":
        little = rows.astype(rows.dtype.newbyteorder("<"))
        packed = [row.tobytes() for row in little]
        return [zlib.compress(row) for row in packed] if feature.encoding == "zlib" else packed
    flat = rows.reshape(-1)
    return (
        flat
        if flat.dtype == np.float32
        else flat.view(np.int64)
        if flat.dtype == np.uint64
        else flat.astype(np.int64)
    )


def _meant(out: Standard, schema: Schema, *, final: bool) -> Iterator[Recorded]:
    """The episodes as RLDS holds them: one flag for the end, at the last step."""
    for episode in out.episodes():
        length = len(episode.steps["terminated"])
        rows = length + (final and episode.final is not None)
        terminated = bool(episode.terminated and rows)
        truncated = bool(rows and _is_last(episode, final=final) and not terminated)
        steps = {name: episode.steps[name] for name in schema.leaves}
        for flag, value in (("terminated", terminated), ("truncated", truncated)):
            steps[flag] = np.zeros(length, np.bool_)
            steps[flag][-1:] = value
        last = {name: row for name, row in (episode.final or {}).items() if name in schema.leaves}
        yield replace(
            episode,
            steps=steps,
            terminated=terminated,
            truncated=truncated,
            final=last if final and episode.final is not None else None,
        )


def _check_columns(out: Standard, schema: Schema, path: Path) -> None:
    folder = open_folder(path)
    paths = {feature.path for feature in schema.columns.values()}
    features = [f for f in features_of(folder.features, path / FEATURES) if f.path in paths]
    table = out.contents.episodes
    for row, record in enumerate(records_of(folder, features, images=False)):
        for name, feature in schema.columns.items():
            if record.rest[feature.path].tobytes() != table[name][row].tobytes():
                raise CorruptionError(
                    f"What was written is not what the vault holds: the column `{name}` of episode {row} has "
                    "another value. Nothing was kept. Disk or memory fail, or this is a bug to report."
                )


def _notes(out: Standard, *, final: bool) -> list[str]:
    table = out.contents.episodes
    terminated, truncated = table["terminated"].astype(bool), table["truncated"].astype(bool)
    known = table["final_known"].astype(bool) & final
    counts = {
        "both terminated and were truncated; they are only terminal: RLDS has one flag.": terminated
        & truncated,
        "were cut and have a final observation, so that they read as truncated.": known
        & ~terminated
        & ~truncated,
        "have no final observation where others have: their last row is a step and does not say `is_last`, "
        "so that those truncated read as cut.": ~known & final,
        "have neither a step nor a final observation: they are records without rows and flags.": ~known
        & (table["length"] == 0),
    }
    return [f"{int(which.sum())} episodes {what}" for what, which in counts.items() if which.any()]
