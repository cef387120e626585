"""Vaults to damage, and what must hold of one that was repaired."""

from strongbax.vault import Vault
from strongbax.vault.repairing import repair
from vault_damage import build, build_long_log, files
from vault_rings import same

LENGTHS = (5, 1, 0, 9, 4)


def make_vaults(folder):
    """Makes one that is closed, one in the log, one of a long log, and one half of each."""
    made = {
        "closed": build(folder / "closed", LENGTHS, close=True),
        "log": build(folder / "log", (3, 2, 2), close=False),
        "long": build_long_log(folder / "long", (5, 5, 5, 5, 5, 5, 5)),
        "both": build(folder / "both", (5, 6, 2, 2), close=False),
    }
    return {name: (folder / name, contents) for name, contents in made.items()}


def repaired(path, contents, kept, **facts):
    """Repairs, and checks that the vault is whole and holds the episodes `kept`; the old one is there."""
    before = files(path)
    report = repair(path)
    assert report.problems
    assert files(report.damaged) == before
    with Vault.open(path) as vault:
        assert vault.verify().problems == []
        same_as_built(vault, contents, kept)
        assert (report.steps, report.episodes) == (vault.num_steps, vault.num_episodes)
    for name, value in facts.items():
        assert getattr(report, name) == value, name
    assert repair(path).damaged is None
    assert list(path.parent.glob(".*")) == []
    with Vault.open(path, mode="a") as vault:
        vault.append([vault[0]] if vault.num_episodes else [])
    assert Vault.open(path).verify().problems == []
    return report


def same_as_built(vault, contents, kept, *, finals=True, columns=("length", "return", "terminated", "seed")):
    table = vault.episodes
    assert len(table) == len(kept)
    for name in columns:
        assert table[name].tolist() == [contents.table[name][i] for i in kept], name
    for place, number in enumerate(kept):
        episode = vault[place]
        start = contents.table["start"][number]
        for name, steps in contents.steps.items():
            assert same(episode.steps[name], steps[0, start : start + len(episode)]), (number, name)
        if finals:
            assert same(episode.final["observation"], contents.finals[number])
            assert episode.attributes == {"row": number}
