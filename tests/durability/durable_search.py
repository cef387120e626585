"""The search for a state of the disk that loses what was flushed.

A run's system calls are recorded and replayed on a model of a disk; after each of them the model gives what
may be found when the power goes. Each such state is opened, compared with the run's history, and every few
times written on.
"""

import json
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from durable_disk import Disk, Image, digest, lay_out
from durable_history import HISTORIES, History, compare
from durable_trace import Call, calls, record
from strongbax.vault import NotFoundError, Vault

# Chances that an unsynced change of a name, an unsynced write, and a write without damage are there.
EXTREMES = [(0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0)]
SHARES = [0.1, 0.5, 0.9, 1.0]
GOES_ON = 9  # every so many states is written on
VAULT = "runs/one.vault"  # in a folder that is not there yet either


@dataclass
class Search:
    """Looks at what the disk may hold at the moments of one recorded run.

    Attributes:
      shelf: folder for the states.
      history: that the run writes.
      rng: decides which moments and states.
      durable: writes that are durable at this moment of the run.
      begun: writes that are there or under way.
      made: whether the vault's creation has returned.
      tally: what was looked at.
      problems: what was found.
      image: a state that was good, chosen at random.
      kept: a copy of the first bad state.
    """

    shelf: Path
    history: History
    rng: random.Random
    durable: int = 0
    begun: int = 0
    made: bool = False
    tally: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    image: Image = field(default_factory=dict)
    kept: Path | None = None

    def run(
        self, disk: Disk, trace: Path, events: Path, share: float, random_states: int, enough: int
    ) -> None:
        """Looks at a share of the run's moments, until enough states are bad."""
        seen, voice = set[bytes](), -1
        for call in calls(trace):
            if call.name == "openat" and call.strings[0].decode() == str(events):
                voice = call.result
            elif call.name == "write" and call.plain[0] == str(voice):
                self._hear(call)
            if disk.apply(call):
                self.tally["moments"] += 1
                if self.rng.random() < share:
                    self._look_at_states(disk, seen, random_states)
            if self.problems.total() >= enough:
                break

    def _hear(self, call: Call) -> None:
        word, *number = call.strings[0].decode().split()
        if word == "done":
            self.durable, self.made = max(self.durable, int(number[0])), True
        elif word == "begin":
            self.begun = int(number[0]) + 1

    def _look_at_states(self, disk: Disk, seen: set[bytes], random_states: int) -> None:
        chances = [tuple(self.rng.choice(SHARES) for _ in range(3)) for _ in range(random_states)]
        for names, data, whole in EXTREMES + chances:
            image = disk.image(self.rng, names, data, whole)
            name = digest(image) + f"{self.durable} {self.begun} {self.made}".encode()
            if name in seen:
                continue
            seen.add(name)
            self.tally["states"] += 1
            with tempfile.TemporaryDirectory(dir=self.shelf) as folder:
                lay_out(image, Path(folder))
                good = self._look(Path(folder))
            if good and self.made and self.rng.random() < 1 / self.tally["states"]:
                self.image = image

    def _look(self, folder: Path) -> bool:
        """Recovers one state and compares it; says whether it is good."""
        try:
            self._check(folder / VAULT)
        except Exception as error:  # every way to fail is counted
            text = str(error).replace(str(folder), "")
            self.problems[f"{type(error).__name__}: {text[:200]}"] += 1
            if self.kept is None:
                self.kept = Path(tempfile.mkdtemp(dir=self.shelf, prefix="bad-"))
                shutil.copytree(folder, self.kept, dirs_exist_ok=True)
            return False
        return True

    def _check(self, path: Path) -> None:
        try:
            vault = Vault.open(path)
        except NotFoundError:
            assert not self.made, "the vault is not there"
            assert not path.exists(), "half a vault is there"
            self.tally["absent"] += 1
            return
        with vault:
            writes = compare(vault, self.history)
        begun = max(self.begun, self.durable)
        assert self.durable <= writes <= begun, f"{writes} writes; {self.durable} durable, {begun} begun"
        if self.tally["states"] % GOES_ON == 0:
            self._go_on(path, writes)

    def _go_on(self, path: Path, writes: int) -> None:
        with Vault.open(path, mode="a") as vault:
            for number in range(3):
                self.history.write(vault, writes + number, wait=True)
        with Vault.open(path) as vault:
            assert compare(vault, self.history) == writes + 3
        self.tally["gone on"] += 1


def search(
    tmp_path: Path,
    shelf: Path,
    kind: str,
    *,
    seed: int,
    writes: int,
    share: float = 1.0,
    random_states: int = 3,
    without: str = "",
    enough: int = 1000,
) -> Search:
    """Records a run, which begins with what stands in `tmp_path/disk`, and searches its moments.

    Args:
      tmp_path: for the run.
      shelf: for the states.
      kind: of the history.
      seed: of the run and the search.
      writes: of the run.
      share: of the moments that are looked at.
      random_states: tried a moment, besides the extreme ones.
      without: what the run leaves unsynced.
      enough: bad states after which the search ends.
    """
    home, trace, events = tmp_path / "disk", tmp_path / "trace.txt", tmp_path / "events.txt"
    home.mkdir(exist_ok=True)
    events.unlink(missing_ok=True)
    disk, history, since = Disk(home), HISTORIES[kind](), 0
    if made := (home / VAULT).exists():
        with Vault.open(home / VAULT) as vault:
            since = compare(vault, history)
    task = {"task": "write", "path": str(home / VAULT), "kind": kind, "events": str(events), "seed": seed}
    record(trace, json.dumps(task | {"until": 1 << 40, "writes": writes, "without": without}))
    found = Search(shelf, history, random.Random(seed), durable=since, begun=since, made=made)
    found.run(disk, trace, events, share, random_states, enough)
    trace.unlink()
    return found
