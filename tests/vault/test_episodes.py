"""Episodes: found by any roles or told, with all that is known of them, across flushes and reopenings."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from strongbax.vault import Ends, Episode, Vault
from vault_rings import same

F = np.float32
ATTRIBUTES = [
    {},
    {"task": "öffne die Tür → 開ける", "nested": {"a": [1, 2.5, None, True, {"b": ""}]}, "": "empty key"},
    {"seed": 2**53, "small": 5e-324, "text": 'quote " and \\ and \n and \u0000'},
    {"long": "x" * 5000},
]
T, N = True, False
ROLES: dict[str, tuple[dict[str, list[Any]], list[tuple[int, bool, bool]]]] = {
    # leaves of 6 steps, and the episodes that they mean: (length, terminated, truncated)
    "terminated": ({"terminated": [N, T, N, N, N, T]}, [(2, T, N), (4, T, N)]),
    "truncated": ({"timeouts": [N, N, T, N, N, N]}, [(3, N, T)]),
    "both": ({"terminals": [N, T, N, N, N, N], "timeouts": [N, N, N, T, N, N]}, [(2, T, N), (2, N, T)]),
    "done": ({"dones": [0, 0, 1, 0, 0, 1]}, [(3, T, N), (3, T, N)]),
    "done, truncated": (
        {"done": [N, T, N, T, N, N], "truncation": [N, N, N, T, N, N]},
        [(2, T, N), (2, N, T)],
    ),
    "done, terminated": (
        {"done": [N, T, N, T, N, N], "terminated": [N, N, N, T, N, N]},
        [(2, N, T), (2, T, N)],
    ),
    "discount": ({"discount": [1.0, 0.0, 0.99, 0.99, 0.0, 1.0]}, [(2, T, N), (3, T, N)]),
    "discount, done": (
        {"discount": [1.0, 0.0, 1.0, 1.0, 1.0, 1.0], "done": [N, T, N, N, T, N]},
        [(2, T, N), (3, N, T)],
    ),
    "is_first": ({"is_first": [T, N, N, T, N, T]}, [(3, N, N), (2, N, N)]),
    "is_last": ({"is_last": [N, N, T, N, T, N]}, [(3, N, N), (2, N, N)]),
    "RLDS": (
        {
            "is_first": [T, N, N, T, N, N],
            "is_last": [N, N, T, N, N, T],
            "is_terminal": [N, N, T, N, N, N],
        },
        [(3, T, N), (3, N, N)],
    ),
    "numbers": ({"terminals": [0.0, 0.0, 1.0, 0.0, 0.0, 2.0]}, [(3, T, N), (3, T, N)]),
    "agents": ({"terminated": [[N, N], [N, T], [T, T], [N, N], [T, N], [N, N]]}, [(3, T, N)]),
    "(N, 1)": ({"terminated": [[N], [T], [N], [N], [T], [N]]}, [(2, T, N), (3, T, N)]),
    "none": ({"action": [0, 1, 0, 1, 0, 1]}, []),
}


@pytest.mark.parametrize("pieces", [(6,), (1, 1, 1, 1, 1, 1), (2, 3, 1), (5, 1)])
@pytest.mark.parametrize("name", ROLES)
def test_roles_end_episodes(tmp_path, name, pieces):
    """The same episodes are found whatever leaves tell of them, and however the steps were flushed."""
    leaves, expected = ROLES[name]
    steps = {leaf: np.asarray(values) for leaf, values in leaves.items()} | {"reward": np.arange(6, dtype=F)}
    with Vault.create(tmp_path / "a.vault", steps={n: v[0] for n, v in steps.items()}, block=4) as vault:
        start = 0
        for piece in pieces:
            vault.extend({leaf: values[start : start + piece] for leaf, values in steps.items()})
            start += piece
        table = vault.episodes
        rows = [table["length"].tolist(), table["terminated"].tolist(), table["truncated"].tolist()]
        assert list(zip(*rows, strict=True)) == expected
        starts = np.cumsum([0, *table["length"]])
        assert table["start"].tolist() == starts[:-1].tolist()
        sums = [float(sum(range(a, b))) for a, b in pairwise(starts)]
        assert table["return"].tolist() == sums
        runs = starts[-1] < 6
        assert vault.open_episodes["length"].tolist() == ([6 - starts[-1]] if runs else [])


@pytest.mark.parametrize(
    ("roles", "ends"),
    [
        ({"terminated": "d"}, [2, 4]),
        ({"terminated": "d", "truncated": None}, [2, 4]),
        ({"terminated": None, "truncated": "d"}, [2, 4]),
        ({"terminated": None, "truncated": None}, []),
        (None, [5]),
    ],
)
def test_roles_may_be_given_or_taken_away(tmp_path, roles, ends):
    """A role given goes before the one that is found; a role given as None is not played."""
    steps = {"d": np.array([N, T, N, T, N, N]), "terminated": np.array([N, N, N, N, T, N])}
    with Vault.create(tmp_path / "a.vault", steps={n: v[0] for n, v in steps.items()}, roles=roles) as vault:
        vault.extend(steps)
        assert (vault.episodes["start"] + vault.episodes["length"]).tolist() == ends


def test_two_leaves_of_a_name_play_no_role(tmp_path):
    """The shallowest leaf of a name plays its role; of two at one depth none does, and none is guessed."""
    step = {"reward": F(0), "infos": {"reward": F(0)}, "a": {"done": N}, "b": {"done": N}}
    with Vault.create(tmp_path / "a.vault", steps=step) as vault:
        assert vault.roles.to_dict() == {"reward": "reward"}


@pytest.mark.parametrize(("shape", "returns"), [((), [3.0]), ((1,), [3.0]), ((2,), [[3.0, -3.0]])])
def test_returns_are_sums_in_float64(tmp_path, shape, returns):
    """A return is summed in float64, one an agent where rewards have an axis of agents."""
    reward = np.ones((3, *shape), F) * np.array([1, -1], F)[: max(1, int(np.prod(shape)))].reshape(shape)
    with Vault.create(tmp_path / "a.vault", steps={"reward": reward[0], "x": F(0)}) as vault:
        vault.append(Episode({"reward": reward, "x": np.zeros(3, F)}, terminated=True))
        assert vault.episodes["return"].tolist() == returns
        assert vault.episodes["return"].dtype == np.float64
    table = Vault.open(tmp_path / "a.vault").episodes
    assert table["return"].tolist() == returns


def test_small_rewards_are_not_lost_in_a_long_sum(tmp_path):
    """A million rewards of 0.1 in float32 sum to what float64 makes of them, in pieces or at once."""
    reward = np.full(200_000, 0.1, F)
    with Vault.create(tmp_path / "a.vault", steps={"reward": F(0), "done": N}) as vault:
        for piece in np.array_split(reward, 7):
            vault.extend({"reward": piece, "done": np.zeros(len(piece), bool)})
        vault.extend({"reward": reward[:1], "done": np.array([True])})
        found = vault.episodes["return"][0]
        assert abs(found - 200_001 * float(F(0.1))) < 1e-6


def test_without_a_reward_the_return_is_unknown(tmp_path):
    """A vault without a reward says NaN, not 0."""
    with Vault.create(tmp_path / "a.vault", steps={"x": F(0), "done": N}) as vault:
        vault.extend({"x": np.zeros(3, F), "done": np.array([N, T, N])})
        assert np.isnan(vault.episodes["return"]).tolist() == [True]
        assert np.isnan(vault.open_episodes["return"]).tolist() == [True]
        assert np.isnan(vault[0].return_)


def step_with_finals() -> dict[str, Any]:
    return {
        "observation": {"p": np.zeros(2, F), "q": np.zeros((), np.int32)},
        "reward": F(0),
        "terminated": N,
    }


def episode_of(length: int, number: int, *, final: bool) -> Episode:
    row = {"observation": {"p": np.full(2, number, F), "q": np.int32(-number)}}
    return Episode(
        {
            "observation": {"p": np.full((length, 2), number, F), "q": np.full(length, number, np.int32)},
            "reward": np.ones(length, F),
            "terminated": np.arange(length) == length - 1,
        },
        final=row if final else None,
        columns={"seed": number, "name": f"é{number}"},
        attributes=ATTRIBUTES[number % len(ATTRIBUTES)],
    )


def check_episode(found: Episode, wanted: Episode, number: int) -> None:
    assert len(found) == len(wanted)
    assert same(found.steps["observation"]["p"], wanted.steps["observation"]["p"])
    assert found.attributes == wanted.attributes
    assert found.columns["seed"] == number
    assert found.columns["name"] == f"é{number}"
    assert found.id == number
    assert (found.terminated, found.truncated) == (len(wanted) > 0, False)
    assert found.return_ == len(wanted)
    assert (found.final is None) == (wanted.final is None)
    if wanted.final is not None:
        assert same(found.final["observation"]["p"], wanted.final["observation"]["p"])
        assert same(found.final["observation"]["q"], wanted.final["observation"]["q"])


def test_what_is_known_of_an_episode_comes_back(tmp_path):
    """Finals, columns and attributes of every episode come back: from the log, from shards, reopened."""
    lengths = (3, 1, 0, 9, 4, 17, 2)
    episodes = [episode_of(length, n, final=n % 3 != 1) for n, length in enumerate(lengths)]
    columns = {"seed": np.int64, "name": "U8"}
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=step_with_finals(), columns=columns, block=8) as vault:
        assert [vault.append(episodes[0]), vault.append(episodes[1:4])] == [0, 1]
        for n, wanted in enumerate(episodes[:4]):
            check_episode(vault[n], wanted, n)
    with Vault.open(path, mode="a") as vault:
        assert [vault.append([]), vault.append(episodes[4:6]), vault.append(episodes[6])] == [4, 4, 6]
        reader = Vault.open(path)
    for source in (reader, Vault.open(path)):
        for n, wanted in enumerate(episodes):
            check_episode(source[n], wanted, n)
            check_episode(source[n - len(lengths)], wanted, n)
        assert len(source) == len(list(source)) == len(lengths)
        table = source.episodes
        assert table["final_known"].tolist() == [n % 3 != 1 for n in range(len(lengths))]
        assert table["name"].dtype == np.dtype("U8")
        assert table["seed"].dtype == np.int64
        rows = np.stack([e.final["observation"]["p"] if e.final else np.zeros(2, F) for e in episodes])
        assert same(source.finals("observation/p"), rows)


def test_an_episode_runs_across_everything(tmp_path):
    """One episode goes on over flushes, blocks, seals and reopenings until it ends, and is one row."""
    path, reward = tmp_path / "a.vault", 0.0
    Vault.create(path, steps=step_with_finals(), block=4).close()
    for turn in range(5):
        with Vault.open(path, mode="a") as vault:
            for length in (1, 3, 9):
                part = episode_of(length, turn, final=False).steps
                vault.extend(part | {"terminated": np.zeros(length, bool)})
                reward += length
                if turn == 2:
                    vault.seal()
            assert vault.num_episodes == 0
            assert vault.open_episodes["return"].tolist() == [reward]
    with Vault.open(path, mode="a") as vault:
        end = Ends(
            np.array([1]),
            np.array([True]),
            np.array([False]),
            final={"observation/p": np.full((1, 2), 7, F), "observation/q": np.array([7], np.int32)},
        )
        vault.extend(episode_of(2, 0, final=False).steps, end)
    vault = Vault.open(path)
    assert (vault.num_episodes, vault[0].length, vault[0].start) == (1, 66, 0)
    assert vault[0].return_ == reward + 1
    assert same(vault[0].final["observation"]["p"], np.full(2, 7, F))
    assert vault.open_episodes["length"].tolist() == [1]


def test_an_appended_episode_cuts_the_one_that_runs(tmp_path):
    """An episode that had not ended is neither terminated nor truncated when another is appended."""
    with Vault.create(tmp_path / "a.vault", steps=step_with_finals(), block=4) as vault:
        vault.extend(episode_of(3, 0, final=False).steps | {"terminated": np.zeros(3, bool)})
        assert vault.append(Episode(episode_of(2, 1, final=True).steps)) == 1
        table = vault.episodes
        assert table["length"].tolist() == [3, 2]
        assert table["terminated"].tolist() == [False, True]
        assert table["return"].tolist() == [3.0, 2.0]


def test_finals_are_taken_from_next_observations(tmp_path):
    """Where steps hold their next observation, an episode's final row is that of its last step."""
    names = {"obs": np.zeros(2, F), "next_obs": np.zeros(2, F), "done": N}
    numbers = np.arange(12, dtype=F).reshape(6, 2)
    with Vault.create(tmp_path / "a.vault", steps=names, block=4) as vault:
        vault.extend({"obs": numbers, "next_obs": numbers + 100, "done": np.array([N, T, N, N, T, N])})
        assert same(vault.finals("obs"), numbers[[1, 4]] + 100)
        assert vault.episodes["final_known"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("finals", "names"),
    [
        (None, ("observation/p", "observation/q")),
        ([], ()),
        (["observation/q"], ("observation/q",)),
        (["observation", "reward"], ("observation/p", "observation/q", "reward")),
    ],
)
def test_leaves_with_finals_are_chosen(tmp_path, finals, names):
    """By default the observation has final rows; else the leaves and groups that were named."""
    with Vault.create(tmp_path / "a.vault", steps=step_with_finals(), finals=finals, block=4) as vault:
        assert vault.schema.finals == names
        vault.append(Episode(episode_of(2, 1, final=False).steps))
        assert vault[0].final is None


def test_the_table_is_a_table(tmp_path):
    """The table filters and sorts with its attributes, and names its columns."""
    with Vault.create(
        tmp_path / "a.vault", steps=step_with_finals(), columns={"seed": int}, block=8
    ) as vault:
        for n, length in enumerate((3, 1, 2)):
            episode = episode_of(length, n, final=True)
            vault.append(Episode(episode.steps, columns={"seed": 10 + n}, attributes={"n": n}))
        table = vault.episodes
        first = ["id", "stream", "start", "length", "return", "terminated", "truncated", "final_known"]
        assert table.columns == [*first, "seed"]
        assert len(table) == 3
        longest = table.sort("length", descending=True)
        assert longest["seed"].tolist() == [10, 12, 11]
        assert [longest.attributes(row)["n"] for row in range(3)] == [0, 2, 1]
        short = table.filter(table["length"] < 3)
        assert short["id"].tolist() == [1, 2]
        assert short.attributes(1) == {"n": 2}
        with pytest.raises(KeyError, match="There is no column 'sead'"):
            table["sead"]
        with pytest.raises(ValueError, match=r"`mask` must be bool \[3\]: got int64 \[3\]"):
            table.filter(table["length"])
