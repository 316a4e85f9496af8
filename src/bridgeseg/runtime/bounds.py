"""What a stranger's .onnx file may ask of the machine, checked before a runtime reads it and without loading weights.

A runtime builds whatever a file says: a constant of many gigabytes while it loads, a loop that never ends. The files
that `bridgeseg export` writes need neither, nor weights outside the file, so all of it is refused here. Sizes that a
network computes from others are not followed: whoever runs files of strangers limits the process too
(docs/runtimes.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.onnx_file import GRAPH, METADATA, MOST_FIELDS, fields, varints
from bridgeseg.wording import shortened

MOST_ELEMENTS = 1 << 28
"""Numbers in one tensor that a constant of the file asks for: 1 GB of floats."""
MOST_METADATA = 16 << 20
"""Bytes of all metadata together; some 100,000 class names fit."""
MOST_STEPS = 1_000_000
"""Fields that are looked at before a file is refused: a few seconds. A network of this package has some 10,000."""
DEPTH = 8
"""Graphs within graphs."""
ENDLESS = {"Loop", "Scan", "SequenceMap", "BeamSearch", "WhisperBeamSearch", "GreedySearch", "Sampling"}
"""Operators that repeat a part of the network as often as a number says."""
GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "Pad", "OneHot"} | {
    "RandomNormal",
    "RandomUniform",
    "CenterCropPad",
}
"""Operators whose output is as large as a number says."""

# Numbers of fields in onnx.proto
_MODEL_FUNCTION = 25
_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_SPARSE, _FUNCTION_NODE = 1, 5, 15, 7
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_INTS, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (3, 8), (5, 10), (6, 11), (22, 23)
_TENSOR_TYPE, _TENSOR_INTS, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL = 2, (5, 7), 8, 9, 13
_WIDTHS = {6: 4, 7: 8}  # bytes of the types int32 and int64, which shapes have
_SHORT = 512  # bytes of a tensor that may be a shape

_FIX = "give a file written by `bridgeseg export`, or one of somebody you trust exported again by it"


def check_bounds(path: Path) -> None:
    """Refuse a file that asks for more than a network of this package needs.

    Raises:
        ModelFileError: it repeats parts of itself, has constants beyond `MOST_ELEMENTS`, keeps weights outside or in
            sparse form, has too much metadata, or is no ONNX file; the text says which.
    """
    try:
        with path.open("rb") as file:
            _Check(path, file).model()
    except ValueError as error:
        fix = "copy or export it again: bridgeseg export --model RUN --out FILE.onnx"
        raise ModelFileError(f"cannot load this file: {error}", where=path, fix=fix) from error
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ModelFileError(message, where=path, fix="check its permissions, or copy it again") from error


class _Check:
    """One pass over one file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file, self.steps = path, file, 0

    def refuse(self, message: str) -> ModelFileError:
        return ModelFileError(message, where=self.path, fix=_FIX)

    def fields(self, start: int, length: int) -> Iterator[tuple[int, int, int]]:
        self.file.seek(start)
        for field in fields(self.file, start + length, numbers=True):
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise self.refuse(f"it has more than {MOST_STEPS:,} parts; networks have some {MOST_FIELDS // 10:,}")
            yield field

    def model(self) -> None:
        metadata = 0
        for number, start, length in self.fields(0, self.file.seek(0, 2)):
            if number == METADATA:
                metadata += length
                if metadata > MOST_METADATA:
                    raise self.refuse(f"it has more than {MOST_METADATA >> 20} MB of metadata")
            elif number == GRAPH:
                self.graph(start, length, {}, 0)
            elif number == _MODEL_FUNCTION:
                self.nodes(start, length, _FUNCTION_NODE, {}, 0)

    def graph(self, start: int, length: int, outer: Mapping[str, list[int]], depth: int) -> None:
        if depth > DEPTH:
            raise self.refuse(f"it has graphs within graphs, more than {DEPTH} deep")
        known = dict(outer)
        for number, place, size in self.fields(start, length):
            if number == _GRAPH_SPARSE:
                raise self.refuse("it has sparse weights, which may be of any size in memory")
            if number == _GRAPH_WEIGHT:
                name, values = self.tensor(place, size)
                known |= {name: values} if values else {}
        self.nodes(start, length, _GRAPH_NODE, known, depth)

    def nodes(self, start: int, length: int, kind: int, known: dict[str, list[int]], depth: int) -> None:
        for number, place, size in self.fields(start, length):
            if number == kind:
                self.node(place, size, known, depth)

    def node(self, start: int, length: int, known: dict[str, list[int]], depth: int) -> None:
        operator, inputs, outputs, own = "", list[str](), list[str](), list[int]()
        for number, place, size in self.fields(start, length):
            if number == _NODE_OPERATOR:
                operator = self.text(place, size)
            elif number == _NODE_INPUT:
                inputs.append(self.text(place, size))
            elif number == _NODE_OUTPUT:
                outputs.append(self.text(place, size))
            elif number == _NODE_ATTRIBUTE:
                own += self.attribute(place, size, known, depth)
        if operator in ENDLESS:
            raise self.refuse(f"it repeats a part of itself (operator {operator}), maybe without end")
        if operator == "Constant" and outputs:
            known[outputs[0]] = own
        if operator in GROWING:
            shapes = [own] if operator.startswith("Random") else [known.get(name, []) for name in inputs]
            count = max((math.prod(value for value in values if value > 0) for values in shapes), default=0)
            if count > MOST_ELEMENTS:
                found = f"the operator {operator} asks for {count:,} numbers at once"
                raise self.refuse(f"{found}, more than the limit of {MOST_ELEMENTS:,}")

    def attribute(self, start: int, length: int, known: dict[str, list[int]], depth: int) -> list[int]:
        """Return the integers of an attribute."""
        values: list[int] = []
        for number, place, size in self.fields(start, length):
            if number in _ATTRIBUTE_SPARSE:
                raise self.refuse("it has sparse constants, which may be of any size in memory")
            if number in _ATTRIBUTE_GRAPHS:
                self.graph(place, size, known, depth + 1)
            elif number in _ATTRIBUTE_TENSORS:
                values += self.tensor(place, size)[1]
            elif number in _ATTRIBUTE_INTS and size <= _SHORT:
                values += varints(self.read(place, size))
        return values

    def tensor(self, start: int, length: int) -> tuple[str, list[int]]:
        """Return the name of a tensor and its numbers, if they may be a shape."""
        name, kind, raw, values = "", 0, b"", list[int]()
        for number, place, size in self.fields(start, length):
            if number == _TENSOR_EXTERNAL:
                message = "External data is not read: its weights lie in another file"
                fix = "give a file that holds its own weights, as `bridgeseg export` writes it"
                raise ModelFileError(message, where=self.path, fix=fix)
            if number == _TENSOR_NAME:
                name = self.text(place, size)
            elif number == _TENSOR_TYPE:
                kind = varints(self.read(place, size))[0]
            elif number == _TENSOR_RAW and size <= _SHORT:
                raw = self.read(place, size)
            elif number in _TENSOR_INTS and size <= _SHORT:
                values += varints(self.read(place, size))
        if width := _WIDTHS.get(kind):
            values += [int.from_bytes(raw[at : at + width], "little", signed=True) for at in range(0, len(raw), width)]
        return name, values if width else []

    def text(self, start: int, length: int) -> str:
        return shortened(self.read(start, min(length, 200)).decode(errors="replace"))

    def read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        return self.file.read(length)
