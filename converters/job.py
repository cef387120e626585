"""A job: an order with its source opened, cut into shares that processes write side by side.

Where the shares begin depends on the source alone, so the vault is the same whoever writes them.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.assembly import prepare
from ..vault.describe import describe
from ..vault.errors import NotFoundError
from ..vault.files import replace as replace_file
from ..vault.files import storage_errors
from ..vault.schema import Schema
from ..vault.share import Share, Span
from .bad import Bad
from .formats import Format, find_format
from .options import check_options
from .order import Order, fingerprint, orders, save, work_of
from .provenance import Origin, inspect, origin_of
from .skipping import readable, without
from .source import Source, named, nest

# Of a vault, one share: a second's work or a few, and much more than the block that is copied at its edge.
SHARE_BYTES = 256 << 20
# Read at a time, or a block of the vault. Some ten times this is in memory: read ahead, as read, on its way
# to disk; then of source and vault each, compared and hashed.
BLOCK_BYTES = 8 << 20
_BAD = "bad.json"  # what is left out, found once


@dataclass(frozen=True)
class Job:
    """A conversion, ready to be worked at; a pickle of it does the same elsewhere.

    Attributes:
      order: what is to be made.
      dst: where the vault is to be.
      folder: in which it is made.
      origin: where the source comes from.
      source: opened.
      skipped: what was left out of it; see `Bad.to_list`.
      schema: of the vault.
      bounds: the unit with which each share begins, and the number of units.
      rows: steps that are read at a time.
    """

    order: Order
    dst: Path
    folder: Path
    origin: Origin
    source: Source
    skipped: tuple[Mapping[str, Any], ...]
    schema: Schema
    bounds: tuple[int, ...]
    rows: int

    @property
    def num_shares(self) -> int:
        """How many shares there are."""
        return len(self.bounds) - 1

    @property
    def vault(self) -> Path:
        """The folder of the vault while it grows."""
        return self.folder / "vault"

    def units(self, number: int) -> tuple[int, int]:
        """Returns the first unit of a share, and the unit after its last."""
        return self.bounds[number], self.bounds[number + 1]

    def span(self, number: int) -> Span:
        """Returns the steps of a share."""
        stops = np.concatenate([[0], np.cumsum(self.source.lengths)])
        first, last = self.units(number)
        return Span(int(stops[first]), int(stops[last]), int(stops[-1]))

    def record(self, number: int) -> Path:
        """Returns the file that says that a share is whole."""
        return self.folder / f"share-{number}.json"

    def share(self, number: int) -> Share | None:
        """Returns a share that is whole, or None."""
        try:
            found: dict[str, Any] = json.loads(self.record(number).read_text("utf-8"))
        except FileNotFoundError:
            return None
        share = Share.from_dict(self.folder / found["folder"], found["share"])
        as_here = (share.span, found["block"]) == (self.span(number), self.schema.block)
        return share if as_here else None

    def missing(self) -> list[int]:
        """Returns the numbers of the shares that are not whole."""
        return [number for number in range(self.num_shares) if self.share(number) is None]


def order_of(
    src: Path,
    dst: Path,
    format: str | None,  # noqa: A002 - what users call it
    options: Mapping[str, Any],
    *,
    skip_bad: bool,
    share_bytes: int,
) -> Order:
    """Returns the order for a conversion: the one that was begun, or a new one.

    Raises:
      NotFoundError: if there is no `src`.
      ValueError, FormatError: if `format` or an option is not known or does not fit.
    """
    if not src.exists():
        raise NotFoundError(f"`src` must be a file or folder; there is none at {src}.")
    if share_bytes < 1:
        raise ValueError(f"`share_bytes` must be a number of bytes: got {share_bytes}.")
    form = find_format(format, src)
    check_options(form.name, form.read, form.options, options)
    given = json.loads(json.dumps(dict(options), default=str))
    files = fingerprint(src)
    wanted = Order(files, 0, "", form.name, given, given, (), skip_bad, share_bytes)
    begun = [
        one
        for one in orders(work_of(dst))
        if replace(one, size=0, sha256="").follows(wanted) and _is_whole(one, dst)
    ]
    if begun:
        return max(begun, key=lambda one: len(one.notes))
    origin = inspect(src)
    return replace(wanted, size=origin.size, sha256=origin.sha256)


def open_job(order: Order, src: Path, dst: Path) -> Job:
    """Opens the source of an order, and cuts it into shares.

    Raises:
      ReadAgain: if the source is to be read otherwise; `Order.again` says how.
      FormatError: if the source is not what its format says.
      ValueError: if an option does not fit.
      StorageError: if the disk refuses.
    """
    form, dst = find_format(order.form, src), dst.absolute()
    origin = origin_of(src, order.size, order.sha256, order.options)
    source, bad = _open(form, origin, order, work_of(dst) / order.name / _BAD)
    schema = describe(
        nest(source.example),
        1,
        roles=None,
        finals=list(source.finals),
        codec=None,
        columns=dict(source.columns),
        block=None,
    )
    bounds = _bounds(source, max(1, order.share_bytes // max(1, schema.step_bytes)))
    with storage_errors(dst, "make room for"):
        folder = save(order, work_of(dst))
        prepare(folder / "vault", schema)
        if order.skip_bad and not (folder / _BAD).exists():
            replace_file(folder / _BAD, json.dumps([list(bad.units.items()), bad.files]).encode())
    rows, skipped = _rows_at_a_time(source, schema.block), tuple(bad.to_list())
    return Job(order, dst, folder, origin, source, skipped, schema, bounds, rows)


def _open(form: Format, origin: Origin, order: Order, known: Path) -> tuple[Source, Bad]:
    """Opens the source, without what cannot be read where that is asked for."""

    def read(bad: Bad) -> Source:
        noting = {"bad": bad} if form.notes_bad else {}
        return named(form.read(origin.path, origin.entry, **noting, **order.options), origin.path)

    if not order.skip_bad:
        return read(Bad()), Bad()
    if not known.exists():
        return readable(read, BLOCK_BYTES)
    units, files = json.loads(known.read_text("utf-8"))
    bad = Bad(allowed=True, units=dict(units), files=files)
    return without(read(bad), bad.units), bad


def forget(order: Order, dst: Path) -> None:
    """Removes what was done for an order."""
    shutil.rmtree(work_of(dst) / order.name, ignore_errors=True)


def _is_whole(order: Order, dst: Path) -> bool:
    return (work_of(dst) / order.name / "vault").is_dir()


def _bounds(source: Source, steps: int) -> tuple[int, ...]:
    """Cuts units into shares of about so many steps, at the units that begin nearest to its multiples."""
    stops = np.cumsum(source.lengths)
    wanted = np.arange(steps, source.num_steps, steps)
    after = np.minimum(np.searchsorted(stops, wanted), len(stops) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(wanted - stops[before] < stops[after] - wanted, before, after) + 1
    return tuple(np.unique(np.concatenate([[0], nearest, [source.num_units]])).tolist())


def _rows_at_a_time(source: Source, block_steps: int) -> int:
    """Whole blocks of the vault, so that each is written once."""
    step_bytes = sum(leaf.nbytes for leaf in source.example.values())
    return max(1, BLOCK_BYTES // (step_bytes * block_steps)) * block_steps
