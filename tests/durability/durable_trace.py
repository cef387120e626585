"""A run's system calls, as `strace` wrote them down: those that change files, in the order they ended.

A call that another thread's call interrupts stands in two lines. It counts when it ended; a sync is also
told when it began, because it is sure to cover only what was written before that.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from durable_nursery import CHILD

STRACE = shutil.which("strace")
MODELLED = "open openat close write writev pwrite64 lseek ftruncate fsync fdatasync rename renameat renameat2"
MODELLED += " unlink unlinkat rmdir mkdir mkdirat"
# Nothing under a vault may be changed by these: the disk's model does not know them.
UNKNOWN = (
    "creat truncate pwritev pwritev2 fallocate copy_file_range sendfile splice link linkat symlink symlinkat"
)
UNKNOWN += " sync_file_range dup dup2 dup3 vmsplice"

_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")


@dataclass(frozen=True)
class Call:
    """A system call.

    Attributes:
      name: of the call; "begin" for a sync that began.
      arguments: as strace prints them.
      result: what it returned.
      thread: that called.
    """

    name: str
    arguments: str
    result: int
    thread: int

    @property
    def strings(self) -> list[bytes]:
        """Its string arguments."""
        return [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(self.arguments)]

    @property
    def plain(self) -> list[str]:
        """Its arguments, strings blanked."""
        return [part.strip() for part in _STRING.sub('""', self.arguments).split(",")]


def record(trace: Path, task: str) -> None:
    """Runs a child's task under strace.

    Args:
      trace: where the calls are written to.
      task: the child's argument, JSON.
    """
    assert STRACE is not None
    calls = ",".join((MODELLED + " " + UNKNOWN).split())
    command = [STRACE, "-f", "-qq", "-xx", "-s", str(1 << 26), "--seccomp-bpf", "-e", f"trace={calls}"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, "-o", str(trace), sys.executable, str(CHILD), task],
        check=True,
        env=environment,
        timeout=600,
    )


def calls(trace: Path) -> Iterator[Call]:
    """Reads the calls that succeeded."""
    begun: dict[int, str] = {}
    with trace.open() as lines:
        for line in lines:
            number, text = line.rstrip("\n").split(maxsplit=1)
            thread = int(number)
            if text.endswith("<unfinished ...>"):
                begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
                yield from _begin(thread, begun[thread])
                continue
            if resumed := _RESUMED.match(text):
                text = begun.pop(thread) + resumed[1]
            else:
                yield from _begin(thread, text)
            if (match := _CALL.match(text)) and int(match[3]) >= 0:
                yield Call(match[1], match[2], int(match[3]), thread)


def _begin(thread: int, text: str) -> Iterator[Call]:
    """Tells that a sync begins, or that a descriptor is free, which it is when its close begins."""
    name, _, arguments = text.partition("(")
    if name in ("fsync", "fdatasync"):
        yield Call("begin", arguments.split(")")[0], 0, thread)
    elif name == "close":
        yield Call("free", arguments.split(")")[0], 0, thread)
