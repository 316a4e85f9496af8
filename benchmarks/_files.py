"""Files that `latency.py` times: its rows, the bundled models, and what the user names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import onnx

from _dense import channels_last
from bridgeseg.errors import InputError
from bridgeseg.runtime.model import BUNDLED
from bridgeseg.runtime.onnx_runtime import OnnxRuntime

FILES = "files"
"""The family of those that were not built here."""


@dataclass(frozen=True)
class Row:
    """One file in the run; `family`, `classes` and `alone` as in `_networks.Candidate`, `parameters` if known."""

    name: str
    family: str
    classes: int | None
    path: Path
    parameters: int | None = None
    alone: bool = False


def bundled() -> list[Row]:
    """Return the models that come with the package."""
    return [_read(f"bundled {path.name}", path) for path in sorted(BUNDLED.parent.glob("*.onnx"))]


def given(texts: list[str], folder: Path) -> list[Row]:
    """Return the files named as NAME=PATH, or by PATH alone.

    In a file that bridgeseg did not write, upsampling and argmax at the end, if that is what it ends with, are brought
    into the layout that ONNX Runtime is fastest at (`channels_last`), as they are for the peers that are built here.

    Args:
        texts: the options' values.
        folder: where files that had to be changed go.

    Raises:
        InputError: a file has other inputs or outputs than ours, or two have one name and number of classes.
    """
    rows: list[Row] = []
    for text in texts:
        name, equals, path = text.partition("=")
        row = _read(name, Path(path)) if equals else _read(Path(text).name, Path(text))
        if any((row.name, row.classes) == (other.name, other.classes) for other in rows):
            raise InputError(f"two files are called {row.name!r}", where="--file", fix="--file NAME=PATH")
        rows.append(_with_fast_tail(row, folder))
    return rows


def _read(name: str, path: Path) -> Row:
    runtime = OnnxRuntime(path, 1)
    image, ids = runtime.inputs.get("image"), runtime.outputs.get("classes")
    if image is None or ids is None or image[0] != "uint8" or len(image[1]) != 4:
        raise InputError(
            "does not take `image` uint8 (B, H, W, 3) and give `classes` (B, H, W)",
            where=path,
            fix="put normalisation and argmax into the file, as benchmarks/export_yolo.py does",
        )
    facts = runtime.metadata
    if "bridgeseg.classes" in facts:
        classes = len(json.loads(facts["bridgeseg.classes"])["names"])
        parameters = json.loads(facts["bridgeseg.provenance"]).get("parameters")
        return Row(name, FILES, classes, path, parameters)
    known = {key: int(facts[key]) if key in facts else None for key in ("classes", "parameters")}
    return Row(name, FILES, known["classes"], path, known["parameters"])


def _with_fast_tail(row: Row, folder: Path) -> Row:
    graph = onnx.load(row.path)
    if any(item.key == "bridgeseg.format" for item in graph.metadata_props):
        return row
    path = folder / f"given-{row.path.stem}-{row.classes}.onnx"
    onnx.save(channels_last(graph), path)
    return Row(row.name, row.family, row.classes, path, row.parameters)
