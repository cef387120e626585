"""A recorder: a process of its own that records, so that it can be killed.

It tells what it does in lines of JSON on its standard output. After it told that steps were played it
waits for a line on its standard input, so that a kill finds it between two flushes for certain.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .recording import Plan, record


@dataclass(frozen=True)
class Run:
    """What a recorder told before it ended.

    Attributes:
      flushed: steps of all streams after each flush that returned.
      seconds: of each flush.
      played: steps of all streams that were played when it was last heard of, flushed or not.
      killed: whether it was killed.
    """

    flushed: list[int]
    seconds: list[float]
    played: int
    killed: bool


def run(
    path: Path,
    plan: Plan,
    kill_when: Callable[[int], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Runs a recorder until it has ended or was killed with SIGKILL.

    Args:
      path: of the vault.
      plan: what to record.
      kill_when: told the steps of all streams that were played; true kills the recorder there,
        with half a block that is not flushed.
      progress: called with (flushed, all), in steps of all streams.

    Raises:
      ChildProcessError: if it failed.
    """
    flushed: list[int] = []
    seconds: list[float] = []
    played, killed = 0, False
    with _start(path, plan) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if "flushed" in event:
                flushed.append(event["flushed"])
                seconds.append(event["seconds"])
                if progress is not None:
                    progress(event["flushed"], plan.steps * plan.streams)
                continue
            played = event["played"]
            if kill_when is not None and kill_when(played):
                killed = True
                os.kill(process.pid, signal.SIGKILL)
                continue
            process.stdin.write("\n")
            process.stdin.flush()
    if process.returncode != (-signal.SIGKILL if killed else 0):
        raise ChildProcessError(
            f"The recorder ended with code {process.returncode}; what it said on standard error tells why."
        )
    return Run(flushed, seconds, played, killed)


def _start(path: Path, plan: Plan) -> "subprocess.Popen[str]":
    # This very interpreter, on this very module; path and plan are data to it.
    command = [sys.executable, "-m", __name__, str(path), json.dumps(asdict(plan))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603


def _main() -> None:
    """Records what the two arguments of the process say: the vault's path, and the plan in JSON."""
    path, plan = sys.argv[1:]
    record(Path(path), Plan(**json.loads(plan)), _tell)


def _tell(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
    if "played" in event:
        sys.stdin.readline()


if __name__ == "__main__":
    _main()
