"""A vault is built aside and put in place whole, so that a conversion that fails leaves no trace.

```
# .hopper.vault.converting-x1/lock      held as long as the conversion lives
#                            /vault     the new one, growing
#                            /replaced  the old one, for the moment between the two renames
```
What a killed conversion left behind goes when the next one to the same place begins.
"""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..vault.errors import AlreadyExistsError, LockedError
from ..vault.files import Lock, storage_errors, sync_directory
from ..vault.root import FILE, LOCK

_SIGN = ".converting-"


def check_free(dst: Path, *, overwrite: bool) -> None:
    """Checks that a vault may be put at a path.

    Raises:
      AlreadyExistsError: if something stands there, unless it is a vault that may be replaced.
      LockedError: if it is a vault that somebody is writing.

    Example:
      >>> check_free(Path("nothing.there"), overwrite=False)
    """
    if not dst.exists() or (dst.is_dir() and not any(dst.iterdir())):
        return
    is_vault = (dst / FILE).exists()
    if overwrite and is_vault:
        Lock(dst / LOCK).release()
        return
    mend = "pass overwrite=True to replace it" if is_vault else "it is no vault and is left alone"
    raise AlreadyExistsError(f"`dst` must be free: something stands at {dst}. Choose another path; {mend}.")


@contextmanager
def aside(dst: Path) -> Generator[Path]:
    """Gives a path beside `dst` to build at, and removes what stands there at the end.

    Args:
      dst: where the result is to be.

    Yields:
      A path that does not exist yet, on the file system of `dst`.

    Raises:
      StorageError: if the disk refuses.

    Example:
      >>> with aside(Path("result")) as path:
      ...     path.mkdir()
      ...     put_in_place(path, Path("result"))
      >>> sorted(entry.name for entry in Path().iterdir())
      ['result']
    """
    dst = dst.absolute()
    with storage_errors(dst, "make room for"):
        dst.parent.mkdir(parents=True, exist_ok=True)
        _sweep(dst)
        folder = Path(tempfile.mkdtemp(prefix=f".{dst.name}{_SIGN}", dir=dst.parent))
        lock = Lock(folder / "lock")
    try:
        yield folder / "vault"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def put_in_place(path: Path, dst: Path) -> None:
    """Moves what was built at a path of `aside` to its place; what stood there goes.

    Example:
      >>> with aside(Path("other")) as path:
      ...     path.mkdir()
      ...     put_in_place(path, Path("other"))
      >>> Path("other").is_dir()
      True
    """
    dst = dst.absolute()
    with storage_errors(dst, "put in place"):
        if dst.exists():
            dst.rename(path.with_name("replaced"))
        path.rename(dst)
        sync_directory(dst.parent)


def _sweep(dst: Path) -> None:
    """Removes what killed conversions left; one killed between the renames is finished."""
    for folder in list(dst.parent.iterdir()):
        if not folder.name.startswith(f".{dst.name}{_SIGN}") or not (folder / "lock").exists():
            continue  # something else, or another conversion that is just beginning
        try:
            lock = Lock(folder / "lock")
        except LockedError:
            continue
        if (folder / "replaced").exists() and (folder / "vault").exists() and not dst.exists():
            (folder / "vault").rename(dst)
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
