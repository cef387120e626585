"""A copy of the package for the API pages, in which `datasets/` has an `__init__.py`; mkdocs calls it.

The pages' maker reads source, and takes a folder without one for no package. In the repository there must be
none, for it would hide Hugging Face's `datasets` from whoever works there.
"""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("buffer", "vault", "converters", "datasets")
# The pages' maker knows a section `Examples`, where we have one of one example mostly.
_EXAMPLE = re.compile(r"^( +)Example:$", re.MULTILINE)
PLACE = ROOT / "build" / "api" / "strongbax"


def on_startup(*, command: str, dirty: bool) -> None:
    """Makes the copy before anybody looks for it."""
    del command, dirty
    shutil.rmtree(PLACE, ignore_errors=True)
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__", "*.json", "*.js", "*.html")
        shutil.copytree(ROOT / part, PLACE / part, ignore=ignored)
    shutil.copy(ROOT / "__init__.py", PLACE)
    for file in PLACE.rglob("*.py"):
        text = file.read_text("utf-8")
        file.write_text(_EXAMPLE.sub(r"\1Examples:", text), encoding="utf-8")
    (PLACE / "datasets" / "__init__.py").write_text('"""What can be had."""\n', encoding="utf-8")
