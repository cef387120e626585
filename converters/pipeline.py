"""One way from any format into a vault: detect, read by blocks, write aside, check, rename.

```
# src --read--> blocks --extend--> aside --read back--> equal? --rename--> dst
#  '-------------------------------------read again-------'
```
A vault stands at `dst` only once it has been read back and found equal to the source.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..vault.attachments import attach
from ..vault.errors import NotFoundError
from ..vault.vault import Vault
from .ahead import ahead
from .aside import aside, check_free, put_in_place
from .check import check
from .formats import Format, find_format
from .provenance import Origin, inspect
from .skipping import Bad, readable
from .source import ReadAgain, Source, nest

# Read at a time. A few times this is in memory: as read, as hashed, and on its way to disk.
BLOCK_BYTES = 16 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
      path: of the vault.
      format: that the source was read as.
      dataset_id: of the catalogue's dataset that it is, or None.
      num_steps: in the vault, and in the source.
      num_episodes: in the vault, and in the source; a cut one at the end included.
      sha256: of each leaf's rows, by name; `next_observation` too where the source stores and the
        vault derives it.
      notes: what the reader decided on the way, a sentence each.
      skipped: what was left out since it cannot be read, with `skip_bad`: `unit` (the episode's number in the
        source, or that of what else can be read by itself) or `file`, and `why`, naming file, key and row.
    """

    path: Path
    format: str
    dataset_id: str | None
    num_steps: int
    num_episodes: int
    sha256: Mapping[str, str]
    notes: tuple[str, ...]
    skipped: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
      source: as it was read in the end.
      rows: steps that were read at a time.
      notes: why it was read otherwise than first assumed.
      bad: what was left out of it.
    """

    source: Source
    rows: int
    notes: tuple[str, ...]
    bad: Bad


def convert(
    src: str | Path,
    dst: str | Path,
    format: str | None = None,  # noqa: A002 - what users call it
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    **options: Any,
) -> ConversionReport:
    """Converts a dataset of another format into a vault, and checks that nothing was lost.

    Args:
      src: the file or folder.
      dst: where the vault is to be.
      format: the source's format; None recognises it.
      progress: called as `progress(done, total)`, in steps; every step counts twice, once written
        and once checked. Where a source has to be read a second time, `done` starts again.
      overwrite: replace the vault at `dst`, once the new one is complete.
      skip_bad: leave out what cannot be read, and say what that was; the source is read once more for it.
      **options: of the format; docs/converters.md lists them.

    Returns:
      What was done. The same stands in the vault's card.

    Raises:
      NotFoundError: if there is no `src`.
      AlreadyExistsError: if something stands at `dst` that is no vault, or is not to be replaced.
      FormatError: if the file is not what its format says; with `skip_bad`, if nothing of it can be read.
      CorruptionError: if the vault, read back, is not what the source was.
      ValueError: if `format` or an option is not known or does not fit.
      In every case `dst` is as it was.

    Example:
      >>> import h5py, numpy as np
      >>> with h5py.File("small.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(4.0)
      ...     file["terminals"], file["timeouts"] = np.eye(4)[1], np.zeros(4)
      >>> report = convert("small.hdf5", "small.vault")
      >>> report.num_steps, report.num_episodes
      (4, 2)
      >>> Vault.open("small.vault").card["provenance"]["file"]
      'small.hdf5'
    """
    src, dst = Path(src).expanduser(), Path(dst).expanduser()
    progress = progress or _silence
    if not src.exists():
        raise NotFoundError(f"`src` must be a file or folder; there is none at {src}.")
    check_free(dst, overwrite=overwrite)
    form = find_format(format, src)
    _check_options(form, options)
    origin = inspect(src)
    with aside(dst) as path:
        written = _write(form, origin, options, path, progress, skip_bad=skip_bad)
        source, steps = written.source, written.source.num_steps
        tally = check(path, source, written.rows, lambda n: progress(steps + n, 2 * steps))
        skipped = written.bad.to_list()
        facts = {**source.facts, "notes": list(written.notes), "skipped": skipped}
        card = dict(source.card) | origin.to_card(form.name, options, facts) | {"horizon": source.horizon}
        _sign(path, card | {"check": tally.to_dict()})
        put_in_place(path, dst)
    return ConversionReport(
        path=dst,
        format=form.name,
        dataset_id=None if origin.entry is None else origin.entry.id,
        num_steps=tally.num_steps,
        num_episodes=tally.num_episodes,
        sha256=tally.leaves,
        notes=written.notes,
        skipped=tuple(skipped),
    )


def _check_options(form: Format, options: dict[str, Any]) -> None:
    for name in options:
        if name not in form.options:
            raise ValueError(
                f"`{name}` is no option of the format {form.name}; "
                f"it has {', '.join(f'`{known}`' for known in form.options)}."
            )


def _write(
    form: Format,
    origin: Origin,
    options: Mapping[str, Any],
    path: Path,
    progress: Progress,
    *,
    skip_bad: bool,
) -> Written:
    """Writes the source, a second time with other options where it turns out to need them."""
    notes: tuple[str, ...] = ()
    while True:
        try:
            source, bad = _open(form, origin, options, skip_bad=skip_bad)
            rows = _write_once(source, path, progress)
        except ReadAgain as again:
            notes, options = (*notes, again.why), {**options, **again.options}
        else:
            return Written(source, rows, notes, bad)


def _open(form: Format, origin: Origin, options: Mapping[str, Any], *, skip_bad: bool) -> tuple[Source, Bad]:
    def read(bad: Bad) -> Source:
        noting = {"bad": bad} if form.notes_bad else {}
        return form.read(origin.path, origin.entry, **noting, **options)

    return readable(read, BLOCK_BYTES) if skip_bad else (read(Bad()), Bad())


def _write_once(source: Source, path: Path, progress: Progress) -> int:
    done = 0
    with Vault.create(
        path,
        steps=nest(source.example),
        finals=list(source.finals),
        columns=dict(source.columns),
        attributes=dict(source.attributes),
        overwrite=True,
    ) as vault:
        rows = _rows_at_a_time(source, vault.block_steps)
        for block in ahead(source.blocks(rows)):
            vault.extend(nest(block.steps), ends=block.ends)
            done += block.num_steps
            progress(done, 2 * source.num_steps)
    attach(path, source.arrays)
    return rows


def _rows_at_a_time(source: Source, block_steps: int) -> int:
    """Whole blocks of the vault, so that each is written once."""
    step_bytes = sum(leaf.nbytes for leaf in source.example.values())
    return max(1, BLOCK_BYTES // (step_bytes * block_steps)) * block_steps


def _sign(path: Path, card: Mapping[str, Any]) -> None:
    with Vault.open(path, mode="a") as vault:
        vault.write_card(dict(card))


def _silence(done: int, total: int) -> None:
    """Takes progress that nobody asked for."""
