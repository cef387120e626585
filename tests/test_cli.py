"""The command line says what the library knows, to people and to scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from strongbax.datasets import console
from strongbax.vault import Episode, Vault

LENGTHS = (3, 5, 7)


@pytest.fixture(scope="module")
def vault(tmp_path_factory) -> Path:
    """A vault of three episodes; it is only read."""
    path = tmp_path_factory.mktemp("local") / "toy.vault"
    step = {"observation": np.zeros(8, np.float32), "reward": np.float32(0)}
    with Vault.create(path, steps=step, attributes={"environment": "Toy-v0"}) as made:
        for length in LENGTHS:
            steps = {
                "observation": np.full((length, 8), length, np.float32),
                "reward": np.ones(length, np.float32),
            }
            made.append(Episode(steps, terminated=length != 5, truncated=length == 5))
    return path


@pytest.fixture
def broken(tmp_path) -> Path:
    """A vault in which one byte of the steps is not what was written."""
    path = tmp_path / "broken.vault"
    step = {"observation": np.zeros(8, np.float32), "reward": np.float32(0)}
    with Vault.create(path, steps=step, codec="zstd") as made:
        steps = {"observation": np.ones((64, 8), np.float32), "reward": np.ones(64, np.float32)}
        made.append(Episode(steps, terminated=True, truncated=False))
    (shard,) = [file for file in (path / "steps" / "observation").iterdir() if file.name[0] == "c"]
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 0xFF
    shard.write_bytes(data)
    return path


@pytest.fixture
def d4rl_file(tmp_path) -> Path:
    path = tmp_path / "source.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros((10, 4), np.float32)
        file["actions"] = np.zeros((10, 2), np.float32)
        file["rewards"] = np.ones(10, np.float32)
        file["terminals"] = np.arange(10) == 9
        file["timeouts"] = np.arange(10) == 4
    return path


def test_version_is_printed(strongbax):
    """`--version` prints the name and the version."""
    code, output, _ = strongbax("--version")
    assert (code, output.split()[0]) == (0, "strongbax")


def test_convert_makes_a_vault(d4rl_file, tmp_path, strongbax):
    """`convert` makes a vault of the source's steps and episodes and says how many."""
    target = tmp_path / "made.vault"
    code, output, _ = strongbax("convert", d4rl_file, target, "--format", "d4rl", "--json")
    assert code == 0
    assert json.loads(output)["path"] == str(target)
    with Vault.open(target) as made:
        assert (made.num_steps, made.num_episodes) == (10, 2)


