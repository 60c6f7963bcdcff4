"""A hub of models on 127.0.0.1, in a thread, as far as huggingface_hub needs it."""

import base64
import collections
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

TOKEN = "hf_of_the_test"
_INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_PREUPLOAD = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/.+")
_COMMIT = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/.+")
_BATCH = re.compile(r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_OBJECT = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})(?P<verify>/verify)?")


class Refused(Exception):
    """An answer that is an error: status, the hub's code for it, and its message."""


class Hub:
    """The state of the server.

    Attributes:
      repos: files by repository and path.
      gated, private: repositories whose files, or existence, are only for TOKEN.
      listed: entries that the listing of a repository has beside its files.
      requests: "METHOD path" of all requests so far.
      commits: titles of commits by repository.
      large: ends of names of files that go to the large file storage (LFS) and come from it.
      objects: the content of these, by sha256.
      full: what the storage says of an object that it does not take; "" to take all.
    """

    def __init__(self, address: str):
        self.address = address
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.repos: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.listed: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[str] = []
        self.commits: dict[str, list[str]] = collections.defaultdict(list)
        self.large: tuple[str, ...] = ()
        self.objects: dict[str, bytes] = {}
        self.full = ""

    def downloaded(self) -> list[str]:
        """Return the names of the files that were fetched."""
        found = (_FILE.fullmatch(each.removeprefix("GET ")) for each in self.requests)
        return [match["path"] for match in found if match]

    def revision_of(self, repo: str) -> str:
        """Return the hash of a repository's only commit."""
        return hashlib.sha1(repr(sorted(self.repos[repo].items())).encode()).hexdigest()

    def files_of(self, repo: str, revision: str | None, token: str | None) -> dict[str, bytes]:
        """Return a repository's files, or raise Refused as the hub does."""
        if token not in (None, TOKEN):
            raise Refused(401, "", "Invalid credentials in Authorization header")
        if repo not in self.repos or (repo in self.private and token is None):
            raise Refused(404, "RepoNotFound", "Repository not found")
        if revision not in (None, "main", "v1", self.revision_of(repo)):
            raise Refused(404, "RevisionNotFound", "Invalid rev id")
        return self.repos[repo]

    def tree(self, repo: str, folder: str | None, recursive: bool) -> list[dict[str, Any]]:
        """Return the entries of a folder."""
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, content in self.repos[repo].items():
            if not path.startswith(prefix):
                continue
            first, deeper, _ = path[len(prefix) :].partition("/")
            oid = hashlib.sha1(content).hexdigest()
            if deeper and not recursive:
                entries[first] = {"type": "directory", "path": prefix + first, "oid": oid}
            else:
                entries[path] = {"type": "file", "path": path, "size": len(content), "oid": oid}
                if path.endswith(self.large):
                    sha256 = hashlib.sha256(content).hexdigest()
                    about = {"oid": sha256, "size": len(content), "pointerSize": 134}
                    entries[path]["lfs"] = about
        if not entries and folder:
            raise Refused(404, "EntryNotFound", f"{folder} does not exist")
        return [*entries.values(), *self.listed.get(repo, [])]

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        """Add the files of a commit."""
        for line in lines:
            if line["key"] == "header":
                self.commits[repo].append(line["value"]["summary"])
            elif line["key"] == "file":
                value = line["value"]
                self.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                value = line["value"]
                content = self.objects[value["oid"]]
                assert len(content) == value["size"] and value["algo"] == "sha256"
                self.repos[repo][value["path"]] = content

    def batch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return where the objects of an upload go (git-lfs, docs/api/batch.md)."""
        assert wanted["operation"] == "upload" and wanted["hash_algo"] == "sha256"
        found = []
        for each in wanted["objects"]:
            href = f"{self.address}/lfs/{each['oid']}"
            about = {"oid": each["oid"], "size": each["size"]}
            if self.full:
                about["error"] = {"code": 507, "message": self.full}
            elif each["oid"] not in self.objects:
                actions = {"upload": href, "verify": f"{href}/verify"}
                about["actions"] = {name: {"href": where} for name, where in actions.items()}
            found.append(about)
        return {"transfer": "basic", "objects": found}


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """Serve a hub for as long as the body runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    server.hub = hub  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub: Hub = self.server.hub  # pyright: ignore[reportAttributeAccessIssue]
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path)
        hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        try:
            if match := _OBJECT.fullmatch(path):
                self._send(_stored(hub, self.command, match, body))
            elif self.command == "POST":
                self._send(json.dumps(_written(hub, path, body, token)).encode())
            elif match := _FILE.fullmatch(path):
                self._file(hub, match, token)
            else:
                query = urllib.parse.parse_qs(address.query)
                self._send(json.dumps(_read(hub, path, query, token)).encode())
        except Refused as refused:
            status, code, message = refused.args
            self._send(b"", status, {"X-Error-Code": code, "X-Error-Message": message})

    def _file(self, hub: Hub, match: re.Match[str], token: str | None) -> None:
        files = hub.files_of(match["repo"], match["revision"], token)
        if match["repo"] in hub.gated and token is None:
            raise Refused(403, "GatedRepo", "Access to this model is restricted")
        if match["path"] not in files:
            raise Refused(404, "EntryNotFound", "Entry not found")
        content = files[match["path"]]
        commit = hub.revision_of(match["repo"])
        if match["path"].endswith(hub.large):
            oid = hashlib.sha256(content).hexdigest()
            hub.objects[oid] = content
            headers = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
            # On another host than the hub, as the real one: the client's HEAD then stops here.
            storage = hub.address.replace("127.0.0.1", "localhost")
            headers |= {"X-Repo-Commit": commit, "Location": f"{storage}/lfs/{oid}"}
            self._send(b"", 302, headers)
            return
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self._send(content, headers={"X-Repo-Commit": commit, "ETag": etag})

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _read(hub: Hub, path: str, query: dict[str, list[str]], token: str | None) -> Any:
    if match := _TREE.fullmatch(path):
        hub.files_of(match["repo"], match["revision"], token)
        recursive = query.get("recursive", ["false"])[0].lower() == "true"
        return hub.tree(match["repo"], match["path"], recursive)
    if match := _INFO.fullmatch(path):
        files = hub.files_of(match["repo"], match["revision"], token)
        siblings = [{"rfilename": name} for name in files]
        return {"id": match["repo"], "sha": hub.revision_of(match["repo"]), "siblings": siblings}
    raise Refused(404, "", f"no such page: {path}")


