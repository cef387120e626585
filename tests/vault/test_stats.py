"""What is said of steps is what NumPy says of them."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongbax.vault import Ends, Vault
from strongbax.vault.quantiles import Quantiles
from strongbax.vault.stats import QUANTILES
from vault_folder import make_folder

COUNT = 3001


@pytest.fixture(scope="module")
def store():
    """A vault of every kind of leaf, and its steps."""
    random = np.random.default_rng(0)
    vector = random.normal(1e4, 1.0, (COUNT, 3)).astype(np.float32)
    vector[::7, 1] = np.nan
    vector[:, 2] = np.nan
    steps = {
        "vector": vector,
        "number": random.normal(size=COUNT),
        "flag": random.random(COUNT) < 0.2,
        "small": random.integers(-128, 128, COUNT).astype(np.int8),
        "large": random.integers(-(2**40), 2**40, COUNT),
        "picture": random.integers(0, 256, (COUNT, 5, 4, 3)).astype(np.uint8),
        "grey": random.integers(0, 256, (COUNT, 6, 6)).astype(np.uint8),
        "brain": random.normal(size=(COUNT, 2)).astype(ml_dtypes.bfloat16),
        "text": np.array(["ab", "bc"] * COUNT)[:COUNT],
        "done": np.arange(COUNT) % 50 == 49,
    }
    vault = Vault.create(make_folder() / "a.vault", steps={n: v[0] for n, v in steps.items()}, block=512)
    vault.extend(steps, Ends(np.array([1000, COUNT]), np.zeros(2, bool), np.ones(2, bool)))
    return vault, steps


def columns(name, values):
    """Gives what is described apart, `[n, K]`."""
    width = {"vector": 3, "picture": 3, "brain": 2}.get(name, 1)
    return values.astype(np.float64).reshape(-1, width)


@pytest.mark.parametrize("chosen", [slice(None), slice(0, 1)], ids=["all", "first episode"])
def test_facts_are_those_of_numpy(store, chosen, monkeypatch):
    """Whatever the dtype and however many blocks: mean, spread, range and exact quantiles are NumPy's."""
    monkeypatch.setattr("strongbax.vault.stats._BLOCK_BYTES", 1000)
    vault, steps = store
    stats = vault.select(chosen).stats()
    assert list(stats) == sorted(set(steps) - {"text"})
    for name, facts in stats.items():
        values = columns(name, steps[name][: COUNT if chosen.stop is None else 1000])
        assert facts.mean.shape == (values.shape[1:] if name in ("vector", "picture", "brain") else ())
        for place, column in enumerate(values.T):
            known = column[~np.isnan(column)]
            given = {
                fact: np.atleast_1d(getattr(facts, fact))[place]
                for fact in ("count", "nan", "mean", "std", "min", "max")
            }
            assert given["count"] == len(known)
            assert given["nan"] == len(column) - len(known)
            if not len(known):
                assert np.isnan([given["mean"], given["std"], given["min"], given["max"]]).all()
                continue
            assert (given["min"], given["max"]) == (known.min(), known.max())
            assert np.allclose([given["mean"], given["std"]], [known.mean(), known.std()], rtol=1e-9)
            found = [np.atleast_1d(facts.quantiles[q])[place] for q in QUANTILES]
            assert np.allclose(found, np.quantile(known, QUANTILES), rtol=1e-12)
        assert facts.rank_error == 0


@given(
    count=st.integers(1, 400_000),
    kind=st.sampled_from(["random", "rising", "falling", "few values"]),
    seed=st.integers(0, 9),
)
def test_sketch_keeps_its_bound(count, kind, seed):
    """However many numbers come, in whatever order, a quantile's rank is off by no more than is said."""
    random = np.random.default_rng(seed)
    values = random.normal(size=count)
    values = {"rising": np.sort(values), "falling": -np.sort(values), "few values": np.round(values)}.get(
        kind, values
    )
    quantiles = Quantiles(values.dtype)
    for part in np.array_split(values, random.integers(1, 9)):
        quantiles.add(part)
    assert quantiles.rank_error < 0.001
    allowed = quantiles.rank_error * count + 1
    ordered = np.sort(values)
    for q in QUANTILES:
        found = quantiles.at(q)
        low, high = np.searchsorted(ordered, found, "left"), np.searchsorted(ordered, found, "right")
        assert low - allowed <= q * (count - 1) <= high + allowed
        if count <= 8192:
            assert found == pytest.approx(np.quantile(values, q))


def test_card_keeps_the_facts(store):
    """With `stats=True` the card holds them as JSON, None for what is not finite."""
    vault, _ = store
    vault.write_card({"licence": "CC0"}, stats=True)
    card = vault.card
    json.dumps(card, allow_nan=False)
    assert card["licence"] == "CC0"
    assert card["stats"]["vector"]["mean"][2] is None
    assert card["stats"]["flag"]["quantiles"]["0.5"] == 0.0
    vault.write_card({"licence": "CC0"})
    assert vault.card == {"licence": "CC0"}


def test_empty_and_infinite(tmp_path):
    """No steps give NaN and no warning; infinities are said in the range."""
    with Vault.create(tmp_path / "a.vault", steps={"x": np.float32(0)}) as vault:
        facts = vault.stats()["x"]
        assert facts.count == 0
        assert np.isnan([facts.mean, facts.max, facts.quantiles[0.5]]).all()
        vault.extend({"x": np.array([1, np.inf, 2], np.float32)})
        facts = vault.stats(quantiles=[0.0, 0.5])["x"]
        assert (facts.min, facts.max, facts.quantiles[0.5]) == (1, np.inf, 2)
        with pytest.raises(ValueError, match="from 0 to 1"):
            vault.stats(quantiles=[50])
