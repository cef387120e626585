"""CRC-32C, the checksum of everything in a vault (Castagnoli's polynomial; RFC 3720, appendix B.4)."""

from typing import Any

import fastcrc

_extend = fastcrc.crc32.iscsi  # as iSCSI's specification brought it into use


def crc32c(data: Any, before: int = 0) -> int:
    """Gives the checksum of bytes, or of `before`'s bytes with these behind them.

    Long data is summed without Python's lock, so that threads sum side by side.

    Args:
      data: any contiguous buffer: bytes, a memoryview, an array.
      before: the checksum of what comes first.

    Raises:
      ValueError: if the buffer is not contiguous.

    Example:
      >>> f"{crc32c(b'123456789'):08x}", crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789")
      ('e3069283', True)
    """
    return _extend(data, before)
