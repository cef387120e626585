"""The page where it is hosted: beside a vault on a web server or in a bucket, whole or damaged."""

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from page_serving import serving
from page_vaults import LENGTHS, rich_episodes
from strongbax.datasets.pages import BUILT, write_page
from strongbax.vault import Episode, Vault
from strongbax.vault.manifest import write_manifest
from strongbax.vault.pointer import Record

pytestmark = pytest.mark.heavy

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/t; proxy_temp_path {folder}/t;
  fastcgi_temp_path {folder}/t; uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  types {{ text/html html; application/json json; }}
  server {{
    listen 127.0.0.1:{port};
    root {root};
    add_header Access-Control-Allow-Origin * always;
    add_header Access-Control-Expose-Headers "Content-Length, Content-Range, ETag" always;
    if ($request_method = OPTIONS) {{ return 204; }}
    add_header Access-Control-Allow-Headers Range always;
  }}
}}
"""


@pytest.fixture(scope="module")
def published(rich, tmp_path_factory) -> Path:
    """A folder of web pages, with the vault and its page at `sets/rich.vault/`."""
    root = tmp_path_factory.mktemp("www")
    shutil.copytree(rich, root / "sets" / "rich.vault")
    write_page(root / "sets" / "rich.vault")
    for path in (root, *root.parents):
        path.chmod(path.stat().st_mode | 0o055)  # nginx reads as another user
        if path.parent == Path("/tmp"):
            break
    return root


@contextmanager
def nginx(root: Path, folder: Path) -> Generator[str]:
    """Serves a folder with nginx; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as free:
        port = free.server_port
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, root=root))
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class Quiet(SimpleHTTPRequestHandler):
    """Python's own server: it sends whole files, whatever range it is asked for."""

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        with suppress(ConnectionError):
            super().copyfile(source, outputfile)


@contextmanager
def whole_files(root: Path) -> Generator[str]:
    def handler(*arguments):
        return Quiet(*arguments, directory=str(root))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def check_shown(page) -> None:
    """Numbers of the first episode are the vault's."""
    page.ready(2)
    assert page.column("length") == [str(length) for length in LENGTHS]
    page.wait_text("[data-leaf=observation] output", ".")
    shown = float(page.locator("[data-leaf=observation] output").first.inner_text())
    assert shown == pytest.approx(rich_episodes()[0].steps["observation"][0, 0], rel=1e-3)


@pytest.mark.skipif(NGINX is None, reason="nginx is missing: apt-get install nginx-light")
def test_beside_a_vault_on_nginx(open_page, published, tmp_path):
    """Beside a published vault on nginx the page shows it; a second look at another address works too."""
    with nginx(published, tmp_path) as url:
        page = open_page(f"{url}/sets/rich.vault/")
        check_shown(page)
        assert page.said == []
        # From a page elsewhere, by its address: another origin, allowed by CORS.
        with whole_files(published) as other:
            page = open_page(f"{other}/sets/rich.vault/index.html?vault={url}/sets/rich.vault")
            check_shown(page)
            assert page.said == []


