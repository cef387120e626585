"""Secrets and private paths are found wherever they stand, named by their field, and never repeated."""

import pytest
from publishing_vaults import CARD, make_vault
from strongbax.datasets.leaks import check_no_leaks
from strongbax.datasets.publish import publish
from strongbax.vault import Vault

SECRETS = {
    "URL": "https://ada:pw12345@example.org/data",
    "signed": "https://b.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef",
    "Hugging Face": "hf_" + "aB3" * 11,
    "GitHub": "see ghp_" + "Zz9" * 12,
    "AWS": "key AKIA" + "ABCD" * 4,
    "API key": "sk-" + "proj" * 8,
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
    "private key": "-----BEGIN RSA PRIVATE KEY-----",
    "authorisation": "Authorization: Bearer abcdefghijklmnop1234",
    "home": "made in /home/ada/runs/3",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("place", ["card/notes", "card/provenance/made/0", "attributes/from"])
def test_a_secret_is_named_by_its_field(kind, place):
    """What looks like a secret stops the publication; the message says where, not what."""
    value = SECRETS[kind]
    for name in reversed(place.split("/")[1:]):
        value = [value] if name == "0" else {name: value}
    with pytest.raises(ValueError, match=f"`{place}` holds .*{kind.split()[0]}") as caught:
        check_no_leaks({place.split("/")[0]: value})
    assert SECRETS[kind] not in str(caught.value)
    check_no_leaks({place.split("/")[0]: value}, allow=[place])


def test_what_is_no_secret_passes():
    """Addresses, hashes, code and prose are no secrets."""
    check_no_leaks(
        {
            "card": {
                "code": "https://github.com/a/b/tree/" + "0f" * 20,
                "author_email": ["ada@example.org"],
                "sha256": "ab" * 32,
                "citation": "@article{a, title={Tokens at home}, url={https://example.org/home/ada}}",
                "description": "A risk-free task-oriented desk-bound robot. See ~/README.",
                "tokenizer": "bpe",
            }
        }
    )


def test_a_secret_by_its_name():
    """A field that is called a password holds one, whatever it looks like; a name may leak, too."""
    with pytest.raises(ValueError, match="`card/login/password` holds"):
        check_no_leaks({"card": {"login": {"password": "1234"}}})
    with pytest.raises(ValueError, match=r"`card \(a name in it\)` holds"):
        check_no_leaks({"card": {SECRETS["Hugging Face"]: 1}})


def test_episodes_are_searched_too(tmp_path):
    """A secret in an episode's attributes is found before anything is written."""
    from strongbax.vault import Episode

    vault = make_vault(tmp_path / "a.vault", lengths=(3, 4))
    with Vault.open(vault, mode="a") as opened:
        one = opened[0]
        opened.append(Episode(one.steps, columns={"level": 1}, attributes={"log": "/Users/ada/log.txt"}))
    with pytest.raises(ValueError, match="`episode 2/log` holds a path of somebody's home"):
        publish(vault, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert publish(vault, tmp_path / "out", allow=["episode 2/log"]).dataset_id == CARD["dataset_id"]