def test_paths_may_lead_up(d4rl_file, tmp_path, strongbax, monkeypatch):
    """Source and target may be given relative to the folder one is in, upwards too."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert strongbax("convert", f"../{d4rl_file.name}", "../made.vault")[0] == 0
    assert strongbax("verify", "../made.vault")[0] == 0
    assert strongbax("head", "../made.vault")[0] == 0


def test_convert_replaces_only_when_told(d4rl_file, tmp_path, strongbax):
    """An existing target is an error, and is replaced with `--overwrite`."""
    target = tmp_path / "made.vault"
    assert strongbax("convert", d4rl_file, target)[0] == 0
    code, _, error = strongbax("convert", d4rl_file, target)
    assert code == 2
    assert error.startswith("Error: ")
    assert strongbax("convert", d4rl_file, target, "--overwrite")[0] == 0


def test_options_of_a_format_are_given_by_name(d4rl_file, tmp_path, strongbax):
    """`--option` hands numbers, lists and texts to the format, and says what it does not know."""
    target = tmp_path / "made.vault"
    options = ("--option", 'skip=["timeouts"]', "--option", "horizon=4")
    assert strongbax("convert", d4rl_file, target, *options)[0] == 0
    with Vault.open(target) as made:
        assert made.episodes["length"].tolist() == [4, 4, 2]
    for given, said in (
        ("colour=red", "`colour` is no option of the format d4rl"),
        ("horizon", "must be NAME=VALUE: got 'horizon'"),
    ):
        code, _, error = strongbax("convert", d4rl_file, tmp_path / "other.vault", "--option", given)
        assert (code, said in error) == (2, True)
    twice = ("--option", "horizon=4", "--option", "horizon=5")
    assert "gives 'horizon' twice" in strongbax("convert", d4rl_file, target, *twice)[2]


def test_export_writes_another_format(d4rl_file, tmp_path, strongbax):
    """`export` makes a dataset of a vault and says what it could not hold; nothing is replaced."""
    strongbax("convert", d4rl_file, tmp_path / "made.vault")
    place = (tmp_path / "made.vault", tmp_path / "toys/made-v0", "--format", "minari")
    code, output, _ = strongbax("export", *place, "--option", "dataset_id=toys/made-v0", "--json")
    assert code == 0
    report = json.loads(output)
    assert (report["format"], report["num_steps"], report["num_episodes"]) == ("minari", 10, 2)
    assert "Of 2 episodes it is not known" in report["notes"][0]
    assert (tmp_path / "toys/made-v0/data/metadata.json").exists()
    code, _, error = strongbax("export", *place)
    assert code == 2
    assert "something stands at" in error
    code, output, _ = strongbax("export", *place[:1], tmp_path / "again-v0", *place[2:])
    assert code == 0
    assert "Note: Of 2 episodes" in output
    assert strongbax("export", *place[:1], tmp_path / "x", "--format", "csv")[0] == 2


def test_show_tells_what_a_vault_holds(vault, strongbax):
    """`show PATH --json` has counts, leaves with their roles, returns and lengths."""
    code, output, _ = strongbax("show", vault, "--json")
    facts = json.loads(output)
    assert code == 0
    assert (facts["steps"], facts["episodes"], facts["streams"]) == (15, 3, 1)
    leaves = {leaf["name"]: leaf for leaf in facts["leaves"]}
    assert leaves["observation"]["shape"] == [8]
    assert leaves["reward"]["role"] == "reward"
    assert facts["summary"]["length"] == {"min": 3.0, "median": 5.0, "mean": 5.0, "max": 7.0}
    assert (facts["summary"]["terminated"], facts["summary"]["truncated"]) == (2, 1)
    assert facts["attributes"] == {"environment": "Toy-v0"}
    assert facts["bytes"] > 15 * 36


def test_show_has_the_facts_in_its_tables(vault, strongbax):
    """`show PATH` shows the same facts to a person."""
    code, output, _ = strongbax("show", vault)
    assert code == 0
    for fact in ("observation", "float32", "[8]", "reward", "terminated", "Toy-v0"):
        assert fact in output


def test_show_tells_what_is_known_of_a_dataset(strongbax):
    """`show ID` tells the catalogue's facts, by id and by alias alike."""
    by_id = strongbax("show", "D4RL/hopper/medium-v2", "--json")
    by_alias = strongbax("show", "hopper-medium-v2", "--json")
    assert by_id == by_alias
    assert json.loads(by_id[1])["horizon"] == 1000
    assert "152.8 MB" in strongbax("show", "hopper-medium-v2")[1]


def test_head_shows_the_first_rows(vault, strongbax):
    """`head` gives the first episodes and steps, every value of a leaf in JSON."""
    code, output, _ = strongbax("head", vault, "-n", 2, "--json")
    rows = json.loads(output)
    assert code == 0
    assert [row["length"] for row in rows["episodes"]] == [3, 5]
    assert [row["step"] for row in rows["steps"]] == [0, 1]
    assert rows["steps"][0]["observation"] == [3.0] * 8
    shown = strongbax("head", vault, "-n", 2)[1]
    assert "3 3 3 3 3 3 ... (8)" in shown


def test_stats_describe_each_value(vault, strongbax):
    """`stats` has a row a value of a vector, `--leaf` chooses, and JSON has every quantile."""
    code, output, _ = strongbax("stats", vault, "--json")
    described = json.loads(output)
    assert (code, list(described)) == (0, ["observation", "reward"])
    assert described["observation"]["max"] == [7.0] * 8
    assert described["reward"]["quantiles"]["0.99"] == 1.0
    shown = strongbax("stats", vault, "--leaf", "observation")[1]
    assert "observation[7]" in shown
    assert "reward" not in shown
    assert strongbax("stats", vault, "--leaf", "colour")[0] == 2


