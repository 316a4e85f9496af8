"""A file for runtimes that know little: no operator whose output's size depends on the image, one size if wanted.

Made from an ordinary file, in float or in 8 bits, so it needs neither the checkpoint nor PyTorch, and compared with it
before it gets its name. What the ordinary file does only where classes meet (`tail`) is done everywhere again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.agreement import SIZES, check_same_ids
from bridgeseg.exporting.confidence import NAME, confidence_everywhere, decision, drop_confidence
from bridgeseg.exporting.fixed import drop_copies, fix_sizes, fold
from bridgeseg.exporting.graph import add_constant, attribute, drop_dead, makers, read_instead, replace
from bridgeseg.exporting.modelfile import Exported, check_name, finished, refuse_names
from bridgeseg.exporting.spelling import respell
from bridgeseg.exporting.tail import everywhere
from bridgeseg.files import replacing
from bridgeseg.naming import named
from bridgeseg.runtime.metadata import read_metadata
from bridgeseg.runtime.onnx_runtime import OnnxRuntime

FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
ADDED = ("image_uint8", "image_nhwc")
"""What an image in another type and layout is turned into first."""
UNPLAIN = frozenset({"NonZero", "ScatterND", "If", "Loop", "Scan", "Unique", "Compress"})
"""Operators that a plain file does not have."""


def export_plain(
    model: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] | None = None,
    layout: str = "nhwc",
    input: str = "uint8",
    logits: bool = False,
) -> Exported:
    """Write an exported file as a plain one.

    Args:
        model: an .onnx file written by `bridgeseg export`, or the name of a bundled one.
        out: the .onnx file to write; an older one is replaced only by one that gives the same ids.
        size: (height, width) of the only images that it takes, one at a time; None for images of any size.
        layout: `nhwc`, images (B, H, W, 3), or `nchw`, (B, 3, H, W).
        input: `uint8`, or `float`: float32 of the same values, 0 to 255.
        logits: also give it the output `logits` (B, K, H, W).

    Returns:
        What was written, and the share of pixels with the ids of the file that it was made from.

    Raises:
        ModelFileError: the file is not one of this package, has parts that cannot be made plain, or the plain one
            gives other ids.
        InputError: the name does not end with .onnx, or the file cannot be written.
    """
    source, target = named(model), Path(out)
    check_name(target)
    before = OnnxRuntime(source)
    _, provenance = read_metadata(before)
    refuse_names(before, "a plain file")
    if "plain" in provenance:
        raise ModelFileError("this file is plain already", where=source, fix="give the file it was made from")
    graph = onnx.load(source)
    confidence = provenance.get(NAME) or {}
    temperature = confidence.get("temperature", 1.0) if NAME in before.outputs else None
    make_plain(graph, size=size, layout=layout, input=input, logits=logits, temperature=temperature)
    if left := sorted(UNPLAIN & {node.op_type for node in graph.graph.node}):
        message = f"its backbone uses {', '.join(left)}, which a plain file may not have"
        raise ModelFileError(message, where=source, fix="leave `plain` out, or train with another backbone")
    facts = {"size": None if size is None else list(size), "layout": layout, "input": input}
    entries = {entry.key: entry.value for entry in graph.metadata_props}
    entries["bridgeseg.provenance"] = json.dumps({**provenance, "plain": facts})
    helper.set_model_props(graph, entries)
    with replacing(target, fix="free some space, or choose another `out`") as part:
        part.write_bytes(finished(graph))
        agreement = check_same_ids(before, OnnxRuntime(part), [size] if size else SIZES, target)
    return Exported(target, target.stat().st_size, agreement)


def make_plain(
    model: onnx.ModelProto,
    *,
    size: tuple[int, int] | None = None,
    layout: str = "nhwc",
    input: str = "uint8",
    logits: bool = False,
    temperature: float | None = None,
) -> None:
    """Rewrite a file's graph in place; arguments as of `export_plain`, and the temperature of its confidence."""
    respell(model)
    drop_confidence(model)
    everywhere(model)
    if temperature is not None:
        confidence_everywhere(model, temperature)
    if logits and "logits" not in {value.name for value in model.graph.output}:
        _give_logits(model.graph)
    _take(model.graph, layout, input)
    if size is None:
        fold(model)
        drop_copies(model)
        return
    sides = [1, 3, *size] if layout == "nchw" else [1, *size, 3]
    fix_sizes(model, {"image": sides})


