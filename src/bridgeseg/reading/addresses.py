"""Addresses given in the place of files: recognised, never shown with a password, and answered with a way out."""

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
    kind = shown.partition("://")[0].lower()
    quoted = shlex.quote(shown)
    name = shown.rpartition("/")[2]
    ending = "." + name.rpartition(".")[2].lower() if "." in name else ""
    if kind in BUCKETS:
        message, fix = "buckets are not read by this command", "use examples/ray_predict.py, or copy the files first"
    elif kind in STREAMS or ending in (".m3u8", ".mpd"):
        message = "addresses of streams are not read; record to a file first"
        fix = (
            f"ffmpeg -i {quoted} -t 60 -c copy clip.mkv, with user and password if it needs them, then predict clip.mkv"
        )
    elif ending in SUFFIXES or kind not in ("http", "https"):
        message, fix = "addresses are not read; download the file first", f"curl -LO {quoted}"
    else:
        message = "addresses are not read; download the file or record the stream first"
        fix = f"curl -LO {quoted}, or of a stream: ffmpeg -i {quoted} -t 60 -c copy clip.mkv"
    return InputError(message, where=shown, fix=fix)
