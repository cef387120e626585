"""Buffers in the host's memory: the state lies where there is room, samples go to the device that learns.

`in_host_memory` takes a buffer and gives one with the same functions. They run on the host, compiled for its
processor, and only what was drawn crosses over. So a state may be larger than the device's memory.

JAX's memory kind `pinned_host` would let them run within a device's program. But JAX refuses to gather from
it or to write into it, unless every constant of the program lies there too; so the state lies on JAX's CPU
device, which every process has.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
from jax.core import Tracer

from .shares import OnShares
from .trajectory_buffer import TrajectoryBuffer

Buffer = TypeVar("Buffer", bound=TrajectoryBuffer[Any, Any, Any])

_WRITE = ("add", "set_priorities")


@dataclass(frozen=True)
class OnHost:
    """A function of a buffer that runs on the host.

    Attributes:
      name: of the function.
      function: that of the buffer.
      host: the device that is the host's processor.
      target: device or sharding that what it returns goes to; None: it stays on the host.
    """

    name: str
    function: Callable[..., Any]
    host: Any
    target: Any

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Runs it."""
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, named))):
            raise TypeError(
                f"`{self.name}` of a buffer in host memory must be called outside `jax.jit` and its like: it "
                "is a program of the host's own. Call it between the device's programs."
            )
        moved = {name: _put(value, self.host) for name, value in named.items()}
        made = self._compiled(*(_put(value, self.host) for value in args), **moved)
        return made if self.target is None else _put(made, self.target)

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jax.jit(self.function, donate_argnums=(0,) if self.name in _WRITE else ())


def in_host_memory(buffer: Buffer, device: Any = None) -> Buffer:
    """Returns the buffer with its state in the host's memory.

    Its functions are compiled already, and are to be called outside `jax.jit`. `add` and `set_priorities`
    write in place: **the state they are given is consumed**, as by a function that donates it. They return
    before the work is done, as everything in JAX: ask for the next sample before the device needs it, and
    the host draws it while the device works.

    Args:
      buffer: made by any `make_*_buffer`; not one that `shard` gave.
      device: where samples go: a device, or a sharding whose axes divide the batch. None: JAX's default.

    Returns:
      The buffer. Give `Vault.load` and `Vault.restore` the host, `device=jax.devices("cpu")[0]`.

    Raises:
      TypeError: if `buffer` is none of those.
      RuntimeError: if JAX was started without its CPU device.

    Example:
      >>> from .item_buffer import make_item_buffer
      >>> buffer = in_host_memory(make_item_buffer(max_length=8, min_length=1, sample_batch_size=4))
      >>> state = buffer.add(buffer.init(0), 7)
      >>> state.experience.devices() == {jax.devices("cpu")[0]}
      True
      >>> buffer.sample(state, jax.random.key(0)).experience
      Array([7, 7, 7, 7], dtype=int32)
    """
    given: Any = buffer
    if not isinstance(given, TrajectoryBuffer) or isinstance(given.add, OnShares):
        raise TypeError(
            "`buffer` must be a trajectory, flat, item or episode buffer that is not sharded: got "
            f"{type(given).__name__}. To feed a mesh from host memory give a sharding as `device`."
        )
    host = _host()
    target = jax.local_devices()[0] if device is None else device
    functions: dict[str, Any] = {"init": functools.partial(_init, init=buffer.init, host=host)}
    for name, function in buffer.items():
        if name != "init":
            goes = target if name in ("sample", "sample_epoch") else None
            functions[name] = OnHost(name, function, host, goes)
    return buffer.replace(**functions)


def _put(tree: Any, target: Any) -> Any:
    """Moves what is not there yet; to ask is ten times faster than to move nothing."""
    for leaf in jax.tree.leaves(tree):
        if not isinstance(leaf, jax.Array) or leaf.devices() != {target}:
            return jax.device_put(tree, target)
    return tree


def _init(experience: Any, *, init: Callable[[Any], Any], host: Any) -> Any:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(experience)):
        return init(experience)  # only shapes are asked for
    with jax.default_device(host):
        return jax.device_put(init(experience), host)


def _host() -> Any:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        platforms = sorted({device.platform for device in jax.local_devices()})
        raise RuntimeError(
            f"The host's memory is that of JAX's CPU device, and JAX was started with {platforms} alone. "
            f"Start it with both, `JAX_PLATFORMS={','.join([*platforms, 'cpu'])}`, or without that variable."
        ) from None
