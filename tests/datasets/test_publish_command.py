"""`strongbax publish` and `strongbax fetch`: what a person types, from a vault to a folder and back."""

import json

from publishing_vaults import CARD, make_vault
from strongbax.datasets.publish import publish
from strongbax.vault import Vault


def test_publish_and_fetch(tmp_path, strongbax):
    """A vault is published, fetched whole, in part, and its card alone; JSON says what was done."""
    make_vault(tmp_path / "a.vault", lengths=(9, 5))
    code, out, error = strongbax("publish", tmp_path / "a.vault", tmp_path / "out", "--json")
    assert (code, error) == (0, "")
    said = json.loads(out)
    assert (said["dataset_id"], said["version"], said["sent"]) == ("toy/walk-v0", None, said["size"])
    code, out, error = strongbax("publish", tmp_path / "a.vault", tmp_path / "out")
    assert code == 0
    assert "0 B" in out
    code, out, error = strongbax("fetch", tmp_path / "out", tmp_path / "here.vault", "--json")
    assert (code, json.loads(out)["episodes"]) == (0, 2)
    arguments = ("fetch", tmp_path / "out", tmp_path / "few.vault", "--leaves", "action,observation/speed")
    assert strongbax(*arguments)[0] == 0
    with Vault.open(tmp_path / "few.vault") as vault:
        assert "observation/pixels" not in vault.leaves
    code, out, _ = strongbax("fetch", tmp_path / "out", tmp_path / "card", "--card")
    assert (code, out.strip()) == (0, str(tmp_path / "card"))


def test_what_is_wrong_is_one_line(tmp_path, strongbax):
    """What is missing or secret, and a place that is missing or too much, is told in one line."""
    vault = make_vault(tmp_path / "a.vault", lengths=(3,), card=CARD | {"made": "/home/ada/x"})
    for arguments, told in (
        (("publish", vault, tmp_path / "out"), "`card/made` holds a path of somebody's home"),
        (("publish", vault, "s3://u:geheim@b/x"), "no user's name"),
        (("fetch", tmp_path / "a.vault"), "DEST must say"),
        (("fetch", "memory://x/y", "--card"), "DEST must say"),
        (("fetch", "hopper-medium-v2", tmp_path / "x"), "Leave DEST out"),
        (("fetch", vault, tmp_path / "x"), "no manifest.json"),
    ):
        code, out, error = strongbax(*arguments)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert told in error
        assert "geheim" not in error
    code, _, _ = strongbax("publish", vault, tmp_path / "out", "--allow", "card/made", "--no-table")
    assert code == 0
    assert not (tmp_path / "out/episodes.parquet").exists()


def test_an_address_goes_to_the_cache(tmp_path, strongbax):
    """Without DEST an address is fetched into the cache, with its revision in the folder's name."""
    done = publish(make_vault(tmp_path / "a.vault", lengths=(3,)), "memory://typed/walk")
    code, out, _ = strongbax("fetch", "memory://typed/walk", "--folder", tmp_path / "cache", "--json")
    assert code == 0
    place = tmp_path / f"cache/memory/typed/walk@{done.revision[:12]}"
    assert json.loads(out)["path"] == str(place)
    code, out, _ = strongbax("fetch", "memory://typed/walk", "--folder", tmp_path / "cache", "--offline")
    assert code == 0
