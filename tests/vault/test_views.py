"""Views hold what a list of the same episodes holds, whatever was chosen, joined and read."""

import jax
import numpy as np
import pytest
import strongbax.buffer as fbx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongbax.vault import Vault, View, concat
from vault_folder import make_folder
from vault_rings import SHAPES, one_step, same
from view_model import end_to_end, make

LENGTHS = [3, 9, 1, 17, 4, 8, 2]


@pytest.fixture(scope="module")
def stores():
    """Three vaults of the same leaves: sealed, with a tail, of two streams."""
    folder = make_folder()
    return [
        make(folder / "sealed.vault", LENGTHS),
        make(folder / "tail.vault", [5, 2, 30, 6], close=False, tail=3, seed=1),
        make(folder / "streams.vault", [20, 3, 30], streams=2, seed=2, tail=1),
    ]


@st.composite
def choices(draw, count):
    """A verb, as (name, argument), for a view of `count` episodes."""
    ids = st.lists(st.integers(-count, count - 1), max_size=6) if count else st.just([])
    return draw(
        st.one_of(
            st.tuples(st.just("ids"), ids),
            st.tuples(st.just("mask"), st.lists(st.booleans(), min_size=count, max_size=count)),
            st.tuples(st.just("slice"), st.slices(count)),
            st.tuples(st.just("length"), st.tuples(st.none() | st.integers(0, 9), st.none() | st.just(17))),
            st.tuples(st.just("sort"), st.sampled_from(["length", "return", "score", "terminated"])),
            st.tuples(st.just("worst"), st.just("return")),
            st.tuples(st.just("take"), st.integers(0, 5)),
            st.tuples(st.just("steps"), st.integers(0, 40)),
            st.tuples(st.just("part"), st.integers(0, 9)),
        )
    )


KEYS = {
    "length": lambda episode: episode.length,
    "return": lambda episode: episode.total,
    "score": lambda episode: episode.score,
    "terminated": lambda episode: episode.terminated,
}


def chosen(view, known, verb, argument):
    """Makes a choice of both, the list's in plain Python."""
    if verb == "part":
        first, second = view.split([0.4, 0.6], key=argument)
        ids = [origins(part) for part in (view, first, second)]
        assert sorted(ids[1] + ids[2]) == sorted(ids[0]), "the parts hold every episode once"
        return first, known_as(view, known, first)
    made = {
        "ids": lambda: view.select(np.array(argument, int)),
        "mask": lambda: view.select(np.array(argument, bool)),
        "slice": lambda: view.select(argument),
        "length": lambda: view.filter({"length": argument}),
        "sort": lambda: view.sort(argument),
        "worst": lambda: view.sort(argument, descending=True),
        "take": lambda: view.take(argument),
        "steps": lambda: view.take(steps=argument),
    }
    return made[verb](), list(listed(known, verb, argument))


def listed(known, verb, argument):
    """Gives the episodes of a list that a choice leaves, in their order."""
    best = sorted(known, key=KEYS["return"], reverse=True)
    if verb == "steps":
        held = 0
        for episode in best:
            if held < argument:
                yield episode
            held += episode.length
        return
    low, high = argument if verb == "length" else (None, None)
    yield from {
        "ids": lambda: [known[place] for place in argument],
        "mask": lambda: [episode for episode, kept in zip(known, argument, strict=True) if kept],
        "slice": lambda: known[argument],
        "length": lambda: [episode for episode in known if (low or 0) <= episode.length <= (high or 99)],
        "sort": lambda: sorted(known, key=KEYS[argument]),
        "worst": lambda: sorted(known, key=KEYS[argument], reverse=True),
        "take": lambda: best[:argument],
    }[verb]()


def origins(view):
    """Says which episodes a vault or view holds, as (vault, id)."""
    chosen = view.selected()
    return list(zip(chosen.source.tolist(), chosen.ids.tolist(), strict=True))


def known_as(whole, known, part):
    """Finds the list's episodes that a part of the view holds, by where they come from."""
    places = dict(zip(origins(whole), known, strict=True))
    return [places[origin] for origin in origins(part)]


