"""Pictures of uint8: as PNG without loss, and back from PNG and JPEG."""

import io

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .extra import extra

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def is_picture(data: bytes) -> bool:
    """Says whether bytes begin as PNG or JPEG does.

    Example:
      >>> is_picture(png_bytes(np.zeros((2, 2, 3), np.uint8))), is_picture(bytes(12))
      (True, False)
    """
    return data.startswith(_SIGNATURES)


def png_bytes(pixels: NpArray, what: str = "Writing pictures as PNG") -> bytes:
    """Returns a picture `[height, width, 1 or 3 or 4]` of uint8 as PNG.

    Args:
      pixels: of the picture.
      what: needs Pillow, as a sentence begins.

    Raises:
      MissingExtraError: without Pillow.

    Example:
      >>> import numpy as np
      >>> png_bytes(np.zeros((2, 2, 3), np.uint8))[1:4]
      b'PNG'
    """
    image = extra("PIL.Image", "images", what)
    file = io.BytesIO()
    image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(data: bytes) -> NpArray:
    """Returns a picture's pixels `[height, width, channels]`, with the channels that it has.

    Raises:
      FormatError: if it cannot be decoded.
      MissingExtraError: without Pillow.

    Example:
      >>> pixels_of(png_bytes(np.full((1, 2, 1), 7, np.uint8))).tolist()
      [[[7], [7]]]
    """
    image = extra("PIL.Image", "images", "Decoding PNG and JPEG")
    try:
        with image.open(io.BytesIO(data)) as opened:
            kept = opened.mode in ("L", "RGB", "RGBA")
            pixels = np.asarray(opened if kept else opened.convert("L" if opened.mode == "1" else "RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise FormatError(f"a picture cannot be decoded: {error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels
