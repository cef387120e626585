"""RLDS datasets as TFDS writes them: one record an episode, TFRecord or ArrayRecord.

```
#                   |<---- one record ---->|
# steps/observation : [o0, o1, o2, o3]       -> observation (o0, o1, o2), final (o3)
# steps/action      : [a0, a1, a2,  0]       -> action
# steps/reward      : [r0, r1, r2,  0]       -> reward
# steps/is_last     : [ 0,  0,  0,  1]       -> o3 is no step, where the data agree
# steps/is_terminal : [ 0,  0,  0,  1]       -> terminated, else truncated
```
Neither TensorFlow nor protobuf is needed. Where last rows hold an action, they are steps.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from .bad import Bad
from .recorded import Episodes, Recorded, blocks_of
from .rlds_features import TEXT, Feature, features_of
from .rlds_folder import FEATURES, Folder, find, open_folder
from .rlds_plan import Plan, plan_of
from .rlds_scan import Scan, records_of, scan
from .source import Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "rlds"
OPTIONS = ("split", "last_row", "skip")


def detect(path: Path) -> bool:
    """Says whether a folder is a TFDS dataset whose records have steps.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    folder = find(path)
    return folder is not None and '"steps"' in (folder / FEATURES).read_text("utf-8", "replace")


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - every format takes it
    *,
    split: str | None = None,
    last_row: str | None = None,
    skip: Sequence[str] = (),
    bad: Bad | None = None,
) -> Source:
    """Opens a dataset as a source, having read it once but for its images.

    Args:
      path: of the version's folder.
      entry: what the catalogue knows of it.
      split: to read; None reads all that are there, and says in each episode's attributes which it is from.
      last_row: what a last row that says `is_last` is: `final`, the observation that the last action led
        to, or `step`. None goes by the data: a step, if any such row holds an action or a reward.
      skip: features, or groups of them, to leave out.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the dataset is not what TFDS writes, now or while it is read.
      MissingExtraError: for ArrayRecord and for images, without their libraries.
      ValueError: if an option does not fit.

    Example:
      >>> from strongbax.converters.exporting import export
      >>> from strongbax.vault.view import example
      >>> _ = export(example(lengths=[2, 3]), "toy", "rlds")
      >>> source = read(Path("toy"))
      >>> source.num_steps, source.facts["splits"]
      (5, {'train': 2})
    """
    folder = open_folder(path, split)
    features = features_of(folder.features, folder.path / FEATURES, skip)
    bad = bad or Bad()
    found = scan(folder, features, bad)
    plan = plan_of(folder, features, found, last_row)
    episodes = partial(_episodes, folder, features, plan)
    example = _example(features, found, plan, episodes, bad)
    by_path = {feature.path: feature for feature in features}
    columns = {column: by_path[path].dtype for path, column in plan.columns.items()}
    return Source(
        example=example,
        lengths=np.array(found.lengths) - (np.array(found.ending) & plan.final),
        finals=plan.finals,
        blocks=blocks_of(episodes, len(found.lengths), example, plan.finals, columns),
        facts=_facts(folder, features, found, plan),
        columns=columns,
        card={key: folder.info[key] for key in ("description", "citation") if folder.info.get(key)},
    )


def _episodes(
    folder: Folder, features: Sequence[Feature], plan: Plan, start: int, stop: int
) -> Iterator[Recorded]:
    for record in records_of(folder, features, images=True, start=start, stop=stop):
        yield plan.episode(record)


def _example(
    features: Sequence[Feature], found: Scan, plan: Plan, episodes: Episodes, bad: Bad
) -> dict[str, NpArray]:
    """One step: as the first record has it, where images have shapes of their own."""
    open_images = any(f.encoding == "image" and None in f.shape for f in features if f.in_steps)
    if open_images:
        some = [unit for unit, length in enumerate(found.lengths) if length]
        first = bad.first(some, lambda unit: next(episodes(unit, unit + 1)))
        return {leaf: np.zeros(values.shape[1:], values.dtype) for leaf, values in first.steps.items()}
    example: dict[str, NpArray] = {}
    for feature in features:
        if feature.name in plan.leaves and feature.in_steps:
            leaf = plan.leaves[feature.name]
            fixed = tuple(size or 0 for size in feature.shape)
            shape = fixed if feature.encoding == "image" else found.shapes.get(feature.name, fixed)
            dtype = plan.widths.get(leaf, feature.dtype)
            squeezed = plan.squeeze and (leaf, shape) == ("reward", (1,))
            example[leaf] = np.zeros(() if squeezed else shape, dtype)
    return example | {flag: np.zeros((), np.bool_) for flag in ("terminated", "truncated")}


def _facts(folder: Folder, features: Sequence[Feature], found: Scan, plan: Plan) -> dict[str, Any]:
    places = {name: path for path, name in {**plan.columns, **plan.attributes}.items()}
    narrowed = [f.name for f in features if f.dtype == np.float64 and f.encoding == "none"]
    return {
        "dataset": folder.info.get("name"),
        "version": folder.info.get("version"),
        "splits": {name: sum(s.records for s in folder.shards if s.split == name) for name in folder.splits},
        "splits_without_files": list(folder.absent),
        "last_row": "final" if plan.final else "step",
        "episodes_with_is_last": found.lasts,
        "last_rows_with_action_or_reward": found.carrying,
        "episodes_with_is_first": found.firsts,
        "nan_rewards": found.nan_rewards,
        "features": {
            f.path: {"dtype": _dtype(f), "shape": list(f.shape), "encoding": f.encoding} for f in features
        },
        "float64_stored_as_float32": narrowed,
        "texts_of_episodes": list(plan.texts),
        "places": places,
    }


def _dtype(feature: Feature) -> str:
    return "text" if feature.dtype == TEXT else feature.dtype.name
