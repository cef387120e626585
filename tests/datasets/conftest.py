"""A web server on this machine that misbehaves as it is told; helpers beside the tests are importable."""

import re
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "vault")]


class Web:
    """Serves `files` by their paths; `plan` says what is done with the next requests, one word each.

    `whole` (with ranges), `cut=N` (breaks after N bytes), `short=N` (the same, and lies about the length),
    `deaf` (ignores Range), `wrong` (other bytes), `strange` (a range that was not asked for), `stall`,
    `loop` (redirects to itself), `to=PATH` (redirects), or the number of a status. Then `then` is done.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, bytes] = {}
        self.plan: list[str] = []
        self.then = "whole"
        self.tags = True
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        web = self.server.web
        web.asked.append((self.path, self.headers.get("Range")))
        word, _, value = (web.plan.pop(0) if web.plan else web.then).partition("=")
        data = web.files.get(self.path)
        if word.isdecimal() or data is None:
            return self.send_error(int(word) if word.isdecimal() else 404)
        if word in ("to", "loop"):
            self.send_response(302)
            self.send_header("Location", f"{web.url}/{value}" if word == "to" else self.path)
            return self.end_headers()
        if word == "stall":
            return time.sleep(1.0)
        data = bytes(len(data)) if word == "wrong" else data
        return self.answer(web, data, word, int(value or 0))

    def answer(self, web, data: bytes, word: str, count: int) -> None:
        tag = f'"{hash(data)}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, tag)
        start = int(wanted[1]) if wanted and same and word != "deaf" else 0
        if wanted and start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            told = start + 1 if word == "strange" else start
            self.send_header("Content-Range", f"bytes {told}-{len(data) - 1}/{len(data)}")
        if web.tags:
            self.send_header("ETag", tag)
        body = data[start:] if word not in ("cut", "short") else data[start : start + count]
        self.send_header("Content-Length", str(len(body) if word == "short" else len(data) - start))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)
            web.sent += len(body)
        return None


@pytest.fixture(scope="session")
def endpoint() -> Generator[str]:
    """An S3 server with the bucket `tests`."""
    from object_servers import s3_server

    with s3_server("tests") as address:
        yield address


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.web = Web(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.web
    server.shutdown()
    server.server_close()
    thread.join()
