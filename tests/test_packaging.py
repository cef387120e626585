"""The repository root is the package: what stands here is shipped, and it runs elsewhere."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("buffer", "vault", "converters", "datasets")
SHIPPED_ROOT_FILES = ("pyproject.toml", "README.md", "LICENSE", "py.typed", "__init__.py")


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(code: str, *, path: Path | None = None, cwd: Path | None = None) -> str:
    """What a fresh interpreter prints; with `path`, only what is installed there is `strongbax`."""
    prelude = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    done = subprocess.run(
        [sys.executable, "-c", prelude + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_listed_packages_are_the_folders():
    """The packages that setuptools ships are exactly the parts that hold Python files."""
    listed = set(settings()["tool"]["setuptools"]["packages"])
    folders = {path.parent for part in PARTS for path in (ROOT / part).rglob("*.py")}
    dotted = {".".join(("strongbax", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert listed == {"strongbax"} | dotted


def test_root_holds_two_python_files():
    """Every Python file at the root is shipped, so there are only the package's own two."""
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_datasets_is_no_regular_package():
    """No `datasets/__init__.py` hides Hugging Face's `datasets` from whoever starts Python here."""
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_types_are_checked_everywhere():
    """Pyright checks every shipped file in strict mode; nothing is left out."""
    pyright = settings()["tool"]["pyright"]
    assert set(pyright["include"]) == {*PARTS, "__init__.py", "__main__.py"}
    assert pyright["typeCheckingMode"] == "strict"
    assert not {"exclude", "ignore", "basic", "off"} & set(pyright)


def test_versions_agree():
    """The version that the package tells is the one that is built."""
    assert python("import strongbax; print(strongbax.__version__)") == settings()["project"]["version"]


@pytest.mark.parametrize("heavy", ["jax", "numpy", "tensorstore", "zarr", "h5py", "rich", "typer"])
def test_import_is_instant(heavy):
    """`import strongbax` imports none of the libraries that take time."""
    assert python(f"import sys, strongbax; print({heavy!r} in sys.modules)") == "False"


def test_listing_datasets_imports_no_jax():
    """`strongbax list remote` answers without JAX, NumPy's peers or any storage library."""
    code = """
import sys
from strongbax.__main__ import main
try:
    main(["list", "remote", "--json"])
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
heavy = {"jax", "tensorstore", "zarr", "h5py"} & set(sys.modules)
sys.stderr.write(str(sorted(heavy)))
assert not heavy, heavy
"""
    assert python(code).startswith("[")


def test_lazy_names_resolve():
    """Every name that the package offers is there, and `dir` lists it."""
    code = """
import strongbax
for name in strongbax.__all__:
    getattr(strongbax, name)
assert set(strongbax.__all__) <= set(dir(strongbax))
try:
    strongbax.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise SystemExit("an unknown name was found")
"""
    assert python(code) == ""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The built wheel, from a copy: building in place would leave a `build/` and read it again."""
    source = tmp_path_factory.mktemp("source")
    for name in (*SHIPPED_ROOT_FILES, *{path.name for path in ROOT.glob("*.py")}):
        shutil.copy2(ROOT / name, source / name)
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    output = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output, source],
        check=True,
        capture_output=True,
    )
    (built,) = output.glob("*.whl")
    return built


def test_wheel_holds_what_is_needed(wheel):
    """The wheel holds every module, the type marker, the catalogue, the licence, and no test."""
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path for part in PARTS for path in (ROOT / part).rglob("*.py")}
    data = {*(ROOT / "datasets").glob("*.json"), ROOT / "datasets/page/index.html"}
    wanted = {f"strongbax/{path.relative_to(ROOT).as_posix()}" for path in modules | data}
    assert data
    assert wanted <= names
    assert {"strongbax/__init__.py", "strongbax/__main__.py", "strongbax/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"strongbax"}
    assert not [name for name in names if name.startswith(("strongbax/tests", "strongbax/docs"))]


def test_wheel_runs_where_it_is_installed(wheel, tmp_path):
    """Installed somewhere else, the wheel imports from there and its command line answers."""
    target = tmp_path / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--target", target, wheel),
        ],
        check=True,
        capture_output=True,
    )
    where = python("import strongbax.datasets.catalogue as c; print(c.__file__)", path=target)
    assert Path(where).is_relative_to(target)
    code = """
import runpy
sys.argv = ["strongbax", "--version"]
runpy.run_module("strongbax", run_name="__main__")
"""
    assert settings()["project"]["version"] in python(code, path=target, cwd=tmp_path)
