"""Libraries that only some formats need, imported when they are."""

import importlib
from typing import Any

from ..vault.errors import MissingExtraError


def extra(module: str, name: str, what: str) -> Any:
    """Imports a library of an extra.

    Args:
      module: to import, `pyarrow.parquet`.
      name: of the extra, `arrow`.
      what: needs it, as a sentence begins.

    Raises:
      MissingExtraError: if it is not installed.

    Example:
      >>> extra("json", "arrow", "Reading Parquet").dumps([1])
      '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs {module.split('.', maxsplit=1)[0]}: `pip install 'strongbax[{name}]'`. ({error})"
        ) from error