def test_in_a_bucket(open_page, published, monkeypatch):
    """In a bucket that lets everybody read it, the page shows the vault beside it; from elsewhere too."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        rules = {
            "AllowedMethods": ["GET", "HEAD"],
            "AllowedOrigins": ["*"],
            "AllowedHeaders": ["Range"],
            "ExposeHeaders": ["Content-Range", "Content-Length", "ETag"],
        }
        client.create_bucket(Bucket="sets", ACL="public-read")
        client.put_bucket_cors(Bucket="sets", CORSConfiguration={"CORSRules": [rules]})
        folder = published / "sets" / "rich.vault"
        for path in (path for path in folder.rglob("*") if path.is_file()):
            kind = "text/html" if path.suffix == ".html" else "application/octet-stream"
            key = f"rich.vault/{path.relative_to(folder).as_posix()}"
            client.put_object(
                Bucket="sets", Key=key, Body=path.read_bytes(), ContentType=kind, ACL="public-read"
            )
        page = open_page(f"{endpoint}/sets/rich.vault/index.html")
        check_shown(page)
        assert page.said == []
        with whole_files(published) as other:
            page = open_page(f"{other}/sets/rich.vault/?vault={endpoint}/sets/rich.vault/")
            check_shown(page)
    finally:
        server.stop()


def test_a_server_without_ranges(open_page, published):
    """Where a server sends whole files only, small ones are read, and it says that this is slow."""
    with whole_files(published) as url:
        page = open_page(f"{url}/sets/rich.vault/")
        check_shown(page)
        page.wait_text("#notices", "whole files instead of ranges")


def test_nobody_else_is_asked(open_page, rich_url):
    """Everything comes from the server of the vault: the page works without a network."""
    page = open_page(rich_url).ready()
    page.locator("#steps").scroll_into_view_if_needed()
    page.wait_text("#steps td", "all steps")
    hosts = {url.split("/")[2] for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {rich_url.split("/")[2]}


def test_little_is_read(open_page, many_url):
    """Of a vault of 34 MB the first look reads the table and one episode, in few requests."""
    page = open_page(many_url).ready()
    sizes = page.evaluate(
        "() => performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)"
    )
    assert sizes < 6e6
    assert len(page.asked) < 40


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_is_too_small(open_page, rich_url, width):
    """Nothing stands beyond the edge of the window, on a telephone neither, when everything is opened."""
    page = open_page(rich_url, viewport={"width": width, "height": 800}).ready()
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.locator("#steps").scroll_into_view_if_needed()
    page.wait_text("#steps td", "all steps")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_touching(open_page, rich_url):
    """On a telephone a touch in a chart goes to that step."""
    page = open_page(f"{rich_url}#episode=2", viewport={"width": 390, "height": 800}, has_touch=True).ready()
    chart = page.locator("[data-leaf=reward] .u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.wait_for_function("() => Math.abs(document.querySelector('.player input').value - 37) <= 1")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours(open_page, rich_url, system):
    """The page is dark or light as the system is; the button turns that, and it is remembered."""
    page = open_page(rich_url, color_scheme=system).ready()

    def is_dark():
        found = page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)[0]")
        return int(found) < 100

    assert is_dark() == (system == "dark")
    page.click("#theme")
    assert is_dark() == (system == "light")
    page.reload()
    page.ready()
    assert is_dark() == (system == "light")
    assert page.said == []


def test_a_file_says_how_to_open_it(open_page, published):
    """Opened from the disk, the page says how it is to be opened."""
    page = open_page((published / "sets" / "rich.vault" / "index.html").as_uri())
    page.wait_text("#notices", "strongbax view")


def test_the_newest_publication(open_page, published, tmp_path):
    """Named by the place of its publications in a bucket, the newest revision is shown."""
    record = Record("toy/rich-v0", 3, "ab" * 16, "ab" * 32, files=9, size=9)
    shutil.copytree(published / "sets" / "rich.vault", tmp_path / "walk" / "revisions" / record.revision)
    (tmp_path / "walk" / "publication.json").write_bytes(record.encode())
    (tmp_path / "index.html").write_bytes(BUILT.read_bytes())
    with whole_files(tmp_path) as url:
        check_shown(open_page(f"{url}/?vault=walk"))


@pytest.fixture
def damaged(published, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(published / "sets" / "rich.vault", tmp_path / "damaged.vault"))


def shard(folder: Path, array: str) -> Path:
    (found,) = (path for path in (folder / array).iterdir() if path.name.startswith("c."))
    return found


def test_a_missing_shard(open_page, damaged):
    """A shard that is not there is named where its leaf should be; the other leaves are shown."""

    shard(damaged, "steps/wide").unlink()
    with serving(damaged) as url:
        page = open_page(f"{url}#episode=0&leaf=wide").ready()
        page.wait_text("details[data-leaf=wide] .notice", "missing: steps/wide/c.0.0.0")
        check_shown(page)


@pytest.mark.parametrize("leaf", ["wide", "observation", "reward"])
def test_a_wrong_byte(open_page, damaged, leaf):
    """One flipped bit of a leaf is told, in whichever codec; wrong numbers are never drawn."""

    path = shard(damaged, f"steps/{leaf}")
    data = bytearray(path.read_bytes())
    data[100] ^= 16
    path.write_bytes(data)
    with serving(damaged) as url:
        page = open_page(f"{url}#episode=0&leaf={leaf}").ready()
        page.wait_text(f"details[data-leaf='{leaf}'] .notice", f"steps/{leaf}: A chunk is damaged")
        assert page.locator(f"details[data-leaf='{leaf}'] .u-wrap").count() == 0


@pytest.mark.parametrize("leaf", ["wide", "pixels"])
def test_a_short_shard(open_page, damaged, leaf):
    """A shard that lost its end is told."""

    path = shard(damaged, f"steps/{leaf}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with serving(damaged) as url:
        page = open_page(f"{url}#episode=0&leaf={leaf}").ready()
        page.wait_text(f"[data-leaf='{leaf}'] .notice", "checksum differs")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:-40], "no JSON"),
        (lambda text: text.replace("Ada", "Eva", 1), "checksum differs"),
        (lambda text: text.replace('"format": 1', '"format": 2', 1), "format 2"),
        (lambda text: json.dumps({"zarr_format": 3, "node_type": "group"}), "no vault"),
        (lambda text: None, "has no zarr.json"),
    ],
)
def test_a_root_that_is_no_root(open_page, damaged, change, said):
    """What is wrong with the root is said, instead of a page that never opens."""
    text = change((damaged / "zarr.json").read_text())
    if text is None:
        (damaged / "zarr.json").unlink()
    else:
        (damaged / "zarr.json").write_text(text)
    with whole_files(damaged.parent) as url:
        page = open_page(f"{url}/damaged.vault/")
        page.wait_text("#notices", said)
        assert page.locator("h1").inner_text() == "No vault to show"


def test_a_missing_column(open_page, damaged):
    """Where the table itself cannot be read, the page says so and still shows the card."""

    shard(damaged, "episodes/length").unlink()
    with serving(damaged) as url:
        page = open_page(url)
        page.wait_text("#notices", "missing: episodes/length/c.0")
        assert "toy/rich-v0" in page.locator("h1").inner_text()
        assert "Ada Lovelace" in page.locator("#card").inner_text()


def test_an_empty_vault(open_page, tmp_path):
    """A vault without an episode says that there is none."""

    Vault.create(tmp_path / "empty.vault", steps={"reward": np.float32(0)}).close()
    with serving(tmp_path / "empty.vault") as url:
        page = open_page(url)
        page.wait_text("#filter-said", "No episode")
        page.wait_text("#episode-title", "No episode")
        assert page.said == []


def test_a_vault_that_is_being_written(open_page, tmp_path):
    """`view` shows what is committed, and more of it when the page is loaded again."""

    steps = {"reward": np.ones(7, np.float32), "pixels": np.full((7, 8, 8, 3), 9, np.uint8)}
    step = {"reward": np.float32(0), "pixels": np.zeros((8, 8, 3), np.uint8)}
    one = Episode(steps, terminated=True, truncated=False, attributes={"who": "one"})
    with Vault.create(tmp_path / "live.vault", steps=step) as vault, serving(vault.path) as url:
        vault.append(one)
        page = open_page(url).ready()
        assert page.column("length") == ["7"]
        page.wait_for_selector("[data-leaf=pixels] canvas[data-step='0']")
        page.wait_text(".attributes", "one")
        vault.append(one)
        page.reload()
        page.ready()
        assert page.column("return") == ["7", "7"]
        assert page.said == []


def test_a_log_on_a_plain_server(open_page, tmp_path):
    """On a plain server the sealed part of a vault is shown, with a notice of what is not."""
    step = {"value": np.float32(0)}
    path = tmp_path / "sets" / "open.vault"
    path.parent.mkdir()
    with Vault.create(path, steps=step, block=64) as vault:
        for _ in range(3):
            vault.append(Episode({"value": np.zeros(30, np.float32)}, terminated=True, truncated=False))
        vault.seal()
        vault.append(Episode({"value": np.zeros(30, np.float32)}, terminated=True, truncated=False))
        shutil.copytree(path, tmp_path / "copy.vault")
    root = json.loads((tmp_path / "copy.vault" / "zarr.json").read_text())["attributes"]["strongbax"]
    write_page(tmp_path / "copy.vault")
    with whole_files(tmp_path) as url:
        page = open_page(f"{url}/copy.vault/").ready(0)
        page.wait_text("#filter-said", f"{root['episodes']} episodes")
        assert root["episodes"] == 3


def test_parts_on_a_plain_server(open_page, tmp_path):
    """On a plain server a vault's parts are not shown; where a manifest names them the page says so."""
    path = tmp_path / "parts.vault"
    one = Episode({"value": np.zeros(3, np.float32)}, terminated=True, truncated=False)
    with Vault.create(path, steps={"value": np.float32(0)}) as vault:
        vault.append(one)
    for name in ("a", "b"):
        with Vault.open(path, mode="a", part=name) as part:
            part.append(one)
    write_manifest(path)
    write_page(path)
    with whole_files(tmp_path) as url:
        page = open_page(f"{url}/parts.vault/").ready()
        page.wait_text("#notices", "2 parts of this vault")
        assert page.column("length") == ["3"]
    with serving(path) as url:
        page = open_page(url).ready()
        assert page.column("length") == ["3", "3", "3"]
        assert page.said == []


def test_view_leaves_no_error(open_page, published):
    """The command serves the page, and ends without a word when the window was closed."""
    import sys

    command = [sys.executable, "-m", "strongbax", "view", published / "sets" / "rich.vault", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        page = open_page(url)
        check_shown(page)
        page.page.close()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")