def test_fetched_datasets_are_named_by_id(d4rl_file, tmp_path, strongbax, monkeypatch):
    """Where no such path is, a command takes a fetched dataset by its name, or says `fetch`."""
    monkeypatch.setenv("STRONGBAX_DATASETS_PATH", str(tmp_path / "cache"))
    code, _, error = strongbax("head", "hopper-medium-v2")
    assert (code, "strongbax fetch hopper-medium-v2" in error) == (2, True)
    strongbax("convert", d4rl_file, tmp_path / "cache/D4RL/hopper/medium-v2")
    for name in ("hopper-medium-v2", "D4RL/hopper/medium-v2"):
        assert json.loads(strongbax("stats", name, "--json")[1])["reward"]["count"] == 10


def test_verify_finds_nothing_in_a_whole_vault(vault, strongbax):
    """`verify` ends with 0 where nothing is wrong."""
    code, output, _ = strongbax("verify", vault, "--json")
    assert code == 0
    assert json.loads(output)["ok"] is True
    assert "No problem found." in strongbax("verify", vault)[1]


def test_verify_finds_a_changed_byte(broken, strongbax):
    """`verify` ends with 1 and names the leaf where a byte was changed."""
    code, output, _ = strongbax("verify", broken, "--json")
    report = json.loads(output)
    assert (code, report["ok"]) == (1, False)
    assert any("observation" in problem for problem in report["problems"])
    code, _, error = strongbax("verify", broken)
    assert code == 1
    assert "observation" in error


def test_verify_finds_a_damaged_root(broken, strongbax):
    """A vault whose root is damaged cannot be opened: `verify` ends with 1, `show` with 2."""
    (broken / "zarr.json").write_text("{")
    code, output, _ = strongbax("verify", broken, "--json")
    assert (code, json.loads(output)["ok"]) == (1, False)
    assert strongbax("show", broken)[0] == 2


def test_messages_name_options(d4rl_file, tmp_path, strongbax):
    """An error that names an argument of the library names the option of the command line."""
    strongbax("convert", d4rl_file, tmp_path / "made.vault")
    code, _, error = strongbax("convert", d4rl_file, tmp_path / "made.vault")
    assert code == 2
    assert "--overwrite" in error
    assert "overwrite=True" not in error


def test_system_errors_name_the_file(vault, tmp_path, strongbax):
    """What the operating system refuses is told with the file's name, without its number."""
    code, _, error = strongbax("plot", vault, "--out", tmp_path)
    assert code == 2
    assert error == f"Error: Is a directory: '{tmp_path}'.\n"


def test_plot_writes_a_picture(vault, tmp_path, strongbax):
    """`plot` writes a PNG."""
    out = tmp_path / "folder" / "toy.png"
    assert strongbax("plot", vault, "--out", out)[0] == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_list_remote_selects_by_text(strongbax):
    """`list remote TEXT` lists the datasets whose names contain it."""
    code, output, _ = strongbax("list", "remote", "hopper-medium", "--json")
    ids = [entry["id"] for entry in json.loads(output)]
    assert code == 0
    assert "D4RL/hopper/medium-v2" in ids
    assert all("hopper" in name for name in ids)
    assert "D4RL/hopper/medium-v2" in strongbax("list", "remote", "hopper-medium")[1]


def test_list_local_finds_vaults(vault, strongbax, monkeypatch):
    """`list local` lists the vaults below a folder, the datasets' folder if none is given."""
    code, output, _ = strongbax("list", "local", vault.parent, "--json")
    assert code == 0
    assert [(row["path"], row["steps"]) for row in json.loads(output)] == [(str(vault), 15)]
    monkeypatch.setenv("STRONGBAX_DATASETS_PATH", str(vault.parent))
    assert json.loads(strongbax("list", "local", "--json")[1])[0]["path"] == str(vault)
    monkeypatch.setenv("STRONGBAX_DATASETS_PATH", str(vault.parent / "none"))
    assert strongbax("list", "local", "--json") == (0, "[]\n", "")


