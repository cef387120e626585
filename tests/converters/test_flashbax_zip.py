"""og-marl's Zip files of Flashbax's vaults: one of them chosen, read where it stands."""

import zipfile
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from strongbax.converters import convert, flashbax
from strongbax.converters.formats import find_format
from strongbax.datasets.cache import load_dataset
from strongbax.vault.errors import CorruptionError, FormatError
from strongbax.vault.vault import Vault
from test_flashbax import SAMPLES, agents, save
from test_units import assert_units_are_whole

UIDS = ("Good", "Medium", "Poor")


def made_of(number: int) -> dict[str, np.ndarray]:
    made = agents()
    made["rewards"] = made["rewards"] + np.float32(number)
    return made


def zipped(path: Path, folder: Path, method: int = zipfile.ZIP_DEFLATED, **more: bytes) -> Path:
    """Packs a folder under its own name, as og-marl's files are packed; `more` are further files."""
    with zipfile.ZipFile(path, "w", method) as file:
        for one in sorted(folder.rglob("*")):
            file.write(one, one.relative_to(folder.parent))
        for name, data in more.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, uid in enumerate(UIDS):
        save(tmp_path / "3m.vlt" / uid, made_of(number), {"uid": uid})
    return tmp_path / "3m.vlt"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_vault_is_read_as_its_folder_is(tmp_path: Path, folder: Path, method: int):
    """Whichever is asked for, packed or stored, its vault is the folder's; nothing is unpacked to disk."""
    path = zipped(tmp_path / "some.zip", folder, method)
    before = {one.name for one in tmp_path.iterdir()}
    assert find_format(None, path).name == "flashbax"
    for uid in UIDS:
        report = convert(path, tmp_path / "v", uid=uid, overwrite=True)
        assert report.sha256 == convert(folder / uid, tmp_path / "w", overwrite=True).sha256
        with Vault.open(tmp_path / "v") as vault:
            assert vault.attributes == {"uid": uid}
            assert vault[0].steps["observation"].shape == (3, 2, 3)
            assert vault.episodes["return"].shape == (4, 2)
            assert vault.card["provenance"]["source"]["vault"] == uid
    assert {one.name for one in tmp_path.iterdir()} == before | {"v", "w"}
    assert_units_are_whole(flashbax.read(path, uid="Poor"), [1, 3])


def test_of_several_vaults_one_must_be_named(tmp_path: Path, folder: Path):
    """Several without a name, and names that are not there, list those that are; a single one needs none."""
    path = zipped(tmp_path / "3m.zip", folder)
    for options in ({}, {"uid": "Best"}):
        with pytest.raises(ValueError, match=r"`uid` must name one of .*which are Good, Medium, Poor: got"):
            convert(path, tmp_path / "v", **options)
    with pytest.raises(ValueError, match=r"which are Good, Medium, Poor: got None"):
        convert(folder, tmp_path / "v")
    assert convert(folder, tmp_path / "v", uid="Good").num_steps == 10
    only = zipped(tmp_path / "one.zip", folder / "Poor")
    assert convert(only, tmp_path / "w").num_steps == 10


def test_names_that_lead_out_lead_nowhere(tmp_path: Path, folder: Path):
    """Files named to stand elsewhere are written nowhere, and junk beside the vaults is none."""
    bad = {"../evil.txt": b"x", "/tmp/evil.txt": b"x", "__MACOSX/3m.vlt/Good/._manifest.ocdbt": b"x"}
    (tmp_path / "in").mkdir()
    path = zipped(tmp_path / "in/3m.zip", folder, **bad)
    assert convert(path, tmp_path / "in/v", uid="Good").num_steps == 10
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/tmp/evil.txt").exists()
    (escape,) = [zipped(tmp_path / "in/b.zip", tmp_path / "in/v/zarr.json", **bad)]
    assert not flashbax.detect(escape)


def test_the_dataset_is_the_one_that_was_asked_for(tmp_path: Path, folder: Path):
    """Several datasets are in one file: the card names the one whose vault was read."""
    path = zipped(tmp_path / "3s5z_vs_3s6z.zip", folder)
    for uid in ("Good", "Poor"):
        report = convert(path, tmp_path / "v", uid=uid, overwrite=True)
        assert report.dataset_id == f"OG-MARL/og_marl/smac_v1/3s5z_vs_3s6z/{uid}-v0"


def test_damaged_files_are_refused(tmp_path: Path, folder: Path):
    """A file that is cut off, and a database with other bytes, are different errors; nothing is left."""
    path = zipped(tmp_path / "3m.zip", folder, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FormatError, match=r"3m.zip cannot be opened as a Zip file"):
        convert(path, tmp_path / "v", uid="Good")
    largest = max((folder / "Good/d").iterdir(), key=lambda one: one.stat().st_size)
    at = whole.index(largest.read_bytes()[:64])
    path.write_bytes(whole[: at + 20] + bytes(40) + whole[at + 60 :])
    with pytest.raises(CorruptionError):
        convert(path, tmp_path / "v", uid="Good")
    empty = zipped(tmp_path / "empty.zip", folder / "Good/d")
    assert not flashbax.detect(empty)
    with pytest.raises(FormatError, match="is no vault that Flashbax wrote"):
        flashbax.read(empty)
    assert not (tmp_path / "v").exists()


def test_what_flashbax_itself_wrote(tmp_path: Path):
    """A vault of Flashbax's own writer comes out of a Zip file as out of its folder."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    path = zipped(tmp_path / "pendulum.zip", SAMPLES.parent)
    report = convert(path, tmp_path / "v", uid="Random")
    assert report.sha256 == convert(SAMPLES, tmp_path / "w").sha256


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Generator[tuple[Path, str]]:
    """A folder, and the address that it is served at."""
    (tmp_path / "mirror").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "mirror"))
    Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "mirror", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_dataset_by_its_name(tmp_path: Path, folder: Path, mirror: tuple[Path, str]):
    """`load_dataset` downloads the Zip file and opens the vault of the quality that the name says."""
    zipped(mirror[0] / "3m.zip", folder)
    name = "og_marl/smac_v1/3m/Medium"
    with load_dataset(name, folder=tmp_path / "cache", mirrors=[mirror[1]]) as vault:
        assert vault.card["dataset_id"] == "OG-MARL/og_marl/smac_v1/3m/Medium-v0"
        np.testing.assert_array_equal(vault[0].steps["reward"], made_of(1)["rewards"][0, :3])
    assert not list((tmp_path / "cache").rglob("*.zip"))
