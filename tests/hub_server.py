"""A small hub in this process: it speaks what the client of the Hugging Face hub asks for models, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import yaml

Files = dict[str, bytes]
LFS = (".safetensors", ".onnx", ".png")
"""Endings of files that are kept apart, as the hub does it."""
MODEL = r"/api/models/([^/]+/[^/]+)"


@dataclass
class Repo:
    """A repository: what each commit holds, and at which commit each branch is."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=lambda: {"0" * 40: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    def commit(self, revision: str = "main") -> str | None:
        """The commit of a revision, None if there is no such."""
        return self.branches.get(revision, revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> Files:
        """What a revision holds."""
        return self.commits[str(self.commit(revision))]

    def write(self, files: Files, branch: str = "main") -> str:
        """Set what a branch holds; return its new commit."""
        text = repr((sorted((name, hashlib.sha256(data).hexdigest()) for name, data in files.items()), self.commits))
        new = hashlib.sha1(text.encode()).hexdigest()
        self.commits[new], self.branches[branch] = dict(files), new
        return new


@dataclass
class Hub:
    """Repositories, who may do what, and what was asked for.

    Attributes:
        tokens: a token -> the owners whose repositories it may write.
        requests: method and path of every request.
        sizes: file -> the size that listings say in place of the true one.
    """

    tokens: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"hf_mine": ("me",), "hf_read": ()})
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    url: str = ""

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        """Answer at `url` within."""
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    do_GET = do_POST = do_PUT = do_HEAD  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, method in _ROUTES.items():
            kind, _, place = pattern.partition(" ")
            if self.command in kind.split("|") and (match := re.fullmatch(place, path)):
                method(self, body, *match.groups())
                return
        self._send(404, {"error": f"{self.command} {path}: the hub of the tests does not know this"})

    def _send(self, code: int, content: Any = None, headers: dict[str, str] | None = None, error: str = "") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(code)
        known = {"Content-Length": str(len(data)), "Content-Type": "application/json"} | (headers or {})
        for name, value in (known | ({"X-Error-Code": error} if error else {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def _owners(self) -> tuple[str, ...] | None:
        return self.hub.tokens.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _may_write(self, name: str) -> bool:
        if self._owners is None:
            self._send(401, {"error": "Invalid credentials in Authorization header"})
        elif name.partition("/")[0] not in self._owners:
            self._send(403, {"error": "You don't have the rights to write here"})
        else:
            return True
        return False

    def _repo(self, name: str) -> Repo | None:
        """Find a repository that the sender may see, or say that there is none."""
        repo = self.hub.repos.get(name)
        if repo is not None and (not repo.private or name.partition("/")[0] in (self._owners or ())):
            return repo
        self._send(404 if self._owners is not None else 401, {"error": "Repository not found"}, error="RepoNotFound")
        return None

    def _commit_of(self, name: str, revision: str) -> tuple[Repo, str] | None:
        if (repo := self._repo(name)) is None:
            return None
        if (commit := repo.commit(revision)) is None:
            self._send(404, {"error": "Invalid rev id"}, error="RevisionNotFound")
            return None
        return repo, commit

    def hello(self, body: bytes) -> None:
        self._send(200)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may_write(name):
            return
        if name in self.hub.repos:
            self._send(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
            return
        self.hub.repos[name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
        self._send(200, {"url": f"{self.hub.url}/{name}"})

    def validate(self, body: bytes) -> None:
        text = json.loads(body)["content"]
        match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        values = yaml.safe_load(match[1]) if match else None
        wrong = not isinstance(values, dict) or values.get("license", "mit") not in ("mit", "apache-2.0", "cc-by-4.0")
        errors = [{"message": '"license" must be one of [apache-2.0, ...]'}] if wrong else []
        self._send(400 if wrong else 200, {"errors": errors, "warnings": []})

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        if (found := self._commit_of(name, revision or "main")) is None:
            return
        repo, commit = found
        siblings = [
            {"rfilename": file, "size": self.hub.sizes.get(file, len(data)), "blobId": hashlib.sha1(data).hexdigest()}
            for file, data in repo.commits[commit].items()
        ]
        self._send(200, {"id": name, "modelId": name, "private": repo.private, "sha": commit, "siblings": siblings})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        if (found := self._commit_of(name, revision)) is not None:
            repo, commit = found
            files = repo.commits[commit].items()
            listed = [(file, len(data), hashlib.sha1(data).hexdigest()) for file, data in files]
            self._send(200, [{"type": "file", "path": file, "size": size, "oid": oid} for file, size, oid in listed])

    def branch(self, body: bytes, name: str, branch: str) -> None:
        if self._may_write(name) and (repo := self._repo(name)) is not None:
            known = branch in repo.branches
            repo.branches.setdefault(branch, repo.branches["main"])
            self._send(409 if known else 200, {"error": "Reference already exists"} if known else {})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        if self._may_write(name) and self._commit_of(name, revision) is not None:
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(LFS) else "regular" for path in asked}
            files = [{"path": path, "uploadMode": modes[path], "shouldIgnore": False} for path in asked]
            self._send(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects = json.loads(body)["objects"]
        for item in objects:
            actions = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
            item |= {} if item["oid"] in self.hub.blobs else {"actions": actions}
        if self._may_write(name):
            self._send(200, {"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._send(400, {"error": "checksum"})
        else:
            self.hub.blobs[oid] = body
            self._send(200)

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if not self._may_write(name) or (found := self._commit_of(name, revision)) is None:
            return
        repo, commit = found
        files = dict(repo.commits[commit])
        for line in map(json.loads, body.splitlines()):
            key, value = line["key"], line["value"]
            if key == "header":
                self.hub.messages.append(value["summary"])
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                raise AssertionError(line)
        new = repo.write(files, revision)
        self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{new}", "commitOid": new, "success": True})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        if (found := self._commit_of(name, revision)) is None:
            return
        repo, commit = found
        data = repo.commits[commit].get(path)
        if data is None:
            self._send(404, {"error": "Entry not found"}, {"X-Repo-Commit": commit}, "EntryNotFound")
            return
        etag = hashlib.sha256(data).hexdigest()
        self._send(200, data, {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Content-Type": "binary/octet-stream"})


_ROUTES = {
    r"HEAD /?": _Handler.hello,
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.validate,
    rf"GET {MODEL}": _Handler.info,
    rf"GET {MODEL}/revision/(.+)": _Handler.info,
    rf"GET {MODEL}/tree/(.+)": _Handler.tree,
    rf"POST {MODEL}/branch/(.+)": _Handler.branch,
    rf"POST {MODEL}/preupload/(.+)": _Handler.preupload,
    rf"POST {MODEL}/commit/(.+)": _Handler.commit,
    r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/([0-9a-f]{64})": _Handler.put,
    r"HEAD|GET /([^/]+/[^/]+)/resolve/(.+)/([^/]+)": _Handler.resolve,
}
