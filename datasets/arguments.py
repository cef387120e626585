"""Arguments that several commands take: where a vault lies, and whether to print JSON.

A vault is named by its folder, by its URL, or by the id of a dataset that was fetched.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import completing

if TYPE_CHECKING:
    from ..vault import Vault
    from ..vault.location import Location


def place(text: str) -> "Location":
    """Returns where a vault lies that is named on the command line.

    Args:
      text: a folder; a URL, taken at the endpoint that the environment names; or the id or an alias of a
        dataset, which is that dataset's folder in the cache where it was fetched.

    Raises:
      typer.BadParameter: if it is a URL that names no vault.

    Example:
      >>> place("hopper.vault")
      PosixPath('hopper.vault')
    """
    if "://" not in text:
        path = Path(text)  # what needs no vault need not import it
        return path if path.exists() else _fetched(text) or path
    from ..vault.location import location_of

    try:
        return location_of(text, storage_of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def storage_of(text: str) -> dict[str, str] | None:
    """Returns how an S3 bucket is reached as the environment says; None for all else.

    Example:
      >>> storage_of("hopper.vault")
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL") if text.startswith("s3://") else None
    return {"endpoint": endpoint} if endpoint else None


def open_vault(path: "Location") -> "Vault":
    """Opens a vault for reading.

    Raises:
      NotFoundError: if none is there; of a dataset that is known and not fetched it says how to.
    """
    from ..vault import NotFoundError, Vault

    try:
        return Vault.open(path)
    except NotFoundError as error:
        _say_fetch(str(path))
        raise error from None


def _fetched(name: str) -> Path | None:
    """The folder of a dataset in the cache, if it is one and is there."""
    from .catalogue import known
    from .local import datasets_path, is_vault

    entry = known(name)
    folder = None if entry is None else datasets_path() / entry.id
    return folder if folder is not None and is_vault(folder) else None


def _say_fetch(name: str) -> None:
    from ..vault import NotFoundError
    from .catalogue import known

    if known(name) is not None:
        raise NotFoundError(
            f"The dataset {name!r} has not been fetched yet. Do so first: strongbax fetch {name}"
        ) from None


Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
# A Path by name, so that the help says so; `place` makes it a place in an object store where a URL is given.
VaultPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        parser=place,
        help="Folder of a vault, its URL, or the id of a fetched dataset.",
        autocompletion=completing.vaults_and_datasets,
    ),
]
VaultFolder = Annotated[
    Path, typer.Argument(metavar="PATH", help="Folder of a vault.", autocompletion=completing.vaults)
]
Target = Annotated[Path, typer.Argument(metavar="DST", help="Vault to make.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the vault at DST.")]
