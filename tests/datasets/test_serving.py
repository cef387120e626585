"""The server behind `strongbax view`: files, parts of files, and nothing else."""

import http.client
import threading
from pathlib import Path

import numpy as np
import pytest
from strongbax.datasets.pages import page, write_page
from strongbax.datasets.serving import make_server, url_of
from strongbax.vault import Vault
from strongbax.vault.errors import NotFoundError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A vault, with a file of ten digits, beside a secret that a link in it points at."""
    place = tmp_path_factory.mktemp("served")
    path = place / "toy.vault"
    Vault.create(path, steps={"reward": np.float32(0)}).close()
    (path / "digits").write_bytes(b"0123456789")
    (path / "empty").write_bytes(b"")
    (place / "secret").write_text("secret")
    (path / "link").symlink_to(place / "secret")
    (path / "steps" / "a b%41").write_text("named")
    return path


@pytest.fixture(scope="module")
def server(folder):
    made = make_server(folder)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def ask(server):
    """Sends a request as it is given, and gives status, headers and body."""
    opened = []

    def send(path, *, method="GET", host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        opened.append(connection)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    yield send
    for connection in opened:
        connection.close()


@pytest.mark.parametrize(
    ("asked", "body", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-4", b"4", "bytes 4-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=0-9", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_parts_of_files(ask, asked, body, told):
    """A range is answered by 206 with exactly its bytes, and the place that they have in the file."""
    status, headers, got = ask("/digits", Range=asked)
    assert (status, got, headers["Content-Range"]) == (206, body, told)
    assert int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_without_a_byte(ask, asked):
    """A range that has no byte of the file is answered by 416 and the file's size."""
    status, headers, _ = ask("/digits", Range=asked)
    assert (status, headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "lines=0-3", "bytes=5-2", "bytes=-", "bytes=x-"])
def test_what_is_no_single_range_is_passed_over(ask, asked):
    """Several ranges, other units and nonsense are answered by the whole file, as the standard allows."""
    status, headers, got = ask("/digits", Range=asked)
    assert (status, got, headers["Content-Range"]) == (200, b"0123456789", None)


def test_whole_files_and_head(ask):
    """GET sends the file and says that ranges are known; HEAD says the same and sends nothing."""
    status, headers, got = ask("/digits")
    assert (status, got, headers["Accept-Ranges"]) == (200, b"0123456789", "bytes")
    status, head, got = ask("/digits", method="HEAD")
    assert (status, got, head["Content-Length"], head["ETag"]) == (200, b"", "10", headers["ETag"])
    status, head, got = ask("/digits", method="HEAD", Range="bytes=2-3")
    assert (status, got, head["Content-Length"]) == (206, b"", "2")
    assert ask("/empty")[::2] == (200, b"")
    assert ask("/empty", Range="bytes=0-")[0] == 416


def test_versions_of_files(ask):
    """What a browser has of a file is not sent again, and parts of two versions are never mixed."""
    tag = ask("/digits")[1]["ETag"]
    assert ask("/digits", If_None_Match=tag)[::2] == (304, b"")
    assert ask("/digits", If_None_Match='"other"')[0] == 200
    assert ask("/digits", Range="bytes=0-1", If_Range=tag)[::2] == (206, b"01")
    assert ask("/digits", Range="bytes=0-1", If_Range='"other"')[::2] == (200, b"0123456789")


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret", "/steps/../../secret", "/%2e%2e/secret", "/steps/..%2f..%2fsecret", "/..\\secret"),
        *("//etc/passwd", "/%2Fetc%2Fpasswd", "/steps//zarr.json", "/link", "/steps", "/steps/", "/no"),
        *("/digits%00.json", "/./digits", "/steps/a b%25", "*", "http://elsewhere/digits/no"),
    ],
)
def test_nothing_outside_the_folder(ask, path):
    """No path leads out of the vault's folder, by dots, escapes, slashes or links; folders are not listed."""
    status, _, got = ask(path.replace(" ", "%20"))
    assert status == 404
    assert b"secret" not in got


def test_names_with_escapes(ask):
    """A file whose name itself has a percent sign is found by its escaped name."""
    assert ask("/steps/a%20b%2541")[::2] == (200, b"named")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost.evil"]
)
def test_other_names_of_this_machine_are_refused(ask, host):
    """A site whose name was made to point here cannot read the vault."""
    status, _, got = ask("/digits", host=host)
    assert status == 403
    assert b"0123" not in got


def test_localhost_is_meant(ask, server):
    """The two names of this machine are answered to."""
    assert ask("/digits", host=f"localhost:{server.server_port}")[0] == 200


def test_other_methods_are_refused(ask):
    """Nothing can be changed through the server."""
    assert ask("/digits", method="PUT")[0] == 501
    assert ask("/digits", method="DELETE")[0] == 501


def test_the_page_is_ours(ask, folder):
    """At the root stands the page that is installed, not one that a vault brought along."""
    (folder / "index.html").write_text("somebody else's")
    for path in ("/", "/index.html", "/?x=1"):
        status, headers, got = ask(path)
        named = page().replace(b"<title>Vault<", b"<title>toy.vault<")
        assert (status, got, headers["Content-Type"]) == (200, named, "text/html; charset=utf-8")
    (folder / "index.html").unlink()


def test_only_this_machine_is_listened_to(server):
    """The server has an address of this machine only, and a port that was free."""
    assert server.server_address[0] == "127.0.0.1"
    assert url_of(server) == f"http://127.0.0.1:{server.server_port}/"


def test_page_is_written_beside_a_vault(folder, tmp_path):
    """`write_page` puts the installed page into a vault's folder, again where one stands, and only there."""
    file = write_page(folder)
    file.write_text("old")
    assert write_page(folder).read_bytes() == page()
    file.unlink()
    with pytest.raises(NotFoundError, match="`folder` must be a vault's"):
        write_page(tmp_path)


def test_page_asks_nobody(folder):
    """The page names no file of another server: it works without a network."""
    text = page().decode()
    assert 'src="' not in text
    assert "@import" not in text
    assert '<link rel="stylesheet"' not in text
