"""A file at a plain address -> a file here: of a bounded size, taken up again where it broke off."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from bridgeseg import __version__
from bridgeseg.errors import InputError
from bridgeseg.files import PART, flush
from bridgeseg.report.progress import ProgressBar
from bridgeseg.wording import shown

TIMEOUT_S = 30.0
"""How long a server may be silent."""
TRIES = 5
"""Connections that may break off in one call."""
BLOCK = 2**18
MB = 1_000_000
ROOM = "free some space, or choose another place"
BY_HAND = "download it by hand and give its folder as `root`"


def fetch(url: str, target: Path, limit: int, *, show: bool = True) -> None:
    """Load a file; what an interrupted call left of it is continued, if the server says that it is the same.

    The file is `target` with `.part` at its end until it is whole. A connection that breaks off is made again.

    Args:
        url: an http or https address; redirections are followed, but never from https to http.
        target: the file to make; its folder is there.
        limit: bytes that it may have.
        show: whether a progress bar may appear.

    Raises:
        InputError: there is no network or no such file, it is too large, or it cannot be written.
    """
    part = target.with_name(target.name + PART)
    for attempt in range(TRIES):
        try:
            _continue(url, part, limit, show)
            break
        except _BrokenOffError as error:
            if attempt == TRIES - 1:
                message = f"the connection broke off {TRIES} times, {_mb(_size(part))} are here: {error}"
                raise InputError(message, where=url, fix="run the same command again; it goes on from here") from error
        except OSError as error:
            raise InputError(f"cannot be written: {shown(error)}", where=part, fix=ROOM) from error
    try:
        flush(part)
        part.replace(target)
        _note(part).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {shown(error)}", where=target, fix=ROOM) from error


class _BrokenOffError(Exception):
    """The server stopped in the middle."""


class _Redirects(HTTPRedirectHandler):
    """Follow redirections to http and https; never out of https."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise URLError(f"it leads from {old} to {new}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continue(url: str, part: Path, limit: int, show: bool) -> None:
    """Load what is missing of a file.

    Raises:
        InputError: it is not to be had, or too large.
        _BrokenOffError: it ended too early.
        OSError: it cannot be written.
    """
    here, validator = _size(part), _validator(part)
    if not validator:
        here = 0
    with _answer(url, here, validator) as answer:
        length = answer.headers.get("Content-Length", "")
        rest = int(length) if re.fullmatch(r"\d{1,15}", length) else None
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            here = 0
        if here + (rest or 0) > limit:
            message = f"it has {_mb(here + (rest or 0))}; at most {_mb(limit)} are loaded"
            raise InputError(message, where=url, fix=f"if you trust it, {BY_HAND}")
        free = shutil.disk_usage(part.parent).free
        if rest is not None and rest > free:
            raise InputError(f"it needs {_mb(rest)}, and {_mb(free)} are free", where=part.parent, fix=ROOM)
        if here == 0:
            part.unlink(missing_ok=True)
            _remember(part, answer.headers)
        with (
            ProgressBar(f"{part.stem} (MB)", None if rest is None else (here + rest) // MB, show=show) as bar,
            part.open("ab") as file,
        ):
            for size in _copied(answer, file, here):
                if size > limit:
                    message = f"it has more than the {_mb(limit)} that are loaded"
                    raise InputError(message, where=url, fix=f"if you trust it, {BY_HAND}")
                bar.move(size // MB)
    if rest is not None and _size(part) < here + rest:
        raise _BrokenOffError(f"{_size(part):,} of {here + rest:,} bytes came")


def _copied(answer: IO[bytes], file: IO[bytes], here: int) -> Iterator[int]:
    """Copy block by block, and yield how many bytes there are."""
    while True:
        try:
            block = answer.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:  # of the connection: the file is written below
            raise _BrokenOffError(shown(error)) from error
        if not block:
            return
        file.write(block)
        here += len(block)
        yield here


def _answer(url: str, here: int, validator: str) -> Any:
    """Ask for a file from byte `here` on, or from its beginning if it has changed since."""
    headers = {"User-Agent": f"bridgeseg/{__version__}", "Accept-Encoding": "identity"}
    if here:
        headers |= {"Range": f"bytes={here}-", "If-Range": validator}
    by_hand = f"check the network and the proxy, or {BY_HAND}"
    try:
        return build_opener(_Redirects()).open(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code == 416 and here:  # nothing is left to load: ask for all of it
            return _answer(url, 0, "")
        fix = f"try again later, or {BY_HAND}" if error.code >= 500 else BY_HAND
        raise InputError(f"the server answered {error.code} {shown(error.reason)}", where=url, fix=fix) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = shown(getattr(error, "reason", error))
        raise InputError(f"cannot be reached: {reason}", where=url, fix=by_hand) from error


def _note(part: Path) -> Path:
    """Return the file that holds what the server calls this version of the file."""
    return part.with_name(part.name + ".json")


def _remember(part: Path, headers: Any) -> None:
    etag = headers.get("ETag") or ""
    strong = etag if etag.startswith('"') else headers.get("Last-Modified") or ""
    _note(part).write_text(json.dumps({"validator": strong}), encoding="utf-8")


def _validator(part: Path) -> str:
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads(_note(part).read_text(encoding="utf-8")).get("validator")
        return found if isinstance(found, str) and found.isprintable() else ""
    return ""


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _mb(size: int) -> str:
    return f"{size / MB:,.1f} MB"
