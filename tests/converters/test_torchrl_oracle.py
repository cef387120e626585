"""TensorDict itself writes what we read and reads what we write, odd shapes too. Needs torch and TorchRL."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # TorchRL's own
]
torch = pytest.importorskip("torch", reason="torch is the oracle's; it is no dependency")
tensordict = pytest.importorskip("tensordict", reason="TensorDict is the oracle here")
LENGTHS = (1, 10_000, 2, 1, 7)


def steps():
    """Nested keys, every kind of number, no axes, an axis of one; episodes of one step and of many."""
    rng, count = torch.Generator().manual_seed(0), sum(LENGTHS)

    def normal(*shape: int):
        return torch.randn(count, *shape, generator=rng)

    def whole(dtype, *shape: int):
        return torch.randint(0, 100, (count, *shape), generator=rng).to(dtype)

    done = torch.zeros(count, 1, dtype=torch.bool)
    done[np.cumsum(LENGTHS) - 1] = True
    terminated = done & (torch.rand(count, 1, generator=rng) < 0.5)
    seen = {"arm": {"pos": normal(2, 3), "grip": normal()}, "pixels": whole(torch.uint8, 4, 5, 3)}
    after = {"arm": {"pos": seen["arm"]["pos"].roll(-1, 0), "grip": seen["arm"]["grip"].roll(-1, 0)}}
    for values in after["arm"].values():
        values[done[:, 0]] = 7
    made = {
        "observation": seen,
        "action": whole(torch.int64),
        "half": normal(2).half(),
        "brain": normal(3).bfloat16(),
        "one": normal(1).double(),
        "ok": normal(2) > 0,
        "größe": whole(torch.int16, 2),
        "next": {
            "observation": after,
            "reward": normal(1),
            "done": done,
            "terminated": terminated,
            "truncated": done & ~terminated,
        },
    }
    return tensordict.TensorDict(made, batch_size=[count])


def test_both_ways(tmp_path: Path):
    """Every key that TensorDict wrote is in the vault's dataset as TensorDict reads it, to the bit."""
    made = steps()
    made.memmap(str(tmp_path / "td"))
    convert(tmp_path / "td", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == list(LENGTHS)
        assert vault.episodes["final_known"].all()
        export(vault, tmp_path / "out", "torchrl")
    again = tensordict.TensorDict.load_memmap(str(tmp_path / "out"))
    assert again.batch_size == made.batch_size
    for key, values in made.items(include_nested=True, leaves_only=True):
        found = again[key]
        assert (found.dtype, found.shape) == (values.dtype, values.shape), key
        assert torch.equal(found.view(torch.uint8), values.contiguous().view(torch.uint8)), key


def test_a_replay_buffer_that_is_full(tmp_path: Path):
    """A ring that wrapped is read from its oldest step, and TorchRL loads what is written of it."""
    data = pytest.importorskip("torchrl.data")
    made = steps()[10_001:]
    buffer = data.ReplayBuffer(storage=data.LazyMemmapStorage(6), batch_size=2)
    buffer.extend(made)
    buffer.dumps(str(tmp_path / "rb"))
    convert(tmp_path / "rb", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy()
        np.testing.assert_array_equal(rows["action"][0], made["action"][-6:].numpy())
        export(vault, tmp_path / "out", "torchrl", buffer=True)
    again = data.ReplayBuffer(storage=data.LazyMemmapStorage(6), batch_size=2)
    again.loads(str(tmp_path / "out"))
    assert torch.equal(again[:]["next", "reward"], made["next", "reward"][-6:])