def _give_logits(graph: onnx.GraphProto) -> None:
    """Add what the ids are the places of the largest of, cut as they are, as an output."""
    _, argmax, cuts = decision(graph)
    name, nodes = argmax.input[0], []
    for number, (start, end, axes, _) in enumerate(cut for cut in cuts if cut[3]):
        inputs = [name, start, end, add_constant(graph, f"logits_axes_{number}", [axis + 1 for axis in axes])]
        name = f"logits_cut_{number}"
        nodes.append(helper.make_node("Slice", inputs, [name], name=name))
    if nodes:
        nodes[-1].output[0] = "logits"
    else:
        nodes.append(helper.make_node("Identity", [name], ["logits"], name="logits"))
    graph.node.extend(nodes)
    batch, height, width = (side.dim_param for side in graph.output[0].type.tensor_type.shape.dim)
    sides: list[Any] = [batch or None, None, height or None, width or None]
    graph.output.append(helper.make_tensor_value_info("logits", FLOAT, sides))


def _take(graph: onnx.GraphProto, layout: str, input: str) -> None:
    """Let the graph take images in another layout or type: it begins with what undoes the difference."""
    value = graph.input[0]
    sides = value.type.tensor_type.shape.dim
    added = []
    if input == "float":
        value.type.tensor_type.elem_type = FLOAT
        added.append(helper.make_node("Cast", ["image"], ["image_uint8"], to=UINT8, name="image_uint8"))
    if layout == "nchw":
        batch, height, width = (side.dim_param for side in sides[:3])
        for side, free in zip((sides[0], sides[2], sides[3]), (batch, height, width), strict=True):
            side.dim_param = free
        sides[1].dim_value = 3
        before = added[-1].output[0] if added else "image"
        added.append(helper.make_node("Transpose", [before], ["image_nhwc"], perm=[0, 2, 3, 1], name="image_nhwc"))
    if added:
        read_instead(graph.node, "image", added[-1].output[0])
        added[0].input[0] = "image"
        for node in reversed(added):
            graph.node.insert(0, node)
        _cancel(graph)


def _cancel(graph: onnx.GraphProto) -> None:
    """Drop what `_take` added together with what undoes it: turns of the layout, and floats to bytes to floats."""
    made_by = makers(graph)
    for shape in [node for node in graph.node if node.op_type == "Shape" and node.input[0] in ADDED]:
        start, end = attribute(shape, "start", 0), attribute(shape, "end", 4)
        if (start, end) == (0, 1) or 0 < start < end < 4:
            by = 1 if "image_nhwc" in made_by and start else 0
            moved = helper.make_node("Shape", ["image"], shape.output, start=start + by, end=end + by)
            replace(graph, [shape], [moved])
    for turn in [node for node in graph.node if node.op_type == "Transpose"]:
        before = made_by.get(turn.input[0])
        if before is not None and before.output[0] == "image_nhwc" and list(attribute(turn, "perm")) == [0, 3, 1, 2]:
            read_instead(graph.node, turn.output[0], before.input[0])
    for cast in [node for node in graph.node if node.op_type == "Cast" and attribute(node, "to") == FLOAT]:
        before = made_by.get(cast.input[0])
        if before is not None and before.op_type == "Transpose" and before.input[0] == "image_uint8":
            before.input[0] = "image"
            read_instead(graph.node, cast.output[0], before.output[0])
        elif cast.input[0] == "image_uint8":
            read_instead(graph.node, cast.output[0], "image")
    drop_dead(graph)
