"""Windows by their numbers are those of a list, in any process; Grain and PyTorch draw from them."""

import pickle
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongbax.vault import ConflictError, Ends, Vault, concat
from strongbax.vault.window_reader import WindowReader
from vault_folder import make_folder
from vault_rings import SHAPES, one_step, same
from view_model import make
from window_model import expected

LENGTHS = [3, 9, 1, 17, 4, 8, 2]


@pytest.fixture(scope="module")
def stores():
    """Vaults of the same leaves: sealed, with a tail, of two streams."""
    folder = make_folder()
    return [
        make(folder / "sealed.vault", LENGTHS),
        make(folder / "tail.vault", [5, 2, 30, 6], close=False, tail=3, seed=1),
        make(folder / "streams.vault", [20, 3, 30], streams=2, seed=2, tail=1),
    ]


def agrees(element, wanted):
    """Compares an element with a window of the model."""
    leaves, mask, at, index, after, known_next = wanted
    assert same(element["mask"], mask)
    assert same(element["step_in_episode"], at * mask)
    assert element["indices"] == index
    assert same(element["next_mask"], known_next)
    assert same(element["next_observation"]["observation"], after)
    assert all(same(element["experience"][name], leaves[name]) for name in SHAPES)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_window_by_its_number(stores, data):
    """Over edges of shards and vaults, from unsealed tails, with final rows; after pickling, too."""
    parts = [stores[part] for part in data.draw(st.lists(st.sampled_from(range(3)), min_size=1, max_size=3))]
    view, known = concat([view for view, _ in parts]), [episode for _, known in parts for episode in known]
    order = np.array(data.draw(st.permutations(range(len(known)))))[: data.draw(st.integers(4, 30))]
    view, known = view.select(order), [known[place] for place in order]
    window, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    short = data.draw(st.sampled_from(["drop", "pad", "pad_left", "shift"]))
    wanted = list(expected(known, window, stride, short))
    if not wanted:
        return
    source = view.torch_dataset(window, stride=stride, short=short, next_observation=True)
    if data.draw(st.booleans()):
        source = pickle.loads(pickle.dumps(source))
    assert len(source) == len(wanted)
    numbers = data.draw(st.lists(st.integers(-len(wanted), len(wanted) - 1), min_size=1, max_size=20))
    for number, element in zip(numbers, source.__getitems__(numbers), strict=True):
        agrees(element, wanted[number])
    agrees(source[numbers[0]], wanted[numbers[0]])
    batch = source[numbers]
    assert same(batch["mask"][-1], wanted[numbers[-1]][1])


def test_several_are_one_read(stores, monkeypatch):
    """Elements that are asked for together are read together."""
    source, reads, read = stores[0][0].grain_source(2), [], WindowReader.read
    monkeypatch.setattr(WindowReader, "read", lambda self, drawn: reads.append(1) or read(self, drawn))
    assert len(source._getitems([5, 1, 3, 1])) == 4
    assert len(reads) == 1


def test_other_process_reads_the_same_episodes(tmp_path):
    """A writer that goes on changes neither the windows nor the name that a checkpoint keeps."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS, close=False)
    source = vault.select([6, 1]).grain_source(2)
    sent = pickle.dumps(source)
    for _ in range(2):
        vault.extend({name: np.repeat(np.asarray(leaf)[None], 50, 0) for name, leaf in one_step().items()})
    vault.close()
    again = pickle.loads(sent)
    assert repr(again) == repr(source)
    assert same(again[[0, 5]]["experience"]["pixels"], source[[0, 5]]["experience"]["pixels"])


def test_other_vault_at_the_place_is_refused(tmp_path):
    """A worker does not read episodes of another vault that stands where the one was."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    sent = pickle.dumps(vault.grain_source(2))
    (tmp_path / "a.vault").rename(tmp_path / "b.vault")
    make(tmp_path / "a.vault", LENGTHS[::-1])
    with pytest.raises(ConflictError, match="Make the view anew"):
        pickle.loads(sent)


def test_no_such_window(stores):
    """A number that no window has is an error, not another window."""
    source = stores[0][0].torch_dataset(2)
    with pytest.raises(IndexError, match=r"no window 37: there are 37"):
        source[37]
    with pytest.raises(IndexError, match="no window -38"):
        source[[0, -38]]


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from strongbax.vault import Vault

def read_in_a_fork(leaf):
    source = Vault.open(sys.argv[1]).torch_dataset(3, leaves=[leaf])
    expected = source[[4, 2]]["experience"][leaf]
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os._exit(0 if (source[[4, 2]]["experience"][leaf] == expected).all() else 3)
    except RuntimeError as error:
        os._exit(4 if "spawn" in str(error) else 5)

