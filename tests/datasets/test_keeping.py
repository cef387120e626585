"""The commands that keep vaults whole and make others of them do what the library does, and say it."""

import json

import numpy as np
import pytest
from strongbax.datasets.keeping import condition
from strongbax.vault import Episode, EpisodeTable, Vault

LENGTHS = (3, 5, 7, 4)


@pytest.fixture
def vault(tmp_path):
    """A vault of four episodes, blocks of eight steps."""
    path = tmp_path / "toy.vault"
    step = {"observation": np.zeros(2, np.float32), "reward": np.float32(0)}
    with Vault.create(path, steps=step, columns={"task": "U8"}, block=8) as made:
        for number, length in enumerate(LENGTHS):
            steps = {
                "observation": np.full((length, 2), number, np.float32),
                "reward": np.ones(length, np.float32),
            }
            columns = {"task": f"t{number % 2}"}
            made.append(Episode(steps, terminated=number % 2 == 0, truncated=False, columns=columns))
    return path


def lengths(path) -> list[int]:
    with Vault.open(path) as made:
        assert made.verify().problems == []
        return made.episodes["length"].tolist()


def test_repair_tells_what_it_did(vault, strongbax):
    """`repair` says that nothing is wrong; or what was lost, ends with 1, and keeps the damaged vault."""
    code, output, _ = strongbax("repair", vault)
    assert code == 0
    assert "nothing was done" in output
    (vault / "steps/reward/c.0.1").unlink()
    code, output, error = strongbax("repair", vault)
    assert code == 1
    assert "The shard steps/reward/c.0.1 is damaged: it is missing." in error
    assert "toy.vault.damaged" in output
    assert lengths(vault) == [3, 5]
    code, output, _ = strongbax("repair", vault, "--json")
    assert (code, json.loads(output)["damaged"]) == (0, None)


def test_repair_as_json(vault, strongbax):
    """`repair --json` has losses, ids of dropped episodes and where the damaged vault is."""
    (vault / "steps/observation/c.0.0.0").write_bytes(b"")
    code, output, _ = strongbax("repair", vault, "--json")
    facts = json.loads(output)
    assert code == 1
    assert (facts["dropped"], facts["steps"], facts["one_stream"]) == ([0, 1], 11, True)
    assert facts["damaged"] == f"{vault}.damaged"
    assert facts["lost"]


def test_pack_merge_split_filter_delete(vault, tmp_path, strongbax):
    """Each command makes the vault that it says, and shows it, as JSON too."""
    packed, both, parts = tmp_path / "packed", tmp_path / "both", [tmp_path / "one", tmp_path / "two"]
    code, output, _ = strongbax("pack", vault, packed, "--codec", "none", "--json")
    assert (code, json.loads(output)["episodes"]) == (0, 4)
    assert (packed / "manifest.json").exists()
    code, output, _ = strongbax("merge", vault, packed, "--out", both)
    assert code == 0
    assert "38" in output
    assert lengths(both) == list(LENGTHS * 2)
    code, output, _ = strongbax("split", vault, *parts, "--fractions", "0.75,0.25", "--json")
    assert [row["episodes"] for row in json.loads(output)] == [3, 1]
    assert sorted(lengths(parts[0]) + lengths(parts[1])) == sorted(LENGTHS)
    where = ("--where", "length>=4", "--where", "!terminated", "--where", "task=='t1'")
    assert strongbax("filter", vault, tmp_path / "some", *where)[0] == 0
    assert lengths(tmp_path / "some") == [5, 4]
    code, output, _ = strongbax("delete", both, 0, 5, "--json")
    assert (code, json.loads(output)["episodes"]) == (0, 6)
    assert lengths(both) == [5, 7, 4, 3, 7, 4]
    assert "format 1" in strongbax("upgrade", vault)[1]
    assert json.loads(strongbax("upgrade", vault, "--json")[1])["before"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pack", "toy.vault", "toy.vault"), "--overwrite"),
        (("pack", "toy.vault", "new", "--codec", "best"), "`--codec` must be one of"),
        (("pack", "none.vault", "new"), "is not a vault"),
        (("repair", "none.vault"), "no vault"),
        (("merge", "--out", "new", "none.vault"), "is not a vault"),
        (("split", "toy.vault", "a", "b", "--fractions", "0.5"), "one number for each of 2 vaults"),
        (("split", "toy.vault", "a", "b", "--fractions", "0.5,x"), "must be numbers"),
        (("split", "toy.vault", "a", "b", "--fractions", "0.5,0.6"), "sum to 1"),
        (("filter", "toy.vault", "new", "--where", "height>3"), "names the column 'height'"),
        (("filter", "toy.vault", "new", "--where", "length"), "must compare"),
        (("filter", "toy.vault", "new", "--where", "length>x"), "with a number"),
        (("filter", "toy.vault", "new", "--where", ">3"), "must be such as"),
        (("delete", "toy.vault", "4"), "EPISODE names the episode 4: there are 4."),
        (("upgrade", "none.vault"), "is not a vault"),
    ],
)
def test_wrong_input_is_one_sentence(vault, strongbax, monkeypatch, arguments, said):
    """What is wrong with the arguments is said in a line, ends with 2, and nothing is made or changed."""
    monkeypatch.chdir(vault.parent)
    code, output, error = strongbax(*arguments)
    assert (code, output) == (2, "")
    assert said in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert [path.name for path in vault.parent.iterdir()] == ["toy.vault"]
    assert lengths(vault) == list(LENGTHS)


def test_conditions():
    """Numbers, text, booleans and large integers are compared as they are."""
    table = EpisodeTable(
        {
            "big": np.array([2**60, 2**60 + 1]),
            "name": np.array([b"a", b"b"]),
            "flag": np.array([True, False]),
            "return": np.array([np.nan, -1.5]),
        }
    )
    for text, wanted in {
        f"big > {2**60}": [False, True],
        f"big=={2**60 + 1}": [False, True],
        "name != 'a'": [False, True],
        "flag": [True, False],
        "! flag": [False, True],
        "return<-1e0": [False, True],
    }.items():
        assert condition(table, text).tolist() == wanted, text