def _stored(hub: Hub, command: str, match: re.Match[str], body: bytes) -> bytes:
    """Take, check or return an object of the large file storage."""
    oid = match["oid"]
    if command == "PUT":
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "", "the content has another sha256")
        hub.objects[oid] = body
        return b""
    if oid not in hub.objects:
        raise Refused(404, "", "there is no such object")
    if match["verify"]:
        about = json.loads(body)
        if (about["oid"], about["size"]) != (oid, len(hub.objects[oid])):
            raise Refused(400, "", "another object was uploaded")
        return b"{}"
    return hub.objects[oid]


def _written(hub: Hub, path: str, body: bytes, token: str | None) -> Any:
    if path == "/api/validate-yaml":
        return {"errors": [], "warnings": []}
    if token != TOKEN:
        raise Refused(401, "", "Invalid username or password.")
    if path == "/api/repos/create":
        wanted = json.loads(body)
        repo = f"{wanted['organization']}/{wanted['name']}"
        if wanted.get("private") or wanted.get("visibility") == "private":
            hub.private.add(repo)
        hub.repos.setdefault(repo, {})
        return {"url": f"{hub.address}/{repo}", "name": repo}
    if match := _PREUPLOAD.fullmatch(path):
        names = [each["path"] for each in json.loads(body)["files"]]
        return {
            "files": [
                {
                    "path": name,
                    "uploadMode": "lfs" if name.endswith(hub.large) else "regular",
                    "shouldIgnore": False,
                }
                for name in names
            ]
        }
    if match := _BATCH.fullmatch(path):
        hub.files_of(match["repo"], None, token)
        return hub.batch(json.loads(body))
    if match := _COMMIT.fullmatch(path):
        hub.commit(match["repo"], [json.loads(line) for line in body.splitlines()])
        oid = hub.revision_of(match["repo"])
        return {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"{hub.address}/{match['repo']}/commit/{oid}",
        }
    raise Refused(404, "", f"no such page: {path}")
