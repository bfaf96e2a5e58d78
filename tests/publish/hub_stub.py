"""A hub on the loopback: the requests of an upload and a download, kept in memory.

Written from what huggingface_hub 2.4 sends and reads. `Hub.requests` records each request;
`Hub.faults` holds what goes wrong with the next ones of a kind or of a path.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from urllib import parse

LARGE = (".safetensors", ".model")
"""Ends of the names that go by LFS."""


@dataclasses.dataclass
class Request:
    kind: str
    path: str
    has_token: bool
    num_bytes: int = 0
    """Of the body, as far as it was read."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes of the body."""

    after: int


@dataclasses.dataclass(frozen=True)
class Lost:
    """The request is carried out; its answer never comes."""


@dataclasses.dataclass(frozen=True)
class Late:
    """The answer comes so many seconds later."""

    wait_s: float


@dataclasses.dataclass(frozen=True)
class Meanwhile:
    """Something else happens before the request is carried out."""

    action: Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Refused:
    """Nothing is carried out."""

    status: int
    message: str = ""


Fault = Cut | Lost | Late | Meanwhile | Refused


@dataclasses.dataclass
class Repository:
    private: bool
    branches: dict[str, list[str]]
    """Name -> its commits, the newest first."""


class RefusalError(Exception):
    def __init__(self, status: int, message: str = "", code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def body(self) -> bytes:
        errors = [{"message": self.message}]
        return json.dumps({"error": self.message, "errors": errors}).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """Repositories, blobs and commits, and every request that was made."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.part_bytes = 10**9
        self.owners = {"me"}
        self.token = "hf_right"
        self.damaged: set[str] = set()
        """Names of which it tells another checksum."""
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.requests: list[Request] = []
        self.messages: list[str] = []
        self.endpoint = ""

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a download of the revision would give."""
        return self.commits[self.find(repo, revision)]

    def kinds(self) -> list[str]:
        return [request.kind for request in self.requests]

    def sent(self, kind: str) -> int:
        """Bytes of all requests of a kind."""
        return sum(one.num_bytes for one in self.requests if one.kind == kind)

    def create(self, repo: str, *, private: bool = True) -> None:
        first = self.add_commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.repositories[repo] = Repository(private, {"main": [first]})

    def add_commit(self, files: dict[str, bytes]) -> str:
        commit = hashlib.sha1(f"commit {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = files
        return commit

    def push(self, repo: str, files: dict[str, bytes], revision: str = "main") -> None:
        """A commit of somebody else."""
        commits = self.repositories[repo].branches[revision]
        commits.insert(0, self.add_commit({**self.commits[commits[0]], **files}))

    def find(self, repo: str, revision: str) -> str:
        if repo not in self.repositories:
            raise RefusalError(404, "Repository not found", "RepoNotFound")
        branches = self.repositories[repo].branches
        if revision not in branches and revision not in self.commits:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return branches[revision][0] if revision in branches else revision


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub

    ROUTES = (
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/api/models/([^/]+/[^/]+)/commits/([^/]+)", "commits"),
        ("POST", r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("POST", r"/api/validate-yaml", "yaml"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/storage/([0-9a-f]{64})(?:/([0-9]+))?", "put"),
        ("POST", r"/storage/([0-9a-f]{64})/complete", "complete"),
        ("POST", r"/verify", "verify"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
        ("HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer_request(self) -> None:
        path = parse.urlsplit(self.path).path
        kind, groups = "unknown", ()
        for method, pattern, name in self.ROUTES:
            if self.command == method and (match := re.fullmatch(pattern, path)):
                kind, groups = name, match.groups()
                break
        request = Request(kind, path, "Authorization" in self.headers)
        self.hub.requests.append(request)
        faults = self.hub.faults[path] or self.hub.faults[kind]
        fault = faults.pop(0) if faults else None
        length = int(self.headers["Content-Length"] or 0)
        body = self.rfile.read(min(length, fault.after) if isinstance(fault, Cut) else length)
        request.num_bytes = len(body)
        try:
            if isinstance(fault, Cut):
                return self.hang_up()
            if isinstance(fault, Refused):
                raise RefusalError(fault.status, fault.message)
            if isinstance(fault, Meanwhile):
                fault.action()
            self.check_token(kind)
            given = tuple(parse.unquote(group) if group else None for group in groups)
            answer, headers = getattr(self, f"on_{kind}")(body, *given)
            if isinstance(fault, Lost):
                return self.hang_up()
            if isinstance(fault, Late):
                time.sleep(fault.wait_s)
            self.give(200, answer, headers)
        except RefusalError as refusal:
            headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
            self.give(refusal.status, refusal.body(), headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer_request  # noqa: N815

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def give(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # of a client that waited no longer
                self.wfile.write(content)

    def check_token(self, kind: str) -> None:
        if kind in ("put", "complete"):  # their addresses are signed
            return
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given != self.hub.token:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        if not given and self.command == "POST":
            raise RefusalError(401, "Invalid username or password.")

    @staticmethod
    def of_json(value: Any) -> tuple[bytes, dict[str, str]]:
        return json.dumps(value).encode(), {"Content-Type": "application/json"}

    def on_unknown(self, body: bytes) -> Any:
        raise RefusalError(404, f"no such call: {self.path}", "EntryNotFound")

    def described(self, name: str, content: bytes) -> dict[str, Any]:
        told = b"damaged" if name in self.hub.damaged else content
        size, sha = len(content), digest(told)
        if not name.endswith(LARGE):
            return {"rfilename": name, "size": size, "blobId": git_blob(told)}
        lfs = {"sha256": sha, "size": size, "pointerSize": 130}
        return {"rfilename": name, "size": size, "blobId": git_blob(sha.encode()), "lfs": lfs}

    def on_info(self, body: bytes, repo: str, revision: str | None) -> Any:
        commit = self.hub.find(repo, revision or "main")
        files = self.hub.commits[commit]
        siblings = [self.described(name, content) for name, content in files.items()]
        private = self.hub.repositories[repo].private
        return self.of_json({"id": repo, "sha": commit, "private": private, "siblings": siblings})

    def on_create(self, body: bytes) -> Any:
        given = json.loads(body)
        repo = f"{given['organization']}/{given['name']}"
        if given["organization"] not in self.hub.owners:
            raise RefusalError(403, f"You don't have the rights to create a model under {repo}")
        if repo in self.hub.repositories:
            raise RefusalError(409, "You already created this model repo")
        self.hub.create(repo, private=given["visibility"] == "private")
        return self.of_json({"url": f"{self.hub.endpoint}/{repo}"})

    def on_commits(self, body: bytes, repo: str, revision: str) -> Any:
        self.hub.find(repo, revision)
        date = "2026-01-01T00:00:00.000Z"
        return self.of_json(
            [
                {"id": one, "authors": [], "date": date, "title": "", "message": ""}
                for one in self.hub.repositories[repo].branches[revision]
            ]
        )

    def on_branch(self, body: bytes, repo: str, branch: str) -> Any:
        start = self.hub.find(repo, json.loads(body)["startingPoint"])
        self.hub.repositories[repo].branches[branch] = [start]
        return self.of_json({})

    def on_yaml(self, body: bytes) -> Any:
        content = json.loads(body)["content"]
        if not content.startswith("---\n"):
            raise RefusalError(400, "no metadata")
        return self.of_json({"errors": [], "warnings": []})

    def on_preupload(self, body: bytes, repo: str, revision: str) -> Any:
        self.hub.find(repo, revision)
        names = [one["path"] for one in json.loads(body)["files"]]
        modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
        files = [
            {"path": name, "uploadMode": mode, "shouldIgnore": False}
            for name, mode in modes.items()
        ]
        return self.of_json({"files": files})

    def on_batch(self, body: bytes, repo: str) -> Any:
        asked = json.loads(body)["objects"]
        return self.of_json({"transfer": "basic", "objects": [self.action(one) for one in asked]})

    def action(self, asked: dict[str, Any]) -> dict[str, Any]:
        """How a file is to be sent; without actions where it is there."""
        oid, size = asked["oid"], asked["size"]
        told = {"oid": oid, "size": size}
        if oid in self.hub.blobs:
            return told
        address = f"{self.hub.endpoint}/storage/{oid}"
        verify = {"href": f"{self.hub.endpoint}/verify"}
        upload: dict[str, Any] = {"href": address}
        if size > self.hub.part_bytes:
            numbers = range(1, -(-size // self.hub.part_bytes) + 1)
            parts = {str(number): f"{address}/{number}" for number in numbers}
            header = {"chunk_size": str(self.hub.part_bytes), **parts}
            upload = {"href": f"{address}/complete", "header": header}
        return told | {"actions": {"upload": upload, "verify": verify}}

    def on_put(self, body: bytes, oid: str, number: str | None) -> Any:
        if number:
            self.hub.parts[oid][int(number)] = body
        else:
            self.keep(oid, body)
        return b"", {"ETag": f'"{digest(body)[:32]}"'}

    def on_complete(self, body: bytes, oid: str) -> Any:
        parts = self.hub.parts.pop(oid)
        wanted = [
            {"partNumber": number, "etag": f'"{digest(parts[number])[:32]}"'}
            for number in sorted(parts)
        ]
        if json.loads(body) != {"oid": oid, "parts": wanted}:
            raise RefusalError(400, "not the parts that were sent")
        self.keep(oid, b"".join(parts[number] for number in sorted(parts)))
        return self.of_json({})

    def keep(self, oid: str, content: bytes) -> None:
        if digest(content) != oid:
            raise RefusalError(400, "not the content that was announced")
        self.hub.blobs[oid] = content

    def on_verify(self, body: bytes) -> Any:
        given = json.loads(body)
        if len(self.hub.blobs.get(given["oid"], b"")) != given["size"]:
            raise RefusalError(404, "no such object")
        return self.of_json({})

    def on_commit(self, body: bytes, repo: str, revision: str) -> Any:
        commits = self.hub.repositories[repo].branches[revision]
        header, *changes = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit", commits[0]) != commits[0]:
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(self.hub.commits[commits[0]])
        for change in changes:
            value = change["value"]
            if change["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif change["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            else:
                del files[value["path"]]
        commits.insert(0, self.hub.add_commit(files))
        self.hub.messages.append(header["value"]["summary"])
        address = f"{self.hub.endpoint}/{repo}/commit/{commits[0]}"
        return self.of_json({"commitUrl": address, "commitOid": commits[0]})

    def on_tree(self, body: bytes, repo: str, revision: str) -> Any:
        files = self.hub.files(repo, revision)
        told = [
            {"type": "file", "path": name, "size": len(files[name]), "oid": git_blob(files[name])}
            for name in files
        ]
        return self.of_json(told)

    def on_resolve(self, body: bytes, repo: str, revision: str, name: str) -> Any:
        commit = self.hub.find(repo, revision)
        if name not in self.hub.commits[commit]:
            raise RefusalError(404, "Entry not found", "EntryNotFound")
        content = self.hub.commits[commit][name]
        etag = digest(content) if name.endswith(LARGE) else git_blob(content)
        return content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """An empty hub."""
    hub = Hub()
    handler = type("Bound", (Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
