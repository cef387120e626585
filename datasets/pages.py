"""The page of a vault: one HTML file that shows it to whoever opens the folder in a browser.

It reads the vault beside it by HTTP, with range requests, and asks nobody for anything else. It is built of
`datasets/page/` by `make page`; what is shipped is the built file.
"""

from pathlib import Path

from ..vault.errors import NotFoundError
from .local import is_vault

FILE = "index.html"
BUILT = Path(__file__).parent / "page" / FILE


def page() -> bytes:
    """Gives the page, which is the same for every vault.

    Example:
      >>> page()[:15]
      b'<!doctype html>'
    """
    return BUILT.read_bytes()


def write_page(folder: str | Path) -> Path:
    """Writes the page beside a vault's root, as `index.html`; one that stands there is replaced.

    Args:
      folder: of a vault, closed: the page does not show what is in the log.

    Returns:
      The file.

    Raises:
      NotFoundError: if no vault is there.

    Example:
      >>> import numpy as np
      >>> from ..vault import Vault
      >>> Vault.create("shown.vault", steps={"reward": np.float32(0)}).close()
      >>> write_page("shown.vault").name
      'index.html'
    """
    folder = Path(folder)
    if not is_vault(folder):
        raise NotFoundError(
            f"`folder` must be a vault's: there is none at {str(folder)!r}. Check the path; a vault has a "
            "zarr.json."
        )
    file = folder / FILE
    file.write_bytes(page())
    return file
