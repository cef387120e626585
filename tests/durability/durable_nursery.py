"""Children that can be killed: started in milliseconds, watched through a pipe, killed at a moment."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("durable_child.py")


@dataclass
class Child:
    """A running child and what it said so far."""

    pid: int
    events: int
    said: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def listen(self, seconds: float) -> bool:
        """Takes what the child says within a time; False at the end of all it says."""
        if not select.select([self.events], [], [], max(0.0, seconds))[0]:
            return True
        return self._take()

    def _take(self) -> bool:
        data = os.read(self.events, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.said += [line.decode() for line in lines]
        return bool(data)

    def finish(self) -> None:
        """Takes the rest of what it said, and listens no more."""
        os.set_blocking(self.events, False)
        with contextlib.suppress(BlockingIOError):
            while self._take():
                pass
        os.close(self.events)

    def wait_for(self, event: str, seconds: float = 60.0) -> bool:
        """Listens until the child says a new event that begins so; False if it ends before."""
        heard, deadline = len(self.said), time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(line.startswith(event) for line in self.said[heard:]):
                return True
            if not self.listen(0.1):
                return False
        raise AssertionError(f"the child did not say {event!r} within {seconds} s: {self.said[-5:]}")

    def listen_for(self, seconds: float) -> None:
        """Listens for a time, or until the child ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.listen(deadline - time.monotonic()):
            pass

    def numbers(self, word: str) -> list[int]:
        """The numbers that the child said after a word."""
        return [int(line.split()[1]) for line in self.said if line.startswith(word)]


class Nursery:
    """One process that has imported everything, and forks children."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._errors = (folder / "errors.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )

    def start(self, task: str, **arguments: Any) -> Child:
        """Starts a task; one at a time."""
        self._count += 1
        pipe = self._folder / f"events-{self._count}"
        os.mkfifo(pipe)
        events = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        line = json.dumps({"task": task, "events": str(pipe)} | arguments)
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        child = Child(self._answer(), events)
        os.set_blocking(events, True)
        return child

    def kill(self, child: Child) -> int:
        """Kills the child, if it still runs, and takes all that it said.

        Returns:
          How it ended: -9 if it was killed, 0 if it had finished.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        status = self._answer()
        child.finish()
        assert status in (0, -signal.SIGKILL), self.errors()
        return status

    def errors(self) -> str:
        """What the children wrote to their standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._errors.close()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors()
        return int(line)
