"""There and back: what was in a format once goes through it again unchanged, and through another alike."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from specs import F32, NONE, TERMINATED, TRUNCATED, Spec
from strongbax.converters import convert, export
from strongbax.converters.exporting import WRITERS
from strongbax.converters.formats import FORMATS
from strongbax.converters.readback import compare, episodes_of
from strongbax.converters.recorded import Recorded
from strongbax.converters.source import Source
from strongbax.vault.vault import Vault
from test_losses import OPTIONS, table

READERS = {form.name: form.read for form in FORMATS}
NEED_REWARD = ("d3rlpy", "d4rl", "minari")
NAMES = [writer.name for writer in WRITERS]
_DTYPES = [np.float32, np.float64, np.float16, np.int8, np.uint16, np.int64, np.bool_]
_FLAGS = [NONE, TERMINATED, TRUNCATED, (True, True)]


@st.composite
def specs(draw: Any) -> Spec:
    """Vaults of a few small leaves and episodes of all kinds, one step and none among them."""
    spec = Spec()
    for name in ("observation", "action", "infos/x", "value"):
        dtype, shape = draw(st.sampled_from(_DTYPES)), tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
        spec = spec.leaf(name, dtype, *shape)
    episode = st.tuples(st.integers(0, 4), st.sampled_from(_FLAGS), st.booleans())
    first = (draw(st.integers(1, 3)), draw(st.sampled_from(_FLAGS)), draw(st.booleans()))
    episodes = (first, *draw(st.lists(episode, max_size=3)))
    return Spec(spec.leaves, episodes, texts={"task": "öffne"} if draw(st.booleans()) else {})


def there_and_back(vault: Path, folder: Path, form: str) -> tuple[Source, Path]:
    """Writes a vault in a format; gives that, read, and a vault made of it."""
    folder.mkdir()
    with Vault.open(vault) as contents:
        export(contents, folder / "out", form, **OPTIONS.get(form, {}))
    convert(folder / "out", folder / "v", format=form)
    return READERS[form](folder / "out", None), folder / "v"


@pytest.mark.parametrize("form", NAMES)
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(spec=specs())
def test_a_second_trip_loses_nothing(tmp_path_factory: pytest.TempPathFactory, form: str, spec: Spec):
    """What a format holds, its vault holds, and what is written of that vault is the same to the bit."""
    folder = tmp_path_factory.mktemp("trip")
    first, vault = there_and_back(spec.write(folder / "v"), folder / "a", form)
    second, _ = there_and_back(vault, folder / "b", form)
    assert first.finals == second.finals
    compare(list(episodes_of(first)), second)


def losses(before: Sequence[Recorded], after: Sequence[Recorded]) -> set[str]:
    """What is not there any more, in the words of the page's table; or what should never be lost."""
    assert len(before) == len(after)
    found: set[str] = set()
    for one, other in zip(before, after, strict=True):
        if count(one) - 1 == count(other):  # the last step is the final state now
            return {"final observations" if one.final else "final observations of none"}
        found |= {lost for name, rows in one.steps.items() for lost in leaf(name, rows, other.steps)}
        if (one.terminated, one.truncated) != (other.terminated, other.truncated):
            found.add(END[one.terminated, one.truncated])
        if one.final is not None and other.final is None:
            found.add("final observations")
        if one.final is None and other.final is not None:
            found.add("final observations of none")
        for name, row in (one.final or {}).items():
            if other.final is not None and rows_of(name, other.final, row) is None:
                found.add("final rows of infos" if name not in OBSERVED else "final observation")
        found |= {"task text"} if one.attributes.get("task") != other.attributes.get("task") else set()
    return found


END = {
    NONE: "neither: an episode that was cut",
    TERMINATED: "terminated",
    TRUNCATED: "truncated",
    (True, True): "both at once",
}
OBSERVED = ("observation",)
OTHERS = {
    "value": ("infos/value",),
    "infos/value": ("value",),
}


def rows_of(name: str, leaves: Any, rows: Any) -> Any:
    """The leaf that is the same as one, if any."""
    for known in (name, *OTHERS.get(name, ())):
        found = leaves.get(known)
        if found is not None and np.asarray(found).tobytes() == np.asarray(rows).tobytes():
            return found
    return None


def leaf(name: str, rows: Any, others: Any) -> set[str]:
    found = rows_of(name, others, rows)
    if found is not None:
        alike = (found.dtype, found.shape) == (rows.dtype, rows.shape)
        return set() if alike else {"action without axes" if name == "action" else f"shape of {name}"}
    known = {"reward": "reward", "infos/x": "infos", "value": "leaf of another name", "infos/value": "infos"}
    if name in ("terminated", "truncated", "collector/traj_ids"):
        return set()  # flags are compared by their episode
    return {known.get(name, f"values of {name}")}


def count(episode: Recorded) -> int:
    return len(next(iter(episode.steps.values())))


WHOLE = Spec(
    {
        "observation": (np.dtype(np.float64), (3,)),
        "action": (np.dtype(np.int64), ()),
        "reward": (F32, ()),
        "infos/x": (F32, (2,)),
        "value": (np.dtype(np.uint8), (4,)),
    },
    ((3, TERMINATED, True), (2, TRUNCATED, True), (4, (True, True), True), (2, NONE, True)),
    texts={"task": "öffne die Tür"},
)


CHAINS = [
    ("minari", "rlds"),
    ("d4rl", "minari"),
    ("robomimic", "npz"),
    ("d3rlpy", "torchrl"),
    ("lerobot", "rlds"),
]
PAIRS = [
    pytest.param(*pair, marks=() if pair in CHAINS else pytest.mark.heavy)
    for pair in itertools.product(NAMES, NAMES)
    if pair[0] != pair[1]
]


@pytest.mark.parametrize(("home", "through"), PAIRS)
def test_through_another_format_only_its_own_losses_are_met(tmp_path: Path, home: str, through: str):
    """From a format into another and back, all that is lost is what the page's table says of that other."""
    words = table()
    first, vault = there_and_back(WHOLE.write(tmp_path / "v"), tmp_path / "a", home)
    if (home in NEED_REWARD and through == "ogbench") or (home == "ogbench" and through in NEED_REWARD):
        with pytest.raises(ValueError, match="this vault has no `reward`"):
            there_and_back(there_and_back(vault, tmp_path / "b", through)[1], tmp_path / "c", home)
        return
    _, vault = there_and_back(vault, tmp_path / "b", through)
    last, _ = there_and_back(vault, tmp_path / "c", home)
    for lost in losses(list(episodes_of(first)), list(episodes_of(last))):
        assert words[lost][through] != "kept", lost
