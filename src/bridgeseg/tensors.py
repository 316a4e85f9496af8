"""Headers of safetensors files: what tensors a file holds, without reading them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from bridgeseg.errors import ModelFileError
from bridgeseg.wording import shown

Shapes = dict[str, tuple[int, ...]]
HEADER, TENSORS = 8 << 20, 20_000
"""Bytes of a header and tensors in it; the largest networks have a hundredth of them."""
FIX = "write or copy the file again"


def read_shapes(path: Path) -> Shapes:
    """Read the names and shapes of the tensors of a safetensors file, and nothing else of it.

    Raises:
        ModelFileError: no safetensors file, a header beyond all networks, or a file of another size than it says.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise ModelFileError("is no file", where=path, fix=FIX)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(HEADER, size - 8):
            raise ModelFileError(f"is cut, or no safetensors file (a header of {length} bytes)", where=path, fix=FIX)
        header = file.read(length)
    try:
        entries = {key: value for key, value in json.loads(header).items() if key != "__metadata__"}
        if len(entries) > TENSORS:
            raise ModelFileError(f"names {len(entries)} tensors, at most {TENSORS} are read", where=path, fix=FIX)
        shapes = {key: _shape(entry) for key, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ModelFileError(f"is no safetensors file: {shown(error)}", where=path, fix=FIX) from error
    if end != size - 8 - length:
        raise ModelFileError(f"is cut: {size - 8 - length} bytes of {end} are there", where=path, fix=FIX)
    return shapes


def _shape(entry: dict[str, Any]) -> tuple[int, ...]:
    """Return a shape whose numbers take no more bytes than the header gives them."""
    shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int for number in (*shape, start, stop)):  # JSON has 1.5, and Python's has Infinity
        raise ValueError("a size or a place that is no whole number")
    if min(shape, default=1) < 0 or math.prod(shape) > max(stop - start, 0):
        raise ValueError(f"{stop - start} bytes for a tensor of shape {shape}")
    return shape
