"""A Hub of our own on this machine: what huggingface_hub's client asks for when it handles a dataset.

Commits are kept whole and never change; one that names a parent which is no longer the newest is refused.
Large files go through the LFS batch call, and are served from another path by a redirect, as by a CDN.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "t" * 30
LARGE = 512  # bytes: smaller texts are kept in git itself


def git_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repository:
    """The commits of one dataset: names, and what each one's files are, `(sha256, is large)` by path."""

    commits: list[tuple[str, dict[str, tuple[str, bool]]]]
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def find(self, revision: str) -> tuple[str, dict[str, tuple[str, bool]]] | None:
        if revision == "main":
            return self.commits[-1]
        wanted = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == wanted), None)


class HubState:
    """What the Hub holds, and what was asked of it.

    Attributes:
      url: of the Hub.
      cdn: of the server of large files, another one for all that a client knows.
      repositories: by name.
      blobs: by SHA-256; some may be in no commit.
      uploads: SHA-256 of each large file that was uploaded, in order.
      asked: method and path of each request, with its Range.
      before: called with (method, path) before a request is answered; may raise to break it off.
    """

    def __init__(self) -> None:
        self.url = self.cdn = ""
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.asked: list[tuple[str, str, str | None]] = []
        self.before: Any = lambda method, path: None
        self.turn = threading.Lock()

    def read(self, name: str, path: str, revision: str = "main") -> bytes:
        found = self.repositories[name].find(revision)
        assert found is not None
        return self.blobs[found[1][path][0]]

    def spoil(self, name: str, path: str, data: bytes | None) -> None:
        """Changes a file of the newest commit behind everybody's back."""
        _, files = self.repositories[name].commits[-1]
        if data is None:
            del files[path]
        else:
            self.blobs[hashlib.sha256(data).hexdigest()] = data
            files[path] = (hashlib.sha256(data).hexdigest(), files[path][1])


