"""Steps of any pytree: leaves are named by their paths, names never collide, containers come back."""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState, make_trajectory_buffer
from strongbax.vault import Vault
from vault_rings import same


class Pair(NamedTuple):
    first: Any
    second: Any


@chex.dataclass(frozen=True)
class Chex:
    image: Any
    state: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Plain:
    left: Any
    right: Any


F = np.float32
ODD = ["a/b", "", "zarr.json", "..", ".", "__init__", "%2F", "a.b", " ", "ünï→", "c", "c.0.0", "x" * 60, "\n"]

TREES: dict[str, tuple[Any, tuple[str, ...], Any]] = {
    "bare": (F(0), ("value",), F(0)),
    "dict": ({"b": F(0), "a": F(0)}, ("a", "b"), {"a": F(0), "b": F(0)}),
    "list": ([F(0), F(0)], ("0", "1"), [F(0), F(0)]),
    "tuple": ((F(0), (F(0), F(0))), ("0", "1/0", "1/1"), (F(0), (F(0), F(0)))),
    "named tuple": (Pair(F(0), [F(0)]), ("first", "second/0"), {"first": F(0), "second": [F(0)]}),
    "chex": (
        Chex(image=F(0), state={"v": F(0)}),
        ("image", "state/v"),
        {"image": F(0), "state": {"v": F(0)}},
    ),
    "dataclass": (Plain(F(0), (F(0),)), ("left", "right/0"), {"left": F(0), "right": (F(0),)}),
    "integers": ({3: F(0), 1: F(0)}, ("1", "3"), {1: F(0), 3: F(0)}),
    "more than ten": ([F(0)] * 12, tuple(sorted(map(str, range(12)), key=int)), [F(0)] * 12),
    "deep": (
        {"a": [{"b": (F(0), {"c": F(0)})}]},
        ("a/0/b/0", "a/0/b/1/c"),
        {"a": [{"b": (F(0), {"c": F(0)})}]},
    ),
    "empty inside": ({"a": {}, "b": F(0), "c": None}, ("b",), {"b": F(0)}),
}


def filled(tree: Any, steps: int) -> Any:
    """Gives every leaf `[steps]` numbers of its own."""
    leaves, treedef = jax.tree_util.tree_flatten(tree)
    values = [F(100 * place) + np.arange(steps, dtype=F) for place in range(len(leaves))]
    return jax.tree_util.tree_unflatten(treedef, values)


@pytest.mark.parametrize("name", TREES)
def test_containers_come_back(tmp_path, name):
    """Dicts, lists and tuples come back as they were, named tuples and dataclasses as dicts."""
    tree, names, plain = TREES[name]
    steps = filled(tree, 6)
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=tree, block=4, roles={}) as vault:
        assert vault.leaves == names
        vault.extend(steps)
        compare(vault, plain, steps)
    vault = Vault.open(path)
    assert vault.leaves == names
    compare(vault, plain, steps)


def compare(vault: Vault, plain: Any, steps: Any) -> None:
    found = vault.read_numpy()
    assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(plain)
    for a, b in zip(jax.tree_util.tree_leaves(found), jax.tree_util.tree_leaves(steps), strict=True):
        assert same(a[0], b)


@pytest.mark.parametrize("name", ["named tuple", "chex", "dataclass", "bare", "tuple"])
def test_containers_of_jax_come_back(tmp_path, name):
    """The vault that was made from a pytree reads that pytree; after reopening `like=` gives it again."""
    tree, _, _ = TREES[name]
    steps = filled(tree, 6)
    batched = jax.tree.map(lambda x: jnp.asarray(x)[None], steps)
    state = TrajectoryBufferState(
        experience=batched, current_index=jnp.int32(0), is_full=jnp.bool_(True), laps=jnp.int32(1)
    )
    path = tmp_path / "a.vault"
    with Vault.create(path, like=state, block=4) as vault:
        vault.write(state)
        chex.assert_trees_all_equal(vault.read().experience, batched)
    vault = Vault.open(path)
    chex.assert_trees_all_equal(vault.read(like=tree).experience, batched)
    buffer = make_trajectory_buffer(1, 1, 1, 1, 1, max_length_time_axis=8)
    assert jax.tree_util.tree_structure(vault.load(buffer, like=tree).experience) == (
        jax.tree_util.tree_structure(tree)
    )


def test_odd_names_never_collide(tmp_path):
    """Keys with slashes, dots, nothing, Zarr's names or any letter are leaves of their own to any reader."""
    tree = {key: F(0) for key in ODD} | {"a": {"b": F(0), "": F(0)}}
    steps = filled(tree, 6)
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=tree, block=4) as vault:
        vault.extend(steps)
        compare(vault, tree, steps)
        names = vault.leaves
    assert len(set(names)) == len(ODD) + 2
    vault = Vault.open(path)
    compare(vault, tree, steps)
    flat = vault.read_numpy(leaves=names)
    group = zarr.open_group(path, mode="r")
    for name in names:
        assert same(group[f"steps/{name}"][...], flat[name])


def test_leaves_are_taken_by_name_whatever_the_order(tmp_path):
    """A dict of steps in another order, or another container with the same paths, is the same steps."""
    with Vault.create(tmp_path / "a.vault", steps=Pair(F(0), F(0)), block=4) as vault:
        vault.extend({"second": np.ones(3, F), "first": np.zeros(3, F)})
        assert vault.read_numpy()["second"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ({}, ValueError, "`steps` must hold at least one array: got an empty pytree"),
        ({"a": None}, ValueError, "`steps` must hold at least one array: got an empty pytree"),
        ({"a": np.array([object()])}, TypeError, "`steps` must hold arrays: the leaf 'a'"),
        ({"a": "text"}, TypeError, None),
        ({1.5: F(0)}, TypeError, "keys of `steps` must be strings or integers: got 1.5, float"),
        ({(1, 2): F(0)}, TypeError, r"keys of `steps` must be strings or integers: got \(1, 2\), tuple"),
    ],
)
def test_steps_that_are_none_are_refused(tmp_path, tree, error, message):
    """A pytree that a vault cannot hold is refused with the reason, and no folder is left."""
    if message is None:  # a Python string is an array of its letters
        with Vault.create(tmp_path / "a.vault", steps=tree, block=4) as vault:
            vault.extend({"a": np.array(["abcd", "efgh"])})
            assert vault.read_numpy()["a"].tolist() == [["abcd", "efgh"]]
        return
    with pytest.raises(error, match=message):
        Vault.create(tmp_path / "a.vault", steps=tree)
    assert list(tmp_path.iterdir()) == []
