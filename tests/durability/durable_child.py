"""The process that gets killed: writes a history into a vault and says what it is doing, event by event.

As a program it does one task, under `strace` say: `python durable_child.py '{"task": "write", ...}'`. Without
an argument it imports everything once and forks a child for every such line that it reads, so that a kill
costs milliseconds, not the start of Python and JAX.

Events are lines: `opening`, `found K` (the vault holds K writes), `begin K` (write K is under way), `done K`
(the first K writes are durable), `sealing`, `closing`, `closed`.
"""

import json
import os
import random
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import durable_compare
import durable_history
import durable_resume
import jax  # noqa: F401 - imported before the first fork, not after each
import numcodecs.zstd  # noqa: F401
import tensorstore  # noqa: F401
from strongbax.vault import Vault, delete, repair


def write(
    path: str, kind: str, events: str, seed: int, until: int, writes: int = 1 << 30, without: str = ""
) -> None:
    """Writes until the vault holds `until` steps a stream or got `writes` writes.

    Args:
      path: of the vault, made if it is not there.
      kind: of the history.
      events: path of a pipe or a file.
      seed: decides when to seal, to close and to wait.
      until: steps a stream.
      writes: how many.
      without: "fdatasync", "directories" or "files": what is not synced, to see that somebody notices.
    """
    leave_out(without)
    say = _speaker(events)
    rng, history = random.Random(seed), durable_resume.KINDS[kind]()
    say("opening")
    vault = Vault.open(path, mode="a") if (Path(path) / "zarr.json").exists() else history.create(path)
    number = history.held(vault.length)
    say(f"found {number}")
    handles: list[tuple[int, Any]] = []
    last = number + writes
    while number < last and history.moment(number).length < until:
        say(f"begin {number}")
        handle = history.write(vault, number, wait=rng.random() < 0.6)
        number += 1
        if handle is None:
            handles.clear()
            say(f"done {number}")
        else:
            handles.append((number, handle))
        while handles and handles[0][1].done():
            handles[0][1].result()
            say(f"done {handles.pop(0)[0]}")
        chance = rng.random()
        if chance < 0.1:
            say("sealing" if chance < 0.05 else "closing")
            vault.seal() if chance < 0.05 else vault.close()
            handles.clear()
            say(f"done {number}")
        if 0.05 <= chance < 0.1:
            vault = Vault.open(path, mode="a")
    say("closing")
    vault.close()
    say(f"done {number}")
    say("closed")


def create(folder: str, events: str, *, overwrite: bool) -> None:
    """Makes vaults without end: one beside the other, or the same one again and again, with some writes."""
    say, history = _speaker(events), durable_history.RecordingHistory()
    number = 0
    while True:
        say(f"begin {number}")
        path = Path(folder) / ("one" if overwrite else f"folder/{number}")
        vault = history.create(path, attributes={"number": number}, overwrite=overwrite)
        number += 1
        say(f"done {number}")
        for place in range(6 if overwrite else 0):
            history.write(vault, place, wait=True)
        vault.close()


def read(path: str, kind: str, events: str, seconds: float) -> None:
    """Looks at a vault that is being written, again and again, and compares what it holds each time.

    Says `read N` with the number of looks. An older look, kept a while, must stay what it was.
    """
    say, history = _speaker(events), durable_resume.KINDS[kind]()
    vault, old = Vault.open(path), Vault.open(path)
    newest = looks = 0
    kept = history.held(old.length)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        vault.refresh()
        writes = durable_compare.compare_end(vault, history)
        assert writes >= newest, f"{writes} writes after {newest} were there"
        newest, looks = writes, looks + 1
        if looks % 20 == 0:
            assert durable_compare.compare_end(old, history) == kept
            old.refresh()
            kept = history.held(old.length)
    say(f"read {looks}")


def hold(path: str, events: str) -> None:
    """Opens a vault for writing, writes a little, and holds it."""
    say = _speaker(events)
    vault = _open_and_write(path)
    say("held")
    _sleep(vault)


def fork(path: str, events: str, *, close: bool) -> None:
    """Forks a worker while a vault is open; with `close`, closes the vault, opens it again and holds it."""
    say = _speaker(events)
    vault = _open_and_write(path)
    worker = os.fork()
    if worker == 0:
        _sleep(vault)
    say(f"worker {worker}")
    if close:
        vault.close()
        vault = _open_and_write(path)
    say("held")
    _sleep(vault)


def rewrite(path: str, events: str, verb: str) -> None:
    """Packs a vault, repairs it, or deletes its second episode."""
    say = _speaker(events)
    say("begin 0")
    if verb == "pack":
        Vault.open(path).pack(f"{path}.packed", overwrite=True)
    elif verb == "repair":
        repair(path)
    else:
        delete(path, [1])
    say("done 1")


def _open_and_write(path: str) -> Vault:
    history = durable_history.RecordingHistory()
    vault = Vault.open(path, mode="a")
    history.write(vault, history.held(vault.length), wait=True)
    return vault


def _sleep(vault: Vault) -> None:
    """Waits for its end, without letting go of the vault."""
    while vault is not None:
        signal.pause()


TASKS: dict[str, Callable[..., None]] = {
    "write": write,
    "create": create,
    "read": read,
    "hold": hold,
    "fork": fork,
    "rewrite": rewrite,
}


def leave_out(what: str) -> None:
    """Leaves out a kind of sync, as a careless writer would."""
    sync = os.fsync

    def only_files(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            sync(descriptor)

    def only_directories(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            sync(descriptor)

    if what == "fdatasync":
        os.fdatasync = lambda descriptor: None
    elif what == "directories":
        os.fsync = only_files
    elif what == "files":
        os.fsync = only_directories


def _speaker(events: str) -> Callable[[str], None]:
    descriptor = os.open(events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def say(event: str) -> None:
        os.write(descriptor, f"{event}\n".encode())

    return say


def _run(line: str) -> None:
    arguments = json.loads(line)
    TASKS[arguments.pop("task")](**arguments)


def _serve() -> None:
    """Forks a child for each line; says its process id, and when it ended how."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)
            status = 1
            try:
                _run(line)
                status = 0
            except BaseException:  # whatever it is, the test shows it
                traceback.print_exc()
            finally:
                os._exit(status)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(sys.argv[1])
    else:
        _serve()
