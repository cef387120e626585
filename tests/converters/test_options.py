"""An option of a format is refused where it is not one, or of another kind, before anything is read."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from strongbax.converters.exporting import WRITERS
from strongbax.converters.formats import FORMATS
from strongbax.converters.options import check_options


def function(
    *,
    skip: Sequence[str] = (),
    steps: Sequence[int] | None = None,
    horizon: int | None = None,
    keep: bool = False,
    name: str = "",
    environment: str | Mapping[str, object] | None = None,
    scale: float = 1.0,
) -> None:
    """Takes one option of each kind."""


KNOWN = ("skip", "steps", "horizon", "keep", "name", "environment", "scale")


@pytest.mark.parametrize(
    "options",
    [
        {"skip": ["a", "b"], "steps": (1, 2), "horizon": 3, "keep": True, "name": "x", "environment": {}},
        {"skip": (), "steps": None, "horizon": None, "environment": "x"},
        {"horizon": np.int64(3), "environment": None, "scale": "whatever"},
    ],
)
def test_what_fits_is_taken(options):
    """Values of the kind that is annotated pass, None where it may be, NumPy's integers too."""
    check_options("toy", function, KNOWN, options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip": 3}, "`skip` of the format toy must be a list, each item a text: got 3"),
        ({"skip": "infos"}, "a list, each item a text: got 'infos'"),
        ({"skip": [1]}, r"a list, each item a text: got \[1\]"),
        ({"steps": [True]}, "a list, each item a whole number"),
        ({"horizon": 2.5}, "a whole number: got 2.5"),
        ({"horizon": True}, "a whole number: got True"),
        ({"keep": 1}, "true or false: got 1"),
        ({"name": None}, "a text: got None"),
        ({"environment": 3}, "a text or an object: got 3"),
        ({"colour": "red"}, "`colour` is no option of the format toy; it has `skip`, `steps`"),
    ],
)
def test_what_does_not_fit_is_told(options, said):
    """The message names the option, the format, what was wanted and what came."""
    with pytest.raises(ValueError, match=said):
        check_options("toy", function, KNOWN, options)


@pytest.mark.parametrize("form", [*FORMATS, *WRITERS], ids=lambda form: f"{type(form).__name__} {form.name}")
def test_every_option_is_an_argument(form):
    """Each option that a format names is an annotated argument of its function."""
    function = form.read if hasattr(form, "read") else form.write
    assert set(form.options) <= set(function.__annotations__)
