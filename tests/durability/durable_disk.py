"""A disk that forgets: what may be found after the power went, given the system calls until then.

A file's bytes are durable when the file was synced, a name when its directory was. Of everything else each
single operation may have reached the disk or not: in any subset, a write also in part, as zeros, or without
one of its sectors. Nothing else is assumed, so a real file system does at most this.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from durable_trace import UNKNOWN, Call

SECTOR = 512
Image = dict[str, bytes | None]  # what stands on a disk: bytes of files, None for folders, by path


@dataclass
class File:
    """Bytes that are durable, and the operations since: (serial, offset, data), data None for a new size."""

    durable: bytes = b""
    size: int = 0
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def sync(self, until: int) -> None:
        held = bytearray(self.durable)
        for _, offset, data in (operation for operation in self.pending if operation[0] <= until):
            _put(held, offset, data)
        self.durable = bytes(held)
        self.pending = [operation for operation in self.pending if operation[0] > until]


@dataclass
class Folder:
    """Names that are there, those that are durable, and the changes since: (serial, changes of names)."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, "File | Folder | None"]]] = field(default_factory=list)

    def change(self, serial: int, names: "Mapping[str, File | Folder | None]") -> None:
        self.pending.append((serial, dict(names)))
        _rename(self.names, names)

    def sync(self, until: int) -> None:
        for _, names in (operation for operation in self.pending if operation[0] <= until):
            _rename(self.durable, names)
        self.pending = [operation for operation in self.pending if operation[0] > until]


Node = File | Folder


@dataclass
class _Open:
    node: Node
    offset: int = 0
    appends: bool = False


