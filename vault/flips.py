"""The one bit that was flipped, found by a checksum.

A checksum is linear: what a flip changes in it depends on its place alone. Taking back byte after byte what
the checksum went through finds the place, for the price of one pass; up to 256 MiB there is at most one.
"""

from .checksum import crc32c


def flipped_bit(change: int, size: int) -> tuple[int, int] | None:
    """Finds byte and bit whose flip changes the checksum of so many bytes so.

    Args:
      change: the checksum of the bytes as they are, exclusive-or the one of what they were.
      size: in bytes.

    Returns:
      The place of the byte and the number of the bit, or None where no single flip does it.

    Example:
      >>> flipped_bit(crc32c(b"strongbox") ^ crc32c(b"strongbax"), 9)
      >>> flipped_bit(crc32c(b"strongbax") ^ crc32c(b"strongbaz"), 9)
      (8, 1)
    """
    table = [crc32c(bytes([byte])) ^ crc32c(b"\0") for byte in range(256)]
    back = {entry >> 24: byte for byte, entry in enumerate(table)}  # the first byte tells the entry
    bits = {table[1 << bit]: bit for bit in range(8)}
    for place in range(size - 1, -1, -1):
        if change in bits:
            return place, bits[change]
        byte = back[change >> 24]
        change = ((change ^ table[byte]) << 8) & 0xFFFFFFFF | byte
    return None
