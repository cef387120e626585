"""The errors that a caller would handle differently.

Each inherits `StrongbaxError` and the built-in that an older `except` clause would catch. Arguments that
are simply wrong raise plain `ValueError` or `TypeError`.
"""


class StrongbaxError(Exception):
    """The root of every error of this library."""


class NotFoundError(StrongbaxError, FileNotFoundError):
    """What was asked for is not there."""


class AlreadyExistsError(StrongbaxError, FileExistsError):
    """Something stands where something new was to be made."""


class FormatError(StrongbaxError, ValueError):
    """The bytes are not what this version reads: another format, or a newer one."""


class CorruptionError(StrongbaxError, OSError):
    """Bytes that were written are not the bytes that are there."""


class GapError(StrongbaxError, RuntimeError):
    """Steps were overwritten in the ring before they were flushed."""


class LockedError(StrongbaxError, BlockingIOError):
    """Another writer holds the vault."""


class ConflictError(StrongbaxError, RuntimeError):
    """Two histories could both be meant, and the library does not guess."""


class StorageError(StrongbaxError, OSError):
    """The disk refused: it is full, read-only, or failed. What was committed stays."""


class ClosedError(StrongbaxError, ValueError):
    """The vault is closed, or open for reading only."""


class MissingExtraError(StrongbaxError, ImportError):
    """An optional dependency is not installed."""
