"""A download ends with the right bytes, or with one sentence that says what was wrong."""

import hashlib
import resource
import signal

import numpy as np
import pytest
from strongbax.datasets.download import ENOUGH, Patience, download
from strongbax.datasets.published import PublishedFile
from strongbax.vault.errors import StorageError

DATA = np.random.default_rng(0).bytes(5 * ENOUGH + 321)
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
HALF = 2 * ENOUGH + 5
QUICK = Patience(timeout=0.3, attempts=3, wait=0.01)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.bin"


def published(web, *names: str, **facts) -> PublishedFile:
    """A file at one or more addresses of the server."""
    for name in names or ("a.bin",):
        web.files[f"/{name}"] = DATA
    return PublishedFile("a.bin", tuple(f"{web.url}/{name}" for name in names or ("a.bin",)), **facts)


def whole(path) -> bool:
    """Whether the file is there, and nothing else."""
    return path.read_bytes() == DATA and list(path.parent.iterdir()) == [path]


ENDS_RIGHT = {
    "whole": [],
    "broken half way": [f"cut={HALF}"],
    "broken thrice": [f"cut={ENOUGH + 1}"] * 3,
    "broken at the first byte": ["cut=0", "whole"],
    "without a range at the second time": [f"cut={HALF}", "deaf"],
    "an answer to another range": [f"cut={HALF}", "strange"],
    "503, then back": ["503", "503"],
    "500 half way": [f"cut={HALF}", "500"],
    "too many requests": ["429"],
    "silent": ["stall"],
    "redirected": ["to=a.bin"],
    "redirected half way": [f"cut={HALF}", "to=a.bin"],
}


@pytest.mark.parametrize("facts", [{}, {"sha256": SHA256}, {"md5": MD5, "size": len(DATA)}], ids=str)
@pytest.mark.parametrize("plan", ENDS_RIGHT.values(), ids=ENDS_RIGHT)
def test_a_server_that_misbehaves_and_comes_back(web, path, plan, facts):
    """Whatever a server did before it serves the file, the file is whole in the end."""
    web.plan = list(plan)
    download(published(web, **facts), path, patience=QUICK)
    assert whole(path)


def test_a_mixture_is_found_out(web, path):
    """When what came earlier was of other bytes, the checksum tells, and all is fetched anew."""
    path.with_name("a.bin.part").write_bytes(DATA[::-1][:HALF])
    download(published(web, sha256=SHA256), path, patience=QUICK)
    assert whole(path)
    assert [wanted for _, wanted in web.asked] == [f"bytes={HALF}-", None]


def test_only_the_rest_is_asked_for(web, path):
    """After a break what came is not fetched again."""
    web.plan = [f"cut={HALF}"]
    download(published(web), path, patience=QUICK)
    assert web.asked == [("/a.bin", None), ("/a.bin", f"bytes={HALF}-")]
    assert web.sent == len(DATA)


def test_the_next_call_goes_on(web, path):
    """What one call (or process) left is where the next one begins."""
    web.plan, web.then = [f"cut={HALF}"], "500"
    with pytest.raises(StorageError, match="HTTP 500"):
        download(published(web), path, patience=QUICK)
    web.then, web.asked = "whole", []
    download(published(web), path, patience=QUICK)
    assert whole(path)
    assert web.asked == [("/a.bin", f"bytes={HALF}-")]


def test_a_call_killed_before_the_last_rename_asks_nothing(web, path):
    """A part that is complete is finished without a request."""
    file = published(web, size=len(DATA), sha256=SHA256)
    path.with_name("a.bin.part").write_bytes(DATA)
    download(file, path, patience=QUICK)
    assert whole(path)
    assert web.asked == []


def test_a_file_that_changed_is_fetched_anew(web, path):
    """Without a checksum, the beginning of one version and the end of another are never put together."""
    web.plan, web.then = [f"cut={HALF}"], "500"
    file = published(web)
    with pytest.raises(StorageError):
        download(file, path, patience=QUICK)
    web.files["/a.bin"], web.then = DATA[::-1], "whole"
    download(file, path, patience=QUICK)
    assert path.read_bytes() == DATA[::-1]


