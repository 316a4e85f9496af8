"""File formats that a mask should not have, told by the first bytes of the file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp", "old_jpeg"})
"""Pillow's names of compressions in a TIFF that change values."""


class Container(NamedTuple):
    """The format of a file: what it is called, and whether its compression changes values."""

    name: str
    lossy: bool


def container(path: Path) -> Container | None:
    """Return the format of an image file that is not read as a mask, None for one that is not known here."""
    with path.open("rb") as file:
        head = file.read(32)
    if head[:3] == b"\xff\xd8\xff":
        return Container("JPEG", True)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Container("WebP", head[12:16] != b"VP8L")
    if head[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1"):
        return Container("AVIF or HEIC", True)
    if head[:12] == b"\x00\x00\x00\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return Container("JPEG 2000", True)
    if head[:4] == b"GIF8":
        return Container("GIF", False)
    return Container("PPM", False) if head[:1] == b"P" and head[1:2] in b"123456" else None
