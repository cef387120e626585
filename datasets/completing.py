"""Completion: what a shell may put for the word that stands before the cursor.

A shell waits for it, so nothing is imported here that takes time, and no folder is searched for long.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable
from itertools import islice
from pathlib import Path

# Written out, for asking the converters imports them all. A new format is named here too: a test compares.
READ = (
    "d3rlpy",
    "dsrl",
    "robomimic",
    "minari",
    "d4rl",
    "rlds",
    "rl_unplugged",
    "lerobot",
    "hf_dt",
    "ogbench",
    "neorl",
    "dqn_replay",
    "torchrl",
    "flashbax",
    "imitation",
    "stable_baselines",
    "npz",
)
WRITTEN = (
    "d3rlpy",
    "d4rl",
    "minari",
    "robomimic",
    "ogbench",
    "rlds",
    "lerobot",
    "torchrl",
    "flashbax",
    "npz",
)
CODECS = ("none", "zstd", "lz4", "blosc", "gzip")

MOST_FOLDERS = 500  # looked into: some tens of milliseconds
MOST_VAULTS = 50


def vaults(incomplete: str) -> list[str]:
    """Returns the vaults whose paths begin so, those nearest first; none: the shell completes files.

    Example:
      >>> from strongbax.vault.view import example
      >>> path = str(example(lengths=[3]).path)
      >>> vaults(path[:-3]) == [path]
      True
    """
    from .local import is_vault

    found = (path for path in _folders(incomplete) if is_vault(Path(path).expanduser()))
    return list(islice(found, MOST_VAULTS))


def datasets(incomplete: str) -> list[str]:
    """Returns the ids of datasets that begin so, in whatever case; aliases, where no id does.

    Example:
      >>> datasets("d4rl/hopper/medium-v")
      ['D4RL/hopper/medium-v0', 'D4RL/hopper/medium-v1', 'D4RL/hopper/medium-v2']
      >>> datasets("hopper-medium-v2")
      ['hopper-medium-v2']
    """
    from .catalogue import entries

    ids = _beginning(incomplete, (entry.id for entry in entries()))
    return ids or _beginning(incomplete, (name for entry in entries() for name in entry.aliases))


def vaults_and_datasets(incomplete: str) -> list[str]:
    """Returns vaults, and datasets that were fetched, by id."""
    return vaults(incomplete) + _beginning(incomplete, _fetched())


def anything(incomplete: str) -> list[str]:
    """Returns vaults, and all datasets where something is typed that tells them apart."""
    return vaults(incomplete) + (datasets(incomplete) if incomplete else _fetched())


def formats_read(incomplete: str) -> list[str]:
    """Returns the formats that `convert` reads.

    Example:
      >>> formats_read("rob")
      ['robomimic']
    """
    return _beginning(incomplete, READ)


def formats_written(incomplete: str) -> list[str]:
    """Returns the formats that `export` writes."""
    return _beginning(incomplete, WRITTEN)


def codecs(incomplete: str) -> list[str]:
    """Returns the names of codecs."""
    return _beginning(incomplete, CODECS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def _fetched() -> list[str]:
    from .local import datasets_path, find_vaults

    root = datasets_path()
    return [path.relative_to(root).as_posix() for path in find_vaults(root)]


def _folders(incomplete: str) -> Generator[str]:
    """Folders whose paths begin so, and those below them, level by level; vaults are not looked into."""
    head, _, stem = incomplete.rpartition("/")
    here = f"{head}/" if head or incomplete.startswith("/") else ""
    waiting = deque(sorted(_below(here, stem)))
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        path = waiting.popleft()
        yield path
        if not Path(path, "zarr.json").expanduser().exists():
            waiting.extend(sorted(_below(f"{path}/", "")))


def _below(folder: str, stem: str) -> list[str]:
    try:
        with os.scandir(os.path.expanduser(folder or ".")) as found:  # noqa: PTH111 - text in, text out: what is typed stays
            return [
                f"{folder}{item.name}"
                for item in found
                if item.name.startswith(stem) and (stem or item.name[0] != ".") and item.is_dir()
            ]
    except OSError:
        return []
