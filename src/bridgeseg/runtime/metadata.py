"""What an .onnx file says of itself: format, classes, provenance; checked against what it really takes and gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, DataError, ModelFileError
from bridgeseg.pixels import Reading
from bridgeseg.runtime.onnx_file import SHA256, graph_digest
from bridgeseg.runtime.open_file import INPUT
from bridgeseg.runtime.runtimes import FileRuntime
from bridgeseg.runtime.taking import Taking
from bridgeseg.wording import shortened, shown

FORMAT = "1"
"""Value of the metadata key `bridgeseg.format`."""
LONGEST_NAME = 1000
"""Characters of a class name."""


def read_metadata(runtime: FileRuntime) -> tuple[ClassSet, dict[str, Any]]:
    """Return the classes and the provenance of a file.

    Raises:
        ModelFileError: it is no bridgeseg file, its network is not what its checksum says, or its metadata is
            incomplete or does not fit its inputs and outputs.
    """
    metadata = runtime.metadata
    if "bridgeseg.format" not in metadata:
        raise ModelFileError(f"not a bridgeseg file: {_description(runtime)}", where=runtime.path, fix=_EXPORT)
    if metadata["bridgeseg.format"] != FORMAT:
        found = metadata["bridgeseg.format"]
        raise ModelFileError(
            f"written in format {found!r}, this version reads format {FORMAT!r}",
            where=runtime.path,
            fix="pip install --upgrade bridgeseg",
        )
    provenance = _json(runtime, "bridgeseg.provenance") if "bridgeseg.provenance" in metadata else {}
    try:
        classes = ClassSet.from_dict(_json(runtime, "bridgeseg.classes"))
    except DataError as error:
        raise ModelFileError(f"`bridgeseg.classes`: {error.message}", where=runtime.path, fix=_EXPORT) from error
    if (longest := max(map(len, classes.names))) > LONGEST_NAME:
        message = f"a class name of {longest:,} characters; at most {LONGEST_NAME} are allowed"
        raise ModelFileError(message, where=runtime.path, fix=_EXPORT)
    check_provenance(provenance, runtime.path)
    _check_input(runtime, len(classes))
    _check_outputs(runtime, len(classes))
    _check_digest(runtime)
    return classes, provenance


def check_provenance(provenance: dict[str, Any], where: Path) -> None:
    """Check those training facts that others compute with; the rest may be anything.

    Args:
        provenance: of an .onnx file or a checkpoint, from whoever wrote it.
        where: the file that an error names.

    Raises:
        ModelFileError: `scores` is no object of numbers, strings and null, with `iou` an object of numbers and null.
    """
    scores = provenance.get("scores") or {}
    iou = (scores.get("iou") or {}) if isinstance(scores, dict) else scores
    for name, value, allowed in (("scores", scores, (int, float, str)), ("scores.iou", iou, (int, float))):
        if not isinstance(value, dict):
            found = f"must be an object, found {type(value).__name__}"
            raise ModelFileError(f"`{name}` in its provenance {found}", where=where, fix=_EXPORT)
        for key, item in value.items():
            if key != "iou" and item is not None and not isinstance(item, allowed):
                found = f"`{name}.{shortened(key)}` in its provenance must be a number, found {type(item).__name__}"
                raise ModelFileError(found, where=where, fix=_EXPORT)


def trained_reading(provenance: dict[str, Any], where: Path | None) -> Reading:
    """Return how the images that a network was trained on were read; files of earlier versions do not say.

    Args:
        provenance: of an .onnx file or a checkpoint, from whoever wrote it.
        where: the file that an error names.

    Raises:
        ModelFileError: `reading` is no object of `image_range` and `bands`, or these are not what they should be.
    """
    found = provenance.get("reading") or {}
    try:
        return Reading.of(**found)
    except (TypeError, ConfigError) as error:
        message = f"`reading` in its provenance must be an object of 'image_range' and 'bands', found {shown(found)}"
        raise ModelFileError(message, where=where, fix=_EXPORT) from error


_EXPORT = "give a file written by `bridgeseg export`"


def _description(runtime: FileRuntime) -> str:
    inputs = ", ".join(f"{name} {kind}{shape}" for name, (kind, shape) in runtime.inputs.items())
    outputs = ", ".join(f"{name} {kind}{shape}" for name, (kind, shape) in runtime.outputs.items())
    return f"no `bridgeseg.format` in its metadata (producer {runtime.producer!r}, inputs {inputs}, outputs {outputs})"


def _json(runtime: FileRuntime, key: str) -> dict[str, Any]:
    try:
        value = json.loads(runtime.metadata[key])
    except KeyError as error:
        raise ModelFileError(f"no `{key}` in its metadata", where=runtime.path, fix=_EXPORT) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"`{key}` in its metadata is no JSON: {error}", where=runtime.path, fix=_EXPORT) from error
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ModelFileError(
            f"`{key}` in its metadata must be a JSON object, found {kind}", where=runtime.path, fix=_EXPORT
        )
    return value


def _check_input(runtime: FileRuntime, count: int) -> None:
    vectors = runtime.class_embeddings
    if vectors is not None and len(vectors) != count:
        message = f"its metadata names {count} classes, and has class embeddings of {len(vectors)}"
        raise ModelFileError(message, where=runtime.path, fix=_EXPORT)
    if set(runtime.inputs) - {INPUT} != {"image"} or Taking.of(runtime.inputs) is None:
        raise ModelFileError(
            "its one input, but for class embeddings, must be `image`, uint8 or float (B, H, W, 3) or (B, 3, H, W), "
            "with B, H and W free or B = 1 and H and W fixed; found "
            + ", ".join(f"`{name}`, {kind} {shape}" for name, (kind, shape) in runtime.inputs.items()),
            where=runtime.path,
            fix=_EXPORT,
        )


def _check_outputs(runtime: FileRuntime, count: int) -> None:
    expected = "uint8" if count <= 256 else "uint16"
    found = ", ".join(f"`{name}`, {kind} {shape}" for name, (kind, shape) in runtime.outputs.items())
    kind, shape = runtime.outputs.get("classes", ("", []))
    if kind != expected or len(shape) != 3:
        message = f"with {count} classes it must have an output `classes`, {expected} (B, H, W); found {found}"
        raise ModelFileError(message, where=runtime.path, fix=_EXPORT)
    kind, shape = runtime.outputs.get("confidence", ("uint8", [None] * 3))
    if kind != "uint8" or len(shape) != 3:
        message = f"its output `confidence` must be uint8 (B, H, W); found {found}"
        raise ModelFileError(message, where=runtime.path, fix=_EXPORT)
    kind, shape = runtime.outputs.get("logits", ("float", [None, count, None, None]))
    if kind != "float" or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != count):
        message = f"its metadata names {count} classes, so `logits` must be float32 (B, {count}, H, W); found {found}"
        raise ModelFileError(message, where=runtime.path, fix=_EXPORT)


def _check_digest(runtime: FileRuntime) -> None:
    """Compare the network with its checksum; files of earlier versions carry none."""
    expected = runtime.metadata.get(SHA256)
    if expected is None:
        return
    try:
        found = graph_digest(runtime.path)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot be read again: {error}", where=runtime.path, fix="copy it again") from error
    if found != expected:
        message = "the network in this file is not the one that was written: its checksum differs"
        raise ModelFileError(message, where=runtime.path, fix="copy or export it again")