print(read_in_a_fork("reward"), read_in_a_fork("frame"))
"""


def test_forked_process_reads_or_says_why_not(tmp_path):
    """Uncompressed leaves are read after a fork; for others the error names spawning, and nothing hangs."""
    steps = {"frame": np.zeros((8, 40, 40), np.uint8), "reward": np.arange(8.0)}
    with Vault.create(tmp_path / "a.vault", steps={n: v[0] for n, v in steps.items()}, block=4) as vault:
        vault.extend(steps, Ends(np.array([8]), np.array([True]), np.array([False])))
    arguments = [sys.executable, "-c", FORKED, tmp_path / "a.vault"]
    run = subprocess.run(arguments, timeout=120, check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["0", "4"]


def test_grain_shuffles_batches_and_goes_on(stores, monkeypatch):
    """Grain's batches are the windows in its order, read as one; a checkpoint goes on with the next."""
    grain = pytest.importorskip("grain", reason="Grain is not installed: pip install 'strongbax[grain]'")
    source, reads, read = stores[0][0].grain_source(2, short="pad"), [], WindowReader.read
    order = list(grain.MapDataset.range(len(source)).shuffle(seed=3))
    wanted = [source[order[first : first + 5]] for first in (0, 5)]
    monkeypatch.setattr(WindowReader, "read", lambda self, drawn: reads.append(1) or read(self, drawn))
    batches = grain.MapDataset.range(len(source)).shuffle(seed=3).batch(5).map(source.__getitem__)
    assert all(map(same, jax.tree.leaves(batches[0]), jax.tree.leaves(wanted[0])))
    assert len(reads) == 1
    iterator = iter(batches.to_iter_dataset())
    first, state = next(iterator), iterator.get_state()
    iterator.close()
    again = iter(batches.to_iter_dataset())
    again.set_state(state)
    for batch, other in zip((first, next(again)), wanted, strict=True):
        assert all(map(same, jax.tree.leaves(batch), jax.tree.leaves(other)))
    again.close()
    stacked = grain.MapDataset.source(source).shuffle(seed=3).batch(5)[1]
    assert all(map(same, jax.tree.leaves(stacked), jax.tree.leaves(wanted[1])))


def test_torch_loads_batches(stores):
    """PyTorch's loader gives the windows its sampler asks for, stacked by itself or read as one."""
    data = pytest.importorskip(
        "torch.utils.data", reason="PyTorch is not installed: pip install 'strongbax[torch]'"
    )
    dataset = stores[0][0].torch_dataset(3, short="pad", next_observation=True)
    stacked = next(iter(data.DataLoader(dataset, batch_size=7)))
    sampler = data.BatchSampler(data.SequentialSampler(dataset), 7, drop_last=False)
    whole = list(data.DataLoader(dataset, sampler=sampler, batch_size=None))
    assert sum(len(batch["mask"]) for batch in whole) == len(dataset)
    for batch in (stacked, whole[0]):
        assert same(batch["experience"]["pixels"].numpy(), dataset[range(7)]["experience"]["pixels"])
        assert same(batch["next_mask"].numpy(), dataset[range(7)]["next_mask"])


@pytest.mark.heavy  # worker processes start: 20 s
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_torch_workers_read_for_themselves(stores, context):
    """Forked or spawned, workers give what this process would read."""
    data = pytest.importorskip(
        "torch.utils.data", reason="PyTorch is not installed: pip install 'strongbax[torch]'"
    )
    dataset = stores[0][0].torch_dataset(3, short="pad")
    sampler = data.BatchSampler(data.SequentialSampler(dataset), 7, drop_last=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX warns of any fork
        batches = list(
            data.DataLoader(
                dataset, sampler=sampler, batch_size=None, num_workers=2, multiprocessing_context=context
            )
        )
    read = np.concatenate([batch["experience"]["observation"].numpy() for batch in batches])
    assert same(read, dataset[range(len(dataset))]["experience"]["observation"])


@pytest.mark.heavy  # worker processes start: 20 s
def test_grain_workers_read_for_themselves(stores):
    """Grain's worker processes give what this process would read."""
    grain = pytest.importorskip("grain", reason="Grain is not installed: pip install 'strongbax[grain]'")
    from absl import flags

    flags.FLAGS.mark_as_parsed()  # Grain asks for its flags
    source = stores[0][0].grain_source(3, short="pad")
    batches = grain.MapDataset.range(len(source)).batch(7).map(source.__getitem__).to_iter_dataset()
    iterator = iter(batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=2)))
    read = [batch["experience"]["observation"] for batch in iterator]
    assert same(np.concatenate(read), source[range(len(source))]["experience"]["observation"])
