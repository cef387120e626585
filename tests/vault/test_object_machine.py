"""The operations of `test_machine`, on vaults of object stores."""

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from strongbax.vault.bucket import Bucket
from test_machine import VaultMachine
from vault_death import Death, Killed

_numbers = itertools.count()


@contextmanager
def dying(death: Death) -> Generator[Death]:
    """As `vault_death.dying`: of the request that is interrupted the store may have heard or not."""
    with mock.patch.multiple(Bucket, **{name: _mortal(name, death) for name in ("put", "put_new", "delete")}):
        yield death


def _mortal(name: str, death: Death) -> Any:
    real = getattr(Bucket, name)

    def change(bucket: Bucket, *arguments: Any) -> Any:
        first, dead = death.meets()
        if first and death.share > 0.5:
            real(bucket, *arguments).result()
        if dead:
            raise Killed
        return real(bucket, *arguments)

    return change


class MemoryMachine(VaultMachine):
    """In TensorStore's memory."""

    dying = staticmethod(dying)

    def place(self) -> tuple[Any, Any]:
        return f"memory://machine/{next(_numbers)}.vault", None

    def clear(self) -> None:
        pass


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(stateful_step_count=30)


def machine_on(url: str, storage: Any) -> type[MemoryMachine]:
    """The same in a folder of another store."""

    class Machine(MemoryMachine):
        def place(self) -> tuple[Any, Any]:
            return f"{url}/{next(_numbers)}.vault", storage

    return Machine


def test_a_bucket_holds_what_the_model_holds(s3):
    """On S3, too, a vault holds what a list holds after the same operations, and after kills."""
    some = settings(max_examples=4, stateful_step_count=15)
    run_state_machine_as_test(machine_on(*s3), settings=some)


@pytest.mark.heavy
def test_a_bucket_holds_what_the_model_holds_for_long(s3):
    """As above, with many more operations."""
    many = settings(max_examples=60, stateful_step_count=30)
    run_state_machine_as_test(machine_on(*s3), settings=many)
