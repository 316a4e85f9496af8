"""Addresses given instead of files: recognised, never shown with a password, and answered with a way out."""

from __future__ import annotations

import re
import shlex

from bridgeseg.errors import InputError
from bridgeseg.images import SUFFIXES

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])", re.ASCII)  # a Path makes one slash of two
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "mms")
BUCKETS = ("s3", "gs", "gcs", "abfs", "hdfs")


def is_address(name: str) -> bool:
    """Whether a name is an address and not that of a file."""
    return ADDRESS.match(name) is not None


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
    kind, _, rest = shown.partition("://")
    name = rest.rpartition("/")[2]
    ending = "." + name.rpartition(".")[2].lower() if "." in name else ""
    download, record = f"curl -LO {shlex.quote(shown)}", f"ffmpeg -i {shlex.quote(shown)} -t 60 -c copy clip.mkv"
    if kind.lower() in BUCKETS:
        message, fix = "buckets are not read by this command", "use examples/ray_predict.py, or copy the files first"
    elif kind.lower() in STREAMS or ending in (".m3u8", ".mpd"):
        message, fix = "addresses of streams are not read; record to a file first", record
    elif ending in SUFFIXES or kind.lower() not in ("http", "https"):
        message, fix = "addresses are not read; download the file first", download
    else:
        message, fix = "addresses are not read; download the file, or record the stream", f"{download}, or {record}"
    if shown != address and "@" in address:
        message += " (add user and password to the command below)"
    return InputError(message, where=shown, fix=fix)