def test_without_a_version_nothing_is_resumed(web, path):
    """A server that names no version is asked for the whole file again, unless a checksum will tell."""
    web.tags, web.plan = False, [f"cut={HALF}"]
    download(published(web), path, patience=QUICK)
    assert [wanted for _, wanted in web.asked] == [None, None]
    path.unlink()
    web.plan, web.asked = [f"cut={HALF}"], []
    download(published(web, sha256=SHA256), path, patience=QUICK)
    assert [wanted for _, wanted in web.asked] == [None, f"bytes={HALF}-"]


def test_a_part_of_something_longer_is_thrown_away(web, path):
    """A part that is longer than the file, of which no range is left, does not stand in the way."""
    path.with_name("a.bin.part").write_bytes(DATA + DATA)
    download(published(web, sha256=SHA256), path, patience=QUICK)
    assert whole(path)


@pytest.mark.parametrize(
    "first", ["404", "403", "410", "500", "loop", "stall", "cut=9", "wrong", "short=70000"]
)
def test_mirrors_are_tried_in_turn(web, path, first):
    """When one address does not have the file, the next one is asked; the bytes are the right ones."""
    web.plan = [first]
    download(published(web, "gone.bin", "a.bin", sha256=SHA256, size=len(DATA)), path, patience=QUICK)
    assert whole(path)


def test_a_mirror_goes_on_where_another_ended(web, path):
    """With a checksum, what one address began another one ends."""
    web.plan = [f"cut={HALF}", "404"]
    download(published(web, "gone.bin", "a.bin", sha256=SHA256), path, patience=QUICK)
    assert web.asked[-1] == ("/a.bin", f"bytes={HALF}-")
    assert whole(path)


REFUSED = {
    "404": "HTTP 404 Not Found",
    "403": "HTTP 403 Forbidden",
    "503": "HTTP 503 Service Unavailable",
    "loop": "HTTP 302 .*infinite loop",
    "stall": "no answer in time",
    "cut=0": "the connection ended after 0 of 328,001 bytes",
    "wrong": "its sha256 is not the published one",
    "short=70000": "it has 70,000 bytes there instead of 328,001",
    "to=nowhere": "HTTP 404",
    "204": "HTTP 204",
}


@pytest.mark.parametrize("then", REFUSED)
def test_what_went_wrong_is_said_in_one_sentence(web, path, then):
    """Where nobody has the file, the error names the address and what it did, and no file is made."""
    web.then = then
    with pytest.raises(StorageError, match=REFUSED[then]) as error:
        download(published(web, sha256=SHA256, size=len(DATA)), path, patience=QUICK)
    told = str(error.value)
    assert told.startswith(f"Could not download 'a.bin': {web.url}/a.bin: ")
    assert "\n" not in told
    assert not path.exists()
    assert len(web.asked) < 30


def test_nobody_there_is_said(web, path):
    """A port at which nobody listens, and a name that nobody has, are said as such."""
    urls = ("http://127.0.0.1:9/a.bin", "http://nowhere.invalid/a.bin")
    with pytest.raises(StorageError, match=r"127.0.0.1:9/a.bin: Connection refused; http://nowhere.invalid"):
        download(PublishedFile("a.bin", urls), path, patience=QUICK)


def test_progress_is_told_in_bytes(web, path):
    """Progress rises to the whole, and begins where the last call ended."""
    told = []
    web.plan = [f"cut={HALF}"]
    download(published(web), path, patience=QUICK, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(DATA))
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)


def test_a_full_disk_is_no_network_error(web, path):
    """When the disk refuses, that is said at once, and no other address is tried."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"Could not write .*a\.bin\.part"):
            download(published(web, "a.bin", "mirror.bin"), path, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(web.asked) == 1
