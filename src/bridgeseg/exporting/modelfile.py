"""How an .onnx file is written: for the oldest runtimes that can run it, with the checksum of its network, whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from bridgeseg import __version__
from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.exporting.opset import lower_opset
from bridgeseg.files import write
from bridgeseg.runtime.onnx_file import SHA256
from bridgeseg.runtime.runtimes import FileRuntime


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file, or the folder for another runtime.
        bytes: its size.
        agreement: the share of pixels with the ids of what it was made from; None for a folder that was not run,
            because nothing on this machine runs it.
        confidence: what is known of its output `confidence`, as `temperature.fit_temperature` says it; None without.
    """

    path: Path
    bytes: int
    agreement: float | None
    confidence: dict[str, Any] | None = None


def check_name(out: Path) -> None:
    """Check that a file can have this name.

    Raises:
        InputError: it does not end with .onnx, or there is a folder of this name.
    """
    if out.suffix != ".onnx":
        raise InputError("is no name for an exported model", where=out, fix="end it with .onnx")
    if out.is_dir():
        raise InputError("is a folder", where=out, fix="choose another `out`")


def refuse_names(runtime: FileRuntime, kind: str) -> None:
    """Refuse a file whose names are an input.

    Args:
        runtime: has opened it.
        kind: what it was to become.

    Raises:
        ModelFileError: it is such a file.
    """
    if runtime.class_embeddings is not None:
        fix = "export its run with the names that the file is to have: bridgeseg export --model RUN --names NAMES"
        raise ModelFileError(
            f"names are an input of this file, and {kind} fits one vocabulary", where=runtime.path, fix=fix
        )


def save(model: onnx.ModelProto, path: str | Path) -> None:
    """Write a model, as `finished` returns it, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write(path, finished(model), fix="free some space, or choose another `out`")


def finished(model: onnx.ModelProto) -> bytes:
    """Return the bytes of a model's file.

    The model, which is changed in place, asks for no more than its operators need (`lower`), names bridgeseg as its
    producer, and holds the SHA-256 of its graph in the metadata (`runtime.onnx_file.graph_digest`).
    """
    lower(model)
    model.producer_name, model.producer_version = "bridgeseg", __version__
    entries = {entry.key: entry.value for entry in model.metadata_props}
    digest = hashlib.sha256(model.graph.SerializeToString()).hexdigest()
    helper.set_model_props(model, {**entries, SHA256: digest})
    content: bytes = model.SerializeToString()
    return content


def lower(model: onnx.ModelProto) -> None:
    """Drop the operator sets that no node is from, and declare the lowest others and IR version, in place.

    A runtime refuses a file whose IR version, or one of whose operator sets, is newer than itself, used or not.
    """
    lower_opset(model)
    used = _domains(model.graph)
    for function in model.functions:
        used |= {function.domain} | {entry.domain for entry in function.opset_import}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    if not model.functions:
        model.ir_version = helper.find_min_ir_version_for(kept, ignore_unknown=True)


def _domains(graph: onnx.GraphProto) -> set[str]:
    """Return the domains of all nodes, those of branches and loops included."""
    found = {""}
    for node in graph.node:
        found.add("" if node.domain == "ai.onnx" else node.domain)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found |= _domains(inner)
    return found
