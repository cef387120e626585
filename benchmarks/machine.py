"""The machine a run was taken on, in a few lines that go above its table."""

import os
import platform
from importlib import metadata, util
from pathlib import Path

from .disk import MEMORY, file_system

_PACKAGES = ("jax", "tensorstore", "zarr", "numpy", "h5py", "flashbax", "torchrl", "torch", "cpprb")


def describe(directory: Path) -> dict[str, str]:
    """Describes processor, load, disk and versions."""
    kind = file_system(directory)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores; load {load} (1, 5, 15 minutes)",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "disk": kind
        + (": memory, where a flush costs no disk. Figures mean little." if kind in MEMORY else ""),
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(
            f"{name} {metadata.version(name)}" for name in _PACKAGES if util.find_spec(name)
        ),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor() or platform.machine()
