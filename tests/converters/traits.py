"""What a vault may have that some format cannot hold, and what tells whether it came back."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from specs import F32, NONE, TERMINATED, TRUNCATED, Spec
from strongbax.converters.readback import episodes_of, recorded_of
from strongbax.converters.recorded import Recorded
from strongbax.converters.source import Source
from strongbax.vault.tree import component
from strongbax.vault.vault import Vault


@dataclass(frozen=True)
class Back:
    """What was written and what came back."""

    spec: Spec
    before: list[Recorded]
    source: Source
    after: list[Recorded]

    def leaf(self, name: str) -> bool:
        """Whether a leaf came back to the bit, under its name; robomimic's word for a whole one is `flat`."""
        wanted, found = joined(self.before, name), self.source.example
        return any(same(wanted, joined(self.after, n)) for n in (name, f"{name}/flat") if n in found)

    def bits(self, name: str) -> bool:
        """Whether its bits came back, in another shape or under another name."""
        wanted = joined(self.before, name)
        return any(
            wanted.dtype == leaf.dtype and wanted.tobytes() == joined(self.after, found).tobytes()
            for found, leaf in self.source.example.items()
        )

    def finals(self, name: str) -> bool:
        """Whether a leaf's final rows came back, unknown ones as unknown."""
        found = [[tails(episode, leaf) for episode in self.after] for leaf in self.source.example]
        return [tails(episode, name) for episode in self.before] in found

    def flags(self) -> bool:
        """Whether every episode's flags came back."""
        return [(e.terminated, e.truncated) for e in self.before] == [
            (e.terminated, e.truncated) for e in self.after
        ]

    def lengths(self) -> bool:
        """Whether every episode came back as long as it was."""
        return [length(e) for e in self.before] == [length(e) for e in self.after]

    def columns(self) -> bool:
        """Whether every column came back."""
        return all(
            one.columns[name] == other.columns.get(name)
            for one, other in zip(self.before, self.after, strict=True)
            for name in self.spec.columns
        )

    def texts(self) -> bool:
        """Whether every episode's attributes came back, among others."""
        return all(
            json.dumps(other.attributes.get(key)) == json.dumps(one.attributes[key])
            for one, other in zip(self.before, self.after, strict=True)
            for key in self.spec.texts
        )


def length(episode: Recorded) -> int:
    return len(next(iter(episode.steps.values())))


def joined(episodes: list[Recorded], name: str) -> Any:
    return np.concatenate([episode.steps[name] for episode in episodes])


def same(one: Any, other: Any) -> bool:
    if one.dtype.kind == other.dtype.kind == "U":
        return one.shape == other.shape and bool((one == other).all())
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def tails(episode: Recorded, name: str) -> bytes | None:
    if episode.final is None or name not in episode.final:
        return None
    return np.asarray(episode.final[name]).tobytes()


def back(spec: Spec, path: Path, source: Source) -> Back:
    """What a source holds of the vault at a path."""
    with Vault.open(path) as vault:
        return Back(spec, list(recorded_of(vault)), source, list(episodes_of(source)))


@dataclass(frozen=True)
class Trait:
    """What a vault may have.

    Attributes:
      name: as docs/converters.md calls it.
      spec: of a vault that has it.
      kept: says of what came back whether it has it still.
      beside: a vault without it, alike in all else: what is said of both is not said of the trait.
      changed: says whether it came back in another shape or under another name.
    """

    name: str
    spec: Spec
    kept: Callable[[Back], bool]
    beside: Spec = field(default_factory=Spec)
    changed: Callable[[Back], bool] = lambda back: False


def leaf(title: str, name: str, dtype: Any, *shape: int, beside: Spec | None = None) -> Trait:
    """A leaf, to come back to the bit under its name."""
    spec = Spec().leaf(name, dtype, *shape)
    return Trait(title, spec, lambda b: b.leaf(name), beside or Spec(), lambda b: b.bits(name))


def parts(title: str, *keys: str) -> Trait:
    """An observation of several leaves."""
    names = tuple(f"observation/{key}" for key in keys)
    base = without("observation")
    spec = replace(base, leaves={**dict.fromkeys(names, (F32, (3,))), **base.leaves}, finals=names)
    return Trait(title, spec, lambda b: all(map(b.leaf, names)), changed=lambda b: all(map(b.bits, names)))


def without(name: str) -> Spec:
    """A vault that lacks a leaf."""
    kept = {n: v for n, v in BASE.leaves.items() if n != name}
    return replace(BASE, leaves=kept, finals=tuple(top for top in BASE.finals if top != name))


