"""Pictures as PNG, without loss."""

import io

from ..vault.dtypes import NpArray
from .extra import extra


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