def test_list_local_lists_the_broken_too(broken, strongbax):
    """A vault that cannot be opened is listed with the reason, and hides no other."""
    root = broken / "zarr.json"
    root.write_bytes(root.read_bytes().replace(b'"crc32c": "', b'"crc32c": "f'))
    code, output, _ = strongbax("list", "local", broken.parent, "--json")
    (row,) = json.loads(output)
    assert code == 0
    assert row["steps"] is None
    assert "checksum" in row["problem"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "no/such.vault"),
        ("head", "no/such.vault"),
        ("verify", "no/such.vault"),
        ("plot", "no/such.vault", "--out", "x.png"),
        ("convert", "no/such.hdf5", "x.vault"),
        ("list", "local", "no/such/folder"),
        ("demo", "--steps", "2", "--flush-every", "3"),
        ("demo", "--steps", "6", "--flush-every", "2"),
        ("demo", "--environment", "Nope-v0"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_one_line_and_two(arguments, strongbax, tmp_path, monkeypatch):
    """Wrong input ends with 2, and with one line on standard error that says what was wrong."""
    monkeypatch.chdir(tmp_path)
    code, output, error = strongbax(*arguments)
    assert (code, output) == (2, "")
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_file_that_is_no_vault_is_an_error(d4rl_file, strongbax):
    """A file of another kind is refused in one line, with the mend."""
    code, _, error = strongbax("show", d4rl_file)
    assert code == 2
    assert "convert" in error


@pytest.mark.parametrize("arguments", [("show",), ("lst",), ("head", "x", "-n", "0")])
def test_wrong_usage_ends_with_two(arguments, strongbax):
    """A missing, unknown or impossible argument ends with 2 and says so on standard error."""
    code, output, error = strongbax(*arguments)
    assert (code, output) == (2, "")
    assert error


def test_a_fault_of_ours_is_not_hidden(strongbax, monkeypatch):
    """What is no wrong input ends with 70 and its traceback, for somebody has to mend it."""

    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr("strongbax.datasets.catalogue.entries", fail)
    code, output, error = strongbax("list", "remote")
    assert (code, output) == (70, "")
    assert error.rstrip().endswith("ZeroDivisionError")


def test_rows_stay_whole_in_a_pipe(vault, strongbax):
    """In a pipe a row of a table is one line, however long, without trailing spaces."""
    _, output, _ = strongbax("head", vault, "-n", 1)
    rows = [line for line in output.splitlines() if "3 3 3 3 3 3 ... (8)" in line]
    assert len(rows) == 1
    assert all(line == line.rstrip() for line in output.splitlines())


def test_narrow_terminal_folds(vault, strongbax, monkeypatch):
    """In a narrow terminal a table folds to the width and loses nothing."""
    monkeypatch.setenv("COLUMNS", "40")
    _, output, _ = strongbax("show", "hopper-medium-v2")
    assert max(map(len, output.splitlines())) <= 40
    assert "1,000" in output


@pytest.mark.parametrize("arguments", [["list", "remote"], ["show", "hopper-medium-v2", "--json"]])
def test_closed_pipe_is_no_error(arguments):
    """A reader that leaves early, as `head` does, ends the command with 141 and not a word."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "strongbax", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_progress_is_silent_in_a_pipe(capfd):
    """A progress bar writes nothing where no terminal shows it."""
    with console.progress("Working") as progress:
        progress(1, 2)
    assert capfd.readouterr() == ("", "")


def test_filter_that_leaves_nothing_is_an_error(vault, tmp_path, strongbax):
    """Conditions that no episode meets make no empty vault: the command ends with 2 and says so."""
    code, _, error = strongbax("filter", vault, tmp_path / "none.vault", "--where", "length>100")
    assert (code, "none of 3 meets 'length>100'" in error) == (2, True)
    assert not (tmp_path / "none.vault").exists()
