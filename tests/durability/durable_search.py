"""The search for a state of the disk that loses what was flushed.

A run's system calls are recorded and replayed on a model of a disk; after each of them the model gives what
may be found when the power goes. Each such state is opened, compared with the run's history, and every few
times written on.
"""

import copy
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from durable_compare import compare
from durable_disk import Disk, Image, digest, lay_out
from durable_history import History
from durable_resume import KINDS
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
      disk: that the run changes.
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
    disk: Disk
    history: History
    rng: random.Random
    durable: int = 0
    begun: int = 0
    made: bool = False
    tally: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    image: Image = field(default_factory=dict)
    kept: Path | None = None

    def run(self, trace: Path, events: Path, looks: int, random_states: int, enough: int) -> None:
        """Looks at some of the run's moments, until enough states are bad."""
        seen, trial = set[bytes](), copy.deepcopy(self.disk)
        share = looks / sum(trial.apply(call) for call in calls(trace))
        for changed in self._replay(trace, events):
            if changed and self.rng.random() < share:
                self._look_at_states(seen, random_states)
            if self.problems.total() >= enough:
                break

    def run_until_killed(self, trace: Path, events: Path, share: float) -> None:
        """Replays a share of the run's moments, as if the process was killed then, and looks at nothing."""
        last = share * sum(1 for _ in calls(trace))
        for number, _ in enumerate(self._replay(trace, events)):
            if number >= last:
                break
        self.disk.forget_process()

    def _replay(self, trace: Path, events: Path) -> Iterator[bool]:
        """Gives each call to the disk; says whether it changed."""
        voice = -1
        for call in calls(trace):
            if call.name == "openat" and call.strings[0].decode() == str(events):
                voice = call.result
            elif call.name == "write" and call.plain[0] == str(voice):
                self._hear(call)
            changed = self.disk.apply(call)
            self.tally["moments"] += changed
            yield changed

    def _hear(self, call: Call) -> None:
        word, *number = call.strings[0].decode().split()
        if word == "done":
            self.durable = max(self.durable, int(number[0]))
        elif word == "found":
            self.made, self.begun = True, int(number[0])
        elif word == "begin":
            self.begun = int(number[0]) + 1

    def _look_at_states(self, seen: set[bytes], random_states: int) -> None:
        chances = [tuple(self.rng.choice(SHARES) for _ in range(3)) for _ in range(random_states)]
        for names, data, whole in EXTREMES + chances:
            image = self.disk.image(self.rng, names, data, whole)
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


@dataclass
class Place:
    """Where runs are recorded and states laid out.

    Attributes:
      folder: of the runs; the vault is in `disk`.
      shelf: for the states.
      kind: of the history.
    """

    folder: Path
    shelf: Path
    kind: str

    @property
    def home(self) -> Path:
        """The folder that the disk's model knows."""
        return self.folder / "disk"

    def search(
        self,
        *,
        seed: int,
        writes: int,
        looks: int,
        random_states: int = 3,
        without: str = "",
        enough: int = 1000,
        killed: float | None = None,
    ) -> Search:
        """Records a run, which begins with what stands in `home`, and searches its moments.

        Args:
          seed: of the run and the search.
          writes: of the run.
          looks: how many moments are looked at, about.
          random_states: tried a moment, besides the extreme ones.
          without: what the run leaves unsynced.
          enough: bad states after which the search ends.
          killed: the share of the run after which it is killed; what is searched is the run after that.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        found = self._begin(seed)
        trace, events = self._record(seed, writes, without)
        if killed is not None:
            found.run_until_killed(trace, events, killed)
            shutil.rmtree(self.home)
            lay_out(found.disk.image(found.rng, 1.0, 1.0, 1.0), self.home)
            trace, events = self._record(seed + 1, writes, without)
        found.run(trace, events, looks, random_states, enough)
        trace.unlink()
        return found

    def _begin(self, seed: int) -> Search:
        history, since = KINDS[self.kind](), 0
        if made := (self.home / VAULT).exists():
            with Vault.open(self.home / VAULT) as vault:
                since = compare(vault, history)
        rng = random.Random(seed)
        return Search(self.shelf, Disk(self.home), history, rng, durable=since, begun=since, made=made)

    def _record(self, seed: int, writes: int, without: str) -> tuple[Path, Path]:
        trace, events = self.folder / "trace.txt", self.folder / "events.txt"
        events.unlink(missing_ok=True)
        task = {"task": "write", "path": str(self.home / VAULT), "kind": self.kind, "events": str(events)}
        task |= {"seed": seed, "until": 1 << 40, "writes": writes, "without": without}
        record(trace, json.dumps(task))
        return trace, events
