"""Addresses given instead of files: recognised, never shown with a password, and refused where they are no streams."""

from __future__ import annotations

import re
import shlex

from bridgeseg.errors import InputError
from bridgeseg.images import SUFFIXES
from bridgeseg.reading.video import SUFFIXES as FILMS

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])", re.ASCII)  # a Path makes one slash of two
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "mmsh")
BUCKETS = ("s3", "gs", "gcs", "abfs", "hdfs")


def is_address(name: str) -> bool:
    """Whether a name is an address and not that of a file."""
    return ADDRESS.match(name) is not None


def is_stream(name: str) -> bool:
    """Whether a name is the address of a stream: of its protocols, or of HTTP and not of an image or a video file."""
    match = ADDRESS.match(name)
    kind = "" if match is None else match[1].lower()
    return kind in STREAMS or (kind in ("http", "https") and _ending(without_password(name)) not in SUFFIXES | FILMS)


def whole(address: str) -> str:
    """Return an address with both slashes, which a Path makes one."""
    match = ADDRESS.match(address)
    return address if match is None else f"{match[1]}://{address[match.end() :]}"


def _ending(shown: str) -> str:
    name = shown.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def without_password(address: str) -> str:
    """Return an address without user, password and query, which may hold secrets; with both slashes.

    >>> without_password("rtsp://user:secret@10.0.0.2/1?token=abc")
    'rtsp://10.0.0.2/1'
    """
    match = ADDRESS.match(address)
    if match is None:
        return address
    host, slash, path = re.split(r"[?#]", address[match.end() :], maxsplit=1)[0].partition("/")
    # a password may hold a slash, and everything before the last @ may be one
    return f"{match[1]}://{(host + slash + path).rpartition('@')[2]}"


def refusal(address: str) -> InputError:
    """Say that an address is not read, and how to get a file."""
    shown = without_password(address)
    if shown.partition("://")[0].lower() in BUCKETS:
        message, fix = "buckets are not read by this command", "use examples/ray_predict.py, or copy the files first"
    else:
        message, fix = "addresses of files are not read; download it first", f"curl -LO {shlex.quote(shown)}"
    if shown != address and "@" in address:
        message += " (add user and password to the command below)"
    return InputError(message, where=shown, fix=fix)
