"""Flashbax's import paths, served by our modules, so that unmodified code runs on them.

`install()` comes before the first import of `flashbax`, which need not be installed:

    import strongbax
    strongbax.flashbax_alias.install()
    import flashbax as fbx

A path that we do not serve is an error that says so. It is never the genuine one: that would take our states
for its own.
"""

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_ROOT = "flashbax"
_BUFFERS = "flashbax.buffers"
_SERVED = {
    "flat_buffer": "flat_buffer",
    "item_buffer": "item_buffer",
    "mixer": "mixer",
    "prioritised_flat_buffer": "prioritised_flat_buffer",
    "prioritised_item_buffer": "prioritised_item_buffer",
    "prioritised_trajectory_buffer": "prioritised_trajectory_buffer",
    "sum_tree": "flashbax_sum_tree",
    "trajectory_buffer": "trajectory_buffer",
    "trajectory_queue": "trajectory_queue",
}
_UTILS = "flashbax_utils"
# The buffers know no disk; only this stand-in for the whole of Flashbax knows where its Vault lives.
_VAULT = "..vault.flashbax_vault"
_MAKERS = (
    "make_flat_buffer",
    "make_item_buffer",
    "make_mixer",
    "make_prioritised_flat_buffer",
    "make_prioritised_item_buffer",
    "make_prioritised_trajectory_buffer",
    "make_trajectory_buffer",
    "make_trajectory_queue",
)


class _NotServed(importlib.abc.MetaPathFinder):
    """Refuses what lies below `flashbax` and is not ours."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        del path, target
        if fullname.startswith(f"{_ROOT}."):
            raise ModuleNotFoundError(
                f"`{fullname}` is not served: `strongbax.flashbax_alias` stands in for Flashbax's buffers, "
                "utils and Vault. For the genuine module leave `install()` out.",
                name=fullname,
            )


def install() -> None:
    """Registers our modules under Flashbax's import paths, for this process. Once is enough.

    Raises:
      ImportError: if the genuine Flashbax was imported before.

    Example:
      >>> import subprocess, sys
      >>> code = "import strongbax; strongbax.flashbax_alias.install(); import flashbax; print(flashbax)"
      >>> subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
      "<module 'flashbax' served by Strongbax>"
    """
    if _ROOT in sys.modules:
        if isinstance(sys.modules[_ROOT], _Served):
            return
        raise ImportError(
            "`install` must come before the first import of `flashbax`: the genuine one is already imported. "
            "Call `strongbax.flashbax_alias.install()` at the top of the program.",
            name=_ROOT,
        )
    _register()
    sys.meta_path.insert(0, _NotServed())


def _register() -> None:
    root, buffers, vault = _Served(_ROOT), _Served(_BUFFERS), _Served(f"{_ROOT}.vault")
    ours = importlib.import_module(__package__ or "")
    modules: dict[str, Any] = {name: _ours(file) for name, file in _SERVED.items()}
    makers = {name: getattr(ours, name) for name in _MAKERS}
    vars(buffers).update(modules, **makers)
    shown = {name: module for name, module in modules.items() if name != "sum_tree"}
    vars(root).update(shown, **makers, buffers=buffers, utils=_ours(_UTILS))
    vaults = importlib.import_module(_VAULT, __package__)
    vars(vault).update(Vault=vaults.Vault, vault=vaults)
    vars(root).update(vault=vault)
    sys.modules |= {_ROOT: root, _BUFFERS: buffers, f"{_ROOT}.utils": root.utils}
    sys.modules |= {vault.__name__: vault, f"{vault.__name__}.vault": vaults}
    sys.modules |= {f"{_BUFFERS}.{name}": module for name, module in modules.items()}


class _Served(ModuleType):
    """A package of Flashbax's, made of ours."""

    utils: ModuleType

    def __init__(self, name: str) -> None:
        super().__init__(name, "Served by Strongbax.")
        self.__path__ = []

    def __repr__(self) -> str:
        return f"<module '{self.__name__}' served by Strongbax>"


def _ours(file: str) -> ModuleType:
    return importlib.import_module(f".{file}", __package__)