class Disk:
    """The part of a file system under one folder, and the descriptors that are open on it.

    Args:
      home: the folder; what stands there already is durable.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = _load(home)
        self.operations = 0
        self._open: dict[int, _Open] = {}
        self._begun: dict[int, int] = {}

    def apply(self, call: Call) -> bool:
        """Takes a system call; says whether the disk may differ after it."""
        before = self.operations
        if call.name == "begin":
            self._begun[call.thread] = self.operations
        elif call.name == "free":
            self._open.pop(int(call.arguments), None)
        elif call.name == "fallocate" and "FALLOC_FL_KEEP_SIZE" in call.arguments:
            pass  # it reserves room beyond the file's end, which nobody can read
        elif call.name in UNKNOWN.split():
            assert not self._touches(call), f"the model does not know {call.name}({call.arguments[:200]})"
        elif call.name != "close":
            getattr(self, f"_{_VERBS[call.name]}")(call)
        return self.operations != before

    def forget_process(self) -> None:
        """Closes everything: the process was killed."""
        self._open.clear()
        self._begun.clear()

    # -- calls

    def _do_open(self, call: Call) -> None:
        place = self._place(call)
        if place is None:
            self._open.pop(call.result, None)
            return
        folder, name = place
        node = folder.names.get(name) if name else folder
        if node is None:
            node = File()
            folder.change(self._next(), {name: node})
        if "O_TRUNC" in call.arguments and isinstance(node, File) and node.size:
            self._resize(node, 0)
        self._open[call.result] = _Open(node, appends="O_APPEND" in call.arguments)

    def _do_write(self, call: Call) -> None:
        opened = self._open.get(int(call.plain[0]))
        if opened is None:
            return
        assert isinstance(opened.node, File)
        data = b"".join(call.strings)[: call.result]
        offset = opened.node.size if opened.appends else opened.offset
        if call.name == "pwrite64":
            offset = int(call.plain[-1])
        else:
            opened.offset = offset + len(data)
        opened.node.pending.append((self._next(), offset, data))
        opened.node.size = max(opened.node.size, offset + len(data))

    def _do_seek(self, call: Call) -> None:
        if opened := self._open.get(int(call.plain[0])):
            opened.offset = call.result

    def _do_resize(self, call: Call) -> None:
        opened, size = self._open.get(int(call.plain[0])), int(call.plain[1])
        if opened is not None and isinstance(opened.node, File) and opened.node.size != size:
            self._resize(opened.node, size)

    def _do_sync(self, call: Call) -> None:
        until = self._begun.pop(call.thread)
        if opened := self._open.get(int(call.plain[0])):
            opened.node.sync(until)
            self._next()

    def _do_rename(self, call: Call) -> None:
        old, new = self._place(call, 0), self._place(call, 1)
        if old is None and new is None:
            return
        assert old is not None
        assert new is not None
        assert old[0] is new[0], "the model knows only renames within a folder"
        assert "RENAME_EXCHANGE" not in call.arguments, "the model does not know exchanges"
        old[0].change(self._next(), {old[1]: None, new[1]: old[0].names[old[1]]})

    def _do_unlink(self, call: Call) -> None:
        if place := self._place(call):
            place[0].change(self._next(), {place[1]: None})

    def _do_mkdir(self, call: Call) -> None:
        if place := self._place(call):
            place[0].change(self._next(), {place[1]: Folder()})

    # -- inside

    def _next(self) -> int:
        self.operations += 1
        return self.operations

    def _resize(self, node: File, size: int) -> None:
        node.pending.append((self._next(), size, None))
        node.size = size

    def _place(self, call: Call, which: int = 0) -> tuple[Folder, str] | None:
        """Finds the folder and the name that a path argument means; an empty name for the root itself."""
        path, folder = Path(call.strings[which].decode()), self.root
        if path.is_absolute():
            if not path.is_relative_to(self.home):
                return None
            path = path.relative_to(self.home)
        else:
            blanks = [place for place, part in enumerate(call.plain) if part == '""']
            base = call.plain[blanks[which] - 1] if call.name.endswith(("at", "at2")) else ""
            opened = self._open.get(int(base)) if base.isdigit() else None
            if opened is None:
                return None
            assert isinstance(opened.node, Folder)
            folder = opened.node
        for part in path.parts[:-1]:
            inner = folder.names[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, path.name

    def _touches(self, call: Call) -> bool:
        numbers = [int(part) for part in call.plain if part.isdigit()]
        inside = any(str(self.home) in text.decode(errors="replace") for text in call.strings)
        return inside or any(number in self._open for number in numbers)

    # -- after the power went

    def image(self, rng: random.Random, names: float, data: float, whole: float) -> Image:
        """Gives what may be found.

        Args:
          rng: decides.
          names: the chance that a change of a name is there which was not synced.
          data: the chance that a write is there, at least in part, which was not synced.
          whole: the chance that such a write is there as it was written.
        """
        image: Image = {}
        self._find(self.root, "", image, lambda chance: rng.random() < chance, (names, data, whole), rng)
        return image

    def _find(self, node, path, image, hit, chances, rng) -> None:
        if isinstance(node, Folder):
            image[path] = None
            found = dict(node.durable)
            for _, changed in node.pending:
                if hit(chances[0]):
                    _rename(found, changed)
            for name, inner in found.items():
                self._find(inner, f"{path}/{name}", image, hit, chances, rng)
            return
        held = bytearray(node.durable)
        for _, offset, written in node.pending:
            if hit(chances[1]):
                spared = written is None or hit(chances[2])
                _put(held, offset, written if spared else _damage(written, rng))
        image[path] = bytes(held)


def lay_out(image: Image, target: Path) -> None:
    """Writes an image into a folder."""
    for path, data in image.items():
        place = target / path.lstrip("/")
        if data is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.write_bytes(data)


def digest(image: Image) -> bytes:
    """Gives a short name for what an image holds."""
    summary = hashlib.blake2b(digest_size=16)
    for path in sorted(image):
        data = image[path]
        summary.update(f"{path}\0{'folder' if data is None else len(data)}\0".encode() + (data or b""))
    return summary.digest()


_VERBS = dict.fromkeys(("open", "openat"), "do_open")
_VERBS |= dict.fromkeys(("write", "writev", "pwrite64"), "do_write")
_VERBS |= dict.fromkeys(("fsync", "fdatasync"), "do_sync")
_VERBS |= dict.fromkeys(("rename", "renameat", "renameat2"), "do_rename")
_VERBS |= dict.fromkeys(("unlink", "unlinkat", "rmdir"), "do_unlink")
_VERBS |= dict.fromkeys(("mkdir", "mkdirat"), "do_mkdir")
_VERBS |= {"lseek": "do_seek", "ftruncate": "do_resize"}


def _load(path: Path) -> Folder:
    folder = Folder()
    for entry in path.iterdir() if path.is_dir() else ():
        held = b"" if entry.is_dir() else entry.read_bytes()
        folder.names[entry.name] = _load(entry) if entry.is_dir() else File(held, len(held))
    folder.durable = dict(folder.names)
    return folder


def _rename(names: dict[str, Node], changes: Mapping[str, Node | None]) -> None:
    for name, node in changes.items():
        names.pop(name, None)
        if node is not None:
            names[name] = node


def _put(held: bytearray, offset: int, data: bytes | None) -> None:
    """Writes at an offset, or cuts and stretches to it."""
    if len(held) < offset:
        held.extend(bytes(offset - len(held)))
    if data is None:
        del held[offset:]
    else:
        held[offset : offset + len(data)] = data


def _damage(data: bytes, rng: random.Random) -> bytes:
    """Tears a write: its beginning only, zeros behind its beginning, or one sector of zeros in it."""
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(3)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes(len(data) - at)
    at -= at % SECTOR
    return data[:at] + bytes(len(data[at : at + SECTOR])) + data[at + SECTOR :]