def check(view, known, draw_span):
    steps = end_to_end(known)
    count = len(steps["reward"])
    assert (view.num_episodes, view.num_steps, view.streams) == (len(known), count, 1)
    table = view.episodes
    assert table["id"].tolist() == list(range(len(known)))
    assert table["length"].tolist() == [e.length for e in known]
    assert table["return"].tolist() == [e.total for e in known]
    assert table["final_known"].tolist() == [e.final is not None for e in known]
    assert table["start"].tolist() == [sum(e.length for e in known[:n]) for n in range(len(known))]
    start, stop = sorted(min(bound, count) for bound in draw_span)
    for name in SHAPES:
        part = view.read_numpy(start, stop, leaves=[name])[name]
        assert same(part, steps[name][None, start:stop]), name
    finals = view.finals("observation")
    for place, episode in enumerate(known):
        final = np.zeros(2, np.float32) if episode.final is None else episode.final
        assert same(finals[place], final)
    for place in {0, len(known) - 1} & set(range(len(known))):
        episode = view[place]
        assert all(same(episode.steps[name], known[place].steps[name]) for name in SHAPES)
        assert (episode.final is None) == (known[place].final is None)
        if episode.final is not None:
            assert same(episode.final["observation"], known[place].final)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_view_is_a_list_of_episodes(stores, data):
    """After any choices and joins, tables, steps, final rows and episodes are those of the list."""
    parts = data.draw(st.lists(st.sampled_from(range(3)), min_size=1, max_size=3))
    views = []
    for part in parts:
        view, known = stores[part]
        if data.draw(st.booleans()):
            verb = data.draw(choices(view.num_episodes))
            view, known = chosen(view, known, *verb)
        views.append((view, known))
    view, known = concat([view for view, _ in views]), [e for _, known in views for e in known]
    for _ in range(data.draw(st.integers(0, 2))):
        view, known = chosen(view, known, *data.draw(choices(len(known))))
    check(view, known, data.draw(st.tuples(st.integers(0, 90), st.integers(0, 90))))


def test_long_reads_are_whole(tmp_path, monkeypatch):
    """Reads by several threads give what reads by one give."""
    from strongbax.vault import selected

    vault, known = make(tmp_path / "a.vault", LENGTHS * 3)
    order = np.random.default_rng(0).permutation(vault.num_episodes)
    monkeypatch.setattr(selected, "LONG_BYTES", 1)
    steps = end_to_end([known[i] for i in order])
    read = vault.select(order).read_numpy()
    assert all(same(read[name], steps[name][None]) for name in SHAPES)


