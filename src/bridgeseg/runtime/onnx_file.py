"""An .onnx file as bytes: where its parts lie, and the checksum of its network. Needs no onnx and loads no weights.

An .onnx file is one message of Protocol Buffers: fields in a row, each with a number, a kind and its content
(protobuf.dev/programming-guides/encoding, onnx.proto: ModelProto).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SHA256 = "bridgeseg.sha256"
"""Metadata key of the checksum."""
GRAPH = 7
"""Number of the field that holds nodes and weights."""
METADATA = 14
"""Number of the fields that hold a key and a string each."""
MOST_FIELDS = 100_000
_CHUNK, _MASK = 1 << 20, (1 << 64) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def graph_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's network, its weights and nodes but not its metadata, as 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no ONNX file, or is cut.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        for number, start, length in fields(file):
            if number != GRAPH:
                continue
            file.seek(start)
            for offset in range(0, length, _CHUNK):
                digest.update(file.read(min(_CHUNK, length - offset)))
            file.seek(start + length)
    return digest.hexdigest()


def metadata(path: str | Path) -> dict[str, str]:
    """Return a file's own key-value strings.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no ONNX file, or is cut.
    """
    found: dict[str, str] = {}
    with Path(path).open("rb") as file:
        for number, start, length in fields(file):
            if number == METADATA:
                file.seek(start)
                entry = {part: (place, size) for part, place, size in fields(file, start + length)}
                key, value = (_text(file, *entry.get(part, (0, 0))) for part in (1, 2))
                found[key] = value
    return found


def _text(file: BinaryIO, start: int, length: int) -> str:
    file.seek(start)
    return file.read(length).decode(errors="replace")


def fields(file: BinaryIO, end: int | None = None, *, numbers: bool = False) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and length in bytes of every field of a message that holds bytes.

    The file may be read in between, and is put behind the field by the next step.

    Args:
        file: at the beginning of the message.
        end: where the message ends; by default, with the file.
        numbers: yield fields that hold one integer too, which `varints` reads; by default they are passed over.

    Raises:
        ValueError: this is no message, it is cut, or it has more than `MOST_FIELDS` fields.
    """
    place = file.tell()
    end = file.seek(0, 2) if end is None else end
    for _ in range(MOST_FIELDS):
        if place == end:
            return
        file.seek(place)
        number, kind = divmod(_varint(file), 8)
        length = {_FIXED64: 8, _FIXED32: 4, _VARINT: 0}.get(kind, -1)
        start = file.tell()
        if kind == _VARINT:
            _varint(file)
            length = file.tell() - start
        elif kind == _BYTES:
            length = _varint(file)
            start = file.tell()
        if length < 0 or number == 0 or start + length > end:
            raise ValueError(f"no ONNX file, or cut: field {number} of kind {kind} at byte {place}")
        place = start + length
        if kind == _BYTES or (numbers and kind == _VARINT):
            yield number, start, length
    raise ValueError(f"more than {MOST_FIELDS:,} fields in one message")


def varints(content: bytes) -> list[int]:
    """Return the integers (64 bits, with sign) that a field of one or a packed field of several holds.

    Raises:
        ValueError: the last one is not finished.
    """
    file, values = io.BytesIO(content), list[int]()
    while file.tell() < len(content):
        value = _varint(file) & _MASK
        values.append(value - (_MASK + 1) if value >> 63 else value)
    return values


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError(f"no ONNX file, or cut: a number is not finished at byte {file.tell()}")
