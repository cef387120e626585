"""One way from a vault into any format: write aside, read back and compare, rename.

```
# vault or view --episodes--> aside --read back by our own reader--> equal? --rename--> dst
```
What a format cannot hold is said before, in the report's notes; what it can hold arrives bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..vault.contents import Contents
from ..vault.errors import AlreadyExistsError
from . import (
    d3rlpy,
    d3rlpy_out,
    d4rl_layout,
    d4rl_out,
    flashbax,
    flashbax_out,
    lerobot,
    lerobot_out,
    minari,
    minari_out,
    ogbench,
    ogbench_out,
    plain_npz,
    rlds,
    rlds_out,
    robomimic,
    robomimic_out,
    torchrl,
    torchrl_out,
)
from .aside import aside, put_in_place
from .options import check_options

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Writer:
    """A format that vaults are written in.

    Attributes:
      name: what the user calls it.
      title: what its makers call it.
      write: `write(contents, path, progress, **options)` makes the file or folder at a path that does not
        exist yet, and returns what the format could not hold, a sentence each. It reads back what it wrote
        and raises `CorruptionError` where that is not what the vault holds.
      options: names of the options of `write`.
    """

    name: str
    title: str
    write: Callable[..., Sequence[str]]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
      path: of the file or folder.
      format: that was written.
      num_steps: written.
      num_episodes: written.
      notes: what the format cannot hold and what became of it, a sentence each.
    """

    path: Path
    format: str
    num_steps: int
    num_episodes: int
    notes: tuple[str, ...]


WRITERS: tuple[Writer, ...] = (
    Writer(d3rlpy.NAME, "d3rlpy", d3rlpy_out.write, d3rlpy_out.OPTIONS),
    Writer(d4rl_layout.NAME, "D4RL HDF5", d4rl_out.write, d4rl_out.OPTIONS),
    Writer(minari.NAME, "Minari", minari_out.write, minari_out.OPTIONS),
    Writer(robomimic.NAME, "robomimic", robomimic_out.write, robomimic_out.OPTIONS),
    Writer(ogbench.NAME, "OGBench", ogbench_out.write, ogbench_out.OPTIONS),
    Writer(rlds.NAME, "RLDS (TFDS)", rlds_out.write, rlds_out.OPTIONS),
    Writer(lerobot.NAME, "LeRobot v3.0", lerobot_out.write, lerobot_out.OPTIONS),
    Writer(torchrl.NAME, "TorchRL (TensorDict)", torchrl_out.write, torchrl_out.OPTIONS),
    Writer(flashbax.NAME, "Flashbax Vault", flashbax_out.write, flashbax_out.OPTIONS),
    Writer(plain_npz.NAME, "plain .npz", plain_npz.write, plain_npz.OUT_OPTIONS),
)


def export(
    contents: Contents,
    dst: str | Path,
    format: str,  # noqa: A002 - what users call it
    *,
    progress: Progress | None = None,
    **options: Any,
) -> ExportReport:
    """Writes a vault or a view in another format, and checks that nothing was lost that it can hold.

    Args:
      contents: a vault or a view; its episodes that ended.
      dst: where the file or folder is to be; nothing may stand there.
      format: its name.
      progress: called as `progress(done, total)`, in episodes.
      **options: of the format; docs/converters.md lists them.

    Raises:
      AlreadyExistsError: if something stands at `dst`.
      ValueError: if `format` or an option is not known, or the vault has no leaf that the format must have.
      CorruptionError: if what was written, read back, is not what the vault holds. In every case nothing is
        left at `dst`.

    Example:
      >>> import h5py, numpy as np
      >>> from strongbax.vault import Episode, Vault
      >>> step = {"observation": np.zeros(2), "action": np.zeros(1), "reward": np.zeros(())}
      >>> with Vault.create("toy.vault", steps=step) as vault:
      ...     rows = {name: np.zeros((3, *leaf.shape)) for name, leaf in step.items()}
      ...     id = vault.append(Episode(rows, terminated=True, truncated=False))
      ...     report = export(vault, "toy.hdf5", "d4rl")
      >>> report.num_steps, report.notes
      (3, ())
      >>> with h5py.File("toy.hdf5") as file:
      ...     file["terminals"][:].tolist()
      [False, False, True]
    """
    dst = Path(dst).expanduser()
    writer = find_writer(format)
    check_options(writer.name, writer.write, writer.options, options)
    if dst.exists():
        raise AlreadyExistsError(f"`dst` must be free: something stands at {dst}. Choose another path.")
    with aside(dst) as path:
        notes = writer.write(contents, path, progress or _silence, **options)
        put_in_place(path, dst)
    return ExportReport(dst, writer.name, int(contents.episodes["length"].sum()), len(contents), tuple(notes))


def find_writer(name: str) -> Writer:
    """Returns the writer of a format's name.

    Raises:
      ValueError: if there is none.
    """
    found = next((writer for writer in WRITERS if writer.name == name), None)
    if found is None:
        raise ValueError(f"`format` must be one of {[writer.name for writer in WRITERS]}: got {name!r}.")
    return found


def _silence(done: int, total: int) -> None:
    """Takes progress that nobody asked for."""