def test_neighbours_are_read_in_one_go(tmp_path):
    """Episodes that lie one behind the other are one run, others are not."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    runs = vault.select([1, 2, 3, 5, 6, 0]).selected().runs
    assert runs.row.tolist() == [3, 34, 0]
    assert runs.length.tolist() == [27, 10, 3]


def test_view_stays_as_it_was(tmp_path):
    """A view of a vault that is written on, sealed and closed holds what it held when it was made."""
    vault, known = make(tmp_path / "a.vault", LENGTHS, close=False)
    view = vault.sort("length")
    expected = sorted(known, key=lambda e: e.length)
    for _ in range(3):
        vault.extend({name: np.repeat(leaf[None], 20, 0) for name, leaf in one_step().items()})
        check(view, expected, (0, 44))
    vault.close()
    check(view, expected, (0, 44))


def test_view_is_loaded_into_a_buffer(stores):
    """A loaded view holds its episodes end to end, and nothing else."""
    vault, known = stores[0]
    view = vault.filter({"length": (4, None)})
    steps = end_to_end([episode for episode in known if episode.length >= 4])
    buffer = fbx.make_flat_buffer(max_length=50, min_length=1, sample_batch_size=4)
    state = view.load(buffer)
    count = view.num_steps
    assert int(state.current_index) == count
    for name in SHAPES:
        assert same(np.asarray(state.experience[name])[0, :count], steps[name])
    drawn = buffer.sample(state, jax.random.key(0)).experience.first["reward"]
    assert np.isin(np.asarray(drawn), steps["reward"]).all()


def test_split_is_the_same_everywhere(stores):
    """A key means one split, for ever; another key another."""
    vault, _ = stores[0]
    parts = [[part.origins.id.tolist() for part in vault.split([0.6, 0.4], key=key)] for key in (0, 0, 3)]
    assert parts[0] == parts[1] == [[0, 1, 4, 6], [2, 3, 5]]
    assert parts[2] != parts[0]


def test_empty_view_is_a_view(stores):
    """A view of no episode can be read, chosen from and joined."""
    view = stores[0][0].select([])
    assert (len(view), view.num_steps, bool(view)) == (0, 0, True)
    assert view.read_numpy()["observation"].shape == (1, 0, 2)
    assert len(concat([view, view.sort("return").take(3), *view.split([0.5, 0.5])])) == 0


def test_provenance_of_a_view(tmp_path):
    """What the vaults say alike is the view's; the rest is kept, by vault."""
    for name in ("a", "b"):
        with Vault.create(tmp_path / name, steps=one_step(), attributes={"task": "hop", "of": name}) as vault:
            vault.write_card({"licence": "CC0", "seed": name})
    a, b = (Vault.open(tmp_path / name) for name in ("a", "b"))
    view = concat([a, b])
    assert view.attributes == {"task": "hop"}
    assert view.card["licence"] == "CC0"
    assert [part["card"] for part in view.card["vaults"]] == [{"seed": "a"}, {"seed": "b"}]
    assert [part["path"] for part in view.card["vaults"]] == [str(tmp_path / name) for name in ("a", "b")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation": np.zeros(3, np.float32)}, r"'observation' is float32 \[2\] in .* and float32 \[3\]"),
        ({"reward": np.float64(0)}, r"'reward' is float32 \[\] in .* and float64 \[\]"),
        ({"extra": np.int8(0)}, r"'extra' is not there in .* and int8 \[\]"),
    ],
)
def test_vaults_that_differ_are_not_joined(tmp_path, stores, change, message):
    """The error names the leaf and what it is in both vaults."""
    with (
        Vault.create(tmp_path / "b.vault", steps=one_step() | change) as other,
        pytest.raises(ValueError, match=message),
    ):
        concat([stores[0][0], other])


def test_vaults_of_other_roles_are_not_joined(tmp_path, stores):
    """Flags that mean something else are not mixed."""
    with (
        Vault.create(tmp_path / "b.vault", steps=one_step(), roles={"truncated": None}) as other,
        pytest.raises(ValueError, match="same roles"),
    ):
        concat([stores[0][0], other])


def test_joined_columns_and_finals_are_those_that_all_keep(tmp_path, stores):
    """A column that one vault lacks is left out; final rows that one vault lacks are not known there."""
    with Vault.create(tmp_path / "b.vault", steps=one_step(), finals=[]) as other:
        other.extend({n: np.ones((4, *np.shape(v)), v.dtype) for n, v in one_step().items()})
        view = concat([other, stores[0][0]])
    assert "score" not in view.episodes.columns
    assert view[0].final is None
    assert view[5].final is not None
    assert same(view.finals("observation")[:4], np.zeros((4, 2), np.float32))


@pytest.mark.parametrize(
    ("choose", "error", "message"),
    [
        (lambda v: v.select(np.ones(3, bool)), ValueError, "mask of 7 episodes"),
        (lambda v: v.select([7]), IndexError, "episode 7: there are 7"),
        (lambda v: v.select([0.5]), ValueError, r"bool or integers \[n\]"),
        (lambda v: v.filter(lambda t: t["return"]), ValueError, "a bool for each of 7"),
        (lambda v: v.filter({"lenth": 3}), KeyError, "no column 'lenth'"),
        (lambda v: v.split([0.5, 0.6]), ValueError, "sum to 1"),
        (lambda v: v.split([1.0], key=-1), ValueError, "`key` must be from 0"),
        (lambda v: v.take(), ValueError, "Give either"),
        (lambda v: v.take(-1), ValueError, "at least 0"),
        (lambda _: concat([]), ValueError, "at least one vault"),
    ],
)
def test_wrong_choice_is_refused(stores, choose, error, message):
    """The error says what is wrong."""
    with pytest.raises(error, match=message):
        choose(stores[0][0])


def test_view_is_shown(stores):
    """A view says how much it holds, and of what."""
    view = stores[0][0].select([0])
    assert isinstance(view, View)
    assert repr(view).startswith("View(3 steps, 1 episodes of '/")
