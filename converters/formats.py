"""The formats that can be converted: a small value each, tried in this order.

A format is one file beside this one with a `detect` and a `read`; adding it means naming it here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..vault.errors import FormatError
from . import (
    d3rlpy,
    d4rl,
    d4rl_layout,
    dqn_replay,
    dsrl,
    flashbax,
    hf_dt,
    imitation,
    lerobot,
    minari,
    neorl,
    ogbench,
    plain_npz,
    rl_unplugged,
    rlds,
    robomimic,
    stable_baselines,
    torchrl,
)
from .source import Source


@dataclass(frozen=True)
class Format:
    """A foreign format.

    Attributes:
      name: what the user calls it.
      title: what its makers call it.
      detect: says whether a path holds it, from a look at its beginning.
      read: `read(path, entry, **options)` opens it as a source; `entry` is what the catalogue
        knows of it, or None.
      options: names of the options of `read`.
      notes_bad: whether `read` takes `bad`, a `Bad`, and notes there what it cannot look at.
    """

    name: str
    title: str
    detect: Callable[[Path], bool]
    read: Callable[..., Source]
    options: tuple[str, ...]
    notes_bad: bool = False


FORMATS = (
    Format(d3rlpy.NAME, "d3rlpy", d3rlpy.detect, d3rlpy.read, d3rlpy.OPTIONS, notes_bad=True),
    Format(dsrl.NAME, "DSRL", dsrl.detect, dsrl.read, dsrl.OPTIONS),
    Format(
        robomimic.NAME,
        "robomimic, robosuite",
        robomimic.detect,
        robomimic.read,
        robomimic.OPTIONS,
        notes_bad=True,
    ),
    Format(minari.NAME, "Minari", minari.detect, minari.read, minari.OPTIONS, notes_bad=True),
    Format(d4rl_layout.NAME, "D4RL HDF5", d4rl.detect, d4rl.read, d4rl.OPTIONS),
    Format(rlds.NAME, "RLDS (TFDS)", rlds.detect, rlds.read, rlds.OPTIONS, notes_bad=True),
    Format(
        rl_unplugged.NAME,
        "RL Unplugged",
        rl_unplugged.detect,
        rl_unplugged.read,
        rl_unplugged.OPTIONS,
        notes_bad=True,
    ),
    Format(lerobot.NAME, "LeRobot", lerobot.detect, lerobot.read, lerobot.OPTIONS, notes_bad=True),
    Format(
        hf_dt.NAME, "Decision Transformer Parquet", hf_dt.detect, hf_dt.read, hf_dt.OPTIONS, notes_bad=True
    ),
    Format(ogbench.NAME, "OGBench", ogbench.detect, ogbench.read, ogbench.OPTIONS, notes_bad=True),
    Format(neorl.NAME, "NeoRL and NeoRL-2", neorl.detect, neorl.read, neorl.OPTIONS),
    Format(
        dqn_replay.NAME,
        "DQN Replay (Dopamine)",
        dqn_replay.detect,
        dqn_replay.read,
        dqn_replay.OPTIONS,
        notes_bad=True,
    ),
    Format(torchrl.NAME, "TorchRL (TensorDict)", torchrl.detect, torchrl.read, torchrl.OPTIONS),
    Format(flashbax.NAME, "Flashbax Vault", flashbax.detect, flashbax.read, flashbax.OPTIONS),
    Format(imitation.NAME, "imitation", imitation.detect, imitation.read, imitation.OPTIONS),
    Format(
        stable_baselines.NAME,
        "Stable Baselines",
        stable_baselines.detect,
        stable_baselines.read,
        stable_baselines.OPTIONS,
    ),
    Format(plain_npz.NAME, "plain .npz", plain_npz.detect, plain_npz.read, plain_npz.OPTIONS),
)


def find_format(name: str | None, path: Path) -> Format:
    """Returns the format of a name, or the one that a path holds.

    Args:
      name: of a format; None looks at the path.
      path: of what is to be converted.

    Raises:
      ValueError: if no format has that name.
      FormatError: if no format recognises the path, or it cannot be read at all.

    Example:
      >>> find_format("d4rl", Path("anything")).title
      'D4RL HDF5'
    """
    names = ", ".join(form.name for form in FORMATS)
    if name is None:
        found = next((form for form in FORMATS if form.detect(path)), None)
        if found is None:
            raise FormatError(
                f"{path} is in none of the formats that are recognised by themselves ({names}). "
                "Name its format with `format=` to learn what is missing."
            )
        return found
    found = next((form for form in FORMATS if form.name == name), None)
    if found is None:
        raise ValueError(f"`format` must be one of {names}; got {name!r}.")
    return found