def known(*finals: bool) -> Spec:
    """A vault of which some final rows are known."""
    return replace(
        BASE,
        episodes=tuple((n, ends, k) for (n, ends, _), k in zip(BASE.episodes, finals, strict=True)),
    )


def with_infos(spec: Spec) -> Spec:
    """The same with a leaf among the infos."""
    return spec.leaf("infos/x", F32, 2)


BASE = Spec()
NO_FINALS = known(False, False, False)
EMPTY = tuple((n, ends, k) for n, (_, ends, k) in zip((3, 0, 4), BASE.episodes, strict=True))
ATTRIBUTES = {"note": "öffne", "seen": [1, None, {"a": 2.5}]}


def finals(back: Back) -> bool:
    """Whether every final observation is as it was, and no step became one."""
    return back.finals("observation") and back.lengths()


TRAITS = (
    Trait("final observations", BASE, finals, NO_FINALS),
    Trait("final observations of some episodes", known(True, False, True), finals),
    Trait("final observations of none", NO_FINALS, finals),
    Trait(
        "final rows of infos",
        replace(with_infos(BASE), finals=("observation", "infos/x")),
        lambda b: b.finals("infos/x"),
        with_infos(NO_FINALS),
    ),
    Trait("terminated", BASE.ends(TERMINATED, TRUNCATED, TERMINATED), Back.flags),
    Trait("truncated", BASE, Back.flags, BASE.ends(*[TERMINATED] * 3)),
    Trait("both at once", BASE.ends((True, True), TRUNCATED, TRUNCATED), Back.flags),
    Trait("neither: an episode that was cut", BASE.ends(TRUNCATED, NONE, TRUNCATED), Back.flags),
    Trait(
        "episode without steps",
        replace(BASE, episodes=EMPTY),
        lambda b: b.lengths() and b.flags() and b.finals("observation"),
        changed=Back.lengths,
    ),
    Trait("episode that still runs", replace(BASE, running=2), lambda b: sum(map(length, b.after)) == 11),
    Trait("several streams", replace(BASE, streams=3), lambda b: "stream" in b.source.columns, NO_FINALS),
    leaf("reward", "reward", F32, beside=without("reward")),
    Trait("reward of NaN", replace(BASE, nan=True), lambda b: b.leaf("reward"), without("reward")),
    leaf("reward of several agents", "reward", F32, 2, beside=without("reward")),
    leaf("infos", "infos/x", F32, 2),
    leaf("leaf of another name", "value", F32, 2),
    parts("dict of observations", "arm", "hand"),
    parts("tuple of observations", "0", "1"),
    leaf("float64", "observation", np.float64, 3),
    leaf("float16", "observation", np.float16, 3),
    leaf("bfloat16", "observation", ml_dtypes.bfloat16, 3),
    leaf("complex64", "observation", np.complex64, 3),
    leaf("int64", "action", np.int64, 2),
    leaf("uint64", "action", np.uint64, 2),
    leaf("bool", "action", np.bool_, 2),
    leaf("action without axes", "action", np.int32),
    leaf("axis of length 1", "action", F32, 1),
    leaf("axis of length 0", "infos/x", F32, 0),
    leaf("picture, uint8", "observation", np.uint8, 6, 5, 3),
    leaf("text a step", "infos/x", "U6"),
    leaf("bytes a step", "infos/x", "S3"),
    leaf("infos of bfloat16", "infos/x", ml_dtypes.bfloat16, 2),
    leaf("infos of float8", "infos/x", ml_dtypes.float8_e4m3fn, 2),
    leaf("infos of complex128", "infos/x", np.complex128, 2),
    leaf("name with a dot", "infos/a.b", F32, 2),
    leaf("name with a slash", f"infos/{component('a/b')}", F32, 2),
    leaf("name in any script", f"infos/{component('größe 大')}", F32, 2),
    Trait("column of the episode table", replace(BASE, columns={"seed": np.dtype(np.int32)}), Back.columns),
    Trait("attributes of episodes", replace(BASE, texts=ATTRIBUTES), Back.texts),
    Trait("task text", replace(BASE, texts={"task": "öffne"}), Back.texts),
    Trait(
        "attributes of the vault",
        replace(BASE, attributes={"place": "Köln"}),
        lambda b: b.source.attributes.get("place") == "Köln",
    ),
    Trait("card", replace(BASE, card={"licence": "CC0-1.0"}), lambda b: "licence" in b.source.card),
    Trait(
        "attached arrays", replace(BASE, attached={"bias": np.ones(2)}), lambda b: "bias" in b.source.arrays
    ),
)
