"""Strict JAX, eight CPU devices, hypothesis profiles: the ground that every test stands on."""

import os
import signal

import hypothesis
import jax
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell began this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and processes begun here inherit it

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("default", max_examples=25, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=40, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("nightly", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


@pytest.fixture
def strongbax(capfd):
    """Runs the command line in this process: `code, output, error = strongbax("show", path)`."""
    from strongbax.__main__ import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        else:
            code = 0
        said = capfd.readouterr()
        return code, said.out, said.err

    return run
