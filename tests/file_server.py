"""A small web server for the tests of downloads: files with ETags and ranges, and what goes wrong with them."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serve `files` on this machine; use it as a context manager.

    Attributes:
        files: path -> content.
        leads: path -> address it redirects to.
        breaks: how many of the next answers end in the middle.
        ranges: whether parts are given.
        sized: whether an answer says how long it is.
        tag: the ETag of all files.
        asked: the paths asked for, and the ranges.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    breaks: int = 0
    ranges: bool = True
    sized: bool = True
    tag: str = '"one"'
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> FileServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.lstrip("/")
        self.asked.append((name, handler.headers["Range"]))
        if name in self.leads:
            handler.send_response(302)
            handler.send_header("Location", self.leads[name])
            handler.end_headers()
            return
        if name not in self.files:
            handler.send_error(404)
            return
        content, first = self.files[name], 0
        if self.ranges and handler.headers["Range"] and handler.headers["If-Range"] == self.tag:
            first = int(re.findall(r"\d+", handler.headers["Range"])[0])
        if first >= len(content) > 0:
            handler.send_error(416)
            return
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if self.tag:
            handler.send_header("ETag", self.tag)
        if self.sized:
            handler.send_header("Content-Length", str(len(content) - first))
        handler.end_headers()
        part = content[first:]
        if self.breaks:
            self.breaks -= 1
            part = part[: len(part) // 2]
        handler.wfile.write(part)
