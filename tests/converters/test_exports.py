"""What `strongbax.converters` offers: light until used, and what it says it is."""

import subprocess
import sys

import strongbax.converters
from strongbax.converters import formats, pipeline


def test_every_name_is_what_its_home_defines():
    """Each exported name leads to the function or class of that name, whatever was imported before."""
    assert strongbax.converters.convert is pipeline.convert
    for name in strongbax.converters.__all__:
        assert getattr(strongbax.converters, name).__name__ == name
    assert dir(strongbax.converters) == sorted(strongbax.converters.__all__)


def test_importing_it_imports_nothing_else():
    """Neither JAX nor h5py nor NumPy is imported before something is used."""
    code = (
        "import sys, strongbax.converters;"
        "heavy = {'jax', 'h5py', 'numpy', 'tensorstore'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_formats_have_names_of_their_own():
    """A format's name means one format."""
    names = [form.name for form in formats.FORMATS]
    assert len(set(names)) == len(names)
    assert "d4rl" in names