class BrokenError(Exception):
    """The connection ends here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def hub(self) -> HubState:
        return self.server.hub

    def handle_any(self) -> None:
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.hub.before(self.command, path)
            for method, pattern, action in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method:
                    if action not in OPEN and not self.allowed(match.groupdict().get("name", "")):
                        return None
                    return action(self, body, parse_qs(split.query), **match.groupdict())
            self.answer(404, {"error": f"no route {self.command} {path}"})
        except BrokenError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any  # noqa: N815 - the base class's names

    def allowed(self, name: str) -> bool:
        """Whoever writes, or asks for what is private, shows the token."""
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        repository = self.hub.repositories.get(name)
        if known or (self.command in ("GET", "HEAD") and not (repository and repository.private)):
            return True
        self.answer(401, {"error": "Invalid username or password."})
        return False

    def answer(self, status: int, value: Any = None, headers: Any = None, data: bytes = b"") -> None:
        data = data if value is None else json.dumps(value).encode()
        self.send_response(status)
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, code: str) -> None:
        self.answer(404, {"error": code}, {"X-Error-Code": code})

    def found(self, name: str, revision: str) -> Any:
        """The repository and the commit that are meant, or an answer that there is none."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self.missing("RepoNotFound")
        commit = repository.find(revision)
        return (repository, *commit) if commit else self.missing("RevisionNotFound")

    # -- what can be asked

    def whoami(self, _body: bytes, _query: Any) -> None:
        self.answer(200, {"type": "user", "name": "ada", "orgs": []})

    def validate(self, body: bytes, _query: Any) -> None:
        header = json.loads(body)["content"].split("---")[1]
        keys = [line.partition(":")[0] for line in header.strip().splitlines()]
        values = [json.loads(line.partition(": ")[2]) for line in header.strip().splitlines()]
        good = "license" in keys and all(value not in ("", None) for value in values)
        self.answer(200 if good else 400, {"errors": [] if good else [{"message": "bad"}], "warnings": []})

    def create(self, body: bytes, _query: Any) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
        link = {"url": f"{self.hub.url}/datasets/{name}"}
        if name in self.hub.repositories:
            return self.answer(409, link | {"error": "You already created this dataset repo"})
        first = hashlib.sha1(name.encode()).hexdigest()
        self.hub.repositories[name] = Repository([(first, {})], private=asked.get("visibility") == "private")
        return self.answer(200, link)

    def preupload(self, body: bytes, _query: Any, name: str, revision: str) -> None:
        found = self.found(name, revision)
        if found is None:
            return
        files = found[2]

        def mode(file: Any) -> dict[str, Any]:
            large = file["size"] > LARGE or b"\0" in base64.b64decode(file["sample"])
            known = files.get(file["path"])
            oid = None if known is None else known[0] if known[1] else git_sha(self.hub.blobs[known[0]])
            kind = "lfs" if large else "regular"
            return {"path": file["path"], "uploadMode": kind, "shouldIgnore": False, "oid": oid}

        self.answer(200, {"files": [mode(file) for file in json.loads(body)["files"]]})

    def batch(self, body: bytes, _query: Any, name: str) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            action = {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}", "header": {}}}
            there = one["oid"] in self.hub.blobs
            objects.append(one | {"authenticated": True} | ({} if there else {"actions": action}))
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, _query: Any, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self.answer(400, {"error": "checksum"})
        self.hub.uploads.append(oid)
        self.hub.blobs[oid] = body
        return self.answer(200, {})

    def commit(self, body: bytes, _query: Any, name: str, revision: str) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        with self.hub.turn:
            found = self.found(name, revision)
            if found is None:
                return None
            repository, newest, before = found
            files = dict(before)
            for line in lines:
                value = line["value"]
                if line["key"] == "header" and value.get("parentCommit") not in (None, newest):
                    return self.answer(412, {"error": "A commit has happened since. Please refresh."})
                if line["key"] == "file":
                    data = base64.b64decode(value["content"])
                    files[value["path"]] = (hashlib.sha256(data).hexdigest(), False)
                    self.hub.blobs[files[value["path"]][0]] = data
                if line["key"] == "lfsFile":
                    if value["oid"] not in self.hub.blobs:
                        return self.answer(400, {"error": "an LFS object is missing"})
                    files[value["path"]] = (value["oid"], True)
                if line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = hashlib.sha1(json.dumps([newest, sorted(files.items())]).encode()).hexdigest()
            repository.commits.append((oid, files))
        url = f"{self.hub.url}/datasets/{name}/commit/{oid}"
        return self.answer(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def info(self, _body: bytes, _query: Any, name: str, revision: str = "main") -> None:
        found = self.found(name, revision)
        if found:
            names = [{"rfilename": path} for path in found[2]]
            about = {"id": name, "sha": found[1], "private": found[0].private, "siblings": names}
            self.answer(200, about | {"_id": "1", "downloads": 0, "likes": 0, "tags": []})

    def entry(self, files: Any, path: str) -> dict[str, Any]:
        digest, large = files[path]
        data = self.hub.blobs[digest]
        about = {"type": "file", "path": path, "size": len(data), "oid": git_sha(data)}
        return about | ({"lfs": {"oid": digest, "size": len(data), "pointerSize": 130}} if large else {})

    def tree(self, _body: bytes, _query: Any, name: str, revision: str) -> None:
        found = self.found(name, revision)
        if found:
            folders = {"/".join(p.split("/")[:n]) for p in found[2] for n in range(1, p.count("/") + 1)}
            rows = [{"type": "directory", "path": folder, "oid": "0" * 40, "size": 0} for folder in folders]
            self.answer(200, rows + [self.entry(found[2], path) for path in sorted(found[2])])

    def paths(self, body: bytes, _query: Any, name: str, revision: str) -> None:
        found = self.found(name, revision)
        if found:
            asked = json.loads(body)["paths"]
            self.answer(200, [self.entry(found[2], path) for path in asked if path in found[2]])

    def refs(self, _body: bytes, _query: Any, name: str) -> None:
        repository = self.hub.repositories[name]
        row = lambda kind, ref, oid: {"name": ref, "ref": f"refs/{kind}/{ref}", "targetCommit": oid}  # noqa: E731
        tags = [row("tags", tag, oid) for tag, oid in repository.tags.items()]
        branches = [row("heads", "main", repository.commits[-1][0])]
        self.answer(200, {"branches": branches, "tags": tags, "converts": []})

    def tag(self, body: bytes, _query: Any, name: str, revision: str) -> None:
        found, tag = self.found(name, revision), json.loads(body)["tag"]
        if found and tag in found[0].tags:
            return self.answer(409, {"error": "Tag reference exists already"})
        if found:
            found[0].tags[tag] = found[1]
            return self.answer(200, {})
        return None

    def resolve(self, _body: bytes, _query: Any, name: str, revision: str, path: str) -> None:
        found = self.found(name, revision)
        if not found:
            return None
        _, commit, files = found
        if path not in files:
            return self.answer(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        digest, large = files[path]
        data = self.hub.blobs[digest]
        tag = f'"{digest if large else git_sha(data)}"'
        about = {"X-Repo-Commit": commit, "ETag": tag, "Accept-Ranges": "bytes"}
        if large:
            about |= {"X-Linked-Etag": tag, "X-Linked-Size": str(len(data))}
            return self.answer(302, {}, about | {"Location": f"{self.hub.cdn}/cdn/{digest}"})
        return self.send_file(data, about)

    def cdn(self, _body: bytes, _query: Any, oid: str) -> None:
        self.send_file(self.hub.blobs[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def send_file(self, data: bytes, about: dict[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self.answer(200, headers=about | {"Content-Length": str(len(data))}, data=data)
        part = data[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else None]
        about["Content-Range"] = f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(data)}"
        return self.answer(206, headers=about | {"Content-Length": str(len(part))}, data=part)


_API = r"/api/datasets/(?P<name>[^/]+/[^/]+)"
_GIT = r"/datasets/(?P<name>[^/]+/[^/]+)"
ROUTES = (
    (("GET",), r"/api/whoami-v2", Handler.whoami),
    (("POST",), r"/api/validate-yaml", Handler.validate),
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), _API + r"/preupload/(?P<revision>[^/]+)", Handler.preupload),
    (("POST",), _GIT + r"\.git/info/lfs/objects/batch", Handler.batch),
    (("PUT",), r"/lfs/(?P<oid>[0-9a-f]{64})", Handler.upload),
    (("POST",), _API + r"/commit/(?P<revision>[^/]+)", Handler.commit),
    (("GET",), _API + r"/revision/(?P<revision>[^/]+)", Handler.info),
    (("GET",), _API + r"/tree/(?P<revision>[^/]+)", Handler.tree),
    (("POST",), _API + r"/paths-info/(?P<revision>[^/]+)", Handler.paths),
    (("POST",), _API + r"/tag/(?P<revision>[^/]+)", Handler.tag),
    (("GET",), _API + r"/refs", Handler.refs),
    (("GET",), _API, Handler.info),
    (("GET", "HEAD"), _GIT + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
    (("GET", "HEAD"), r"/cdn/(?P<oid>[0-9a-f]{64})", Handler.cdn),
)
OPEN = (Handler.upload, Handler.cdn)  # signed addresses: whoever has one needs no token


@contextmanager
def hub_server() -> Generator[HubState]:
    """Serves an empty Hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = HubState()
    server.hub.url = f"http://127.0.0.1:{server.server_port}"
    server.hub.cdn = f"http://localhost:{server.server_port}"
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
