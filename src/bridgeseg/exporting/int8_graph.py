"""What ONNX Runtime is slow at in an 8-bit graph, written in another way; the answers stay the same, to the last bit.

It keeps the channels of a pixel side by side in 8 bits. A nearest upsampling then goes pixel by pixel, and takes eight
times as long as copies of pixels and rows; and a tensor that several float operators read is turned into floats once
for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import helper

from bridgeseg.exporting.graph import add_constant, attribute, constant, makers, readers

NEAREST = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}


def quicken(model: onnx.ModelProto) -> None:
    """Rewrite a graph of QuantizeLinear and DequantizeLinear in place."""
    _copy_pixels(model.graph)
    _make_floats_once(model.graph)


def _copy_pixels(graph: onnx.GraphProto) -> None:
    """Write nearest upsamplings by a whole factor, between 8 bits and 8 bits, as copies of pixels, then of rows."""
    made_by, read_by = makers(graph), readers(graph)
    for node in list(graph.node):
        before, after = made_by.get(node.input[0]), read_by.get(node.output[0], [])
        factor = _factor(graph, node)
        if factor is None or before is None or before.op_type != "DequantizeLinear":
            continue
        if len(after) != 1 or after[0].op_type != "QuantizeLinear" or after[0].input[1:] != before.input[1:]:
            continue
        name, quantised = node.name, after[0].output[0]
        add_constant(graph, f"{name}_as_rows", [0, 0, 1, -1])
        add_constant(graph, f"{name}_factors", [1, factor, factor, 1])
        steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
            ("Transpose", [before.input[0]], "pixels", {"perm": [0, 2, 3, 1]}),  # (B, h, w, C)
            ("Concat", ["pixels"] * factor, "wide", {"axis": 3}),
            ("Reshape", ["wide", "as_rows"], "rows", {}),  # (B, h, 1, f*w*C)
            ("Concat", ["rows"] * factor, "tall", {"axis": 2}),
            ("Shape", ["pixels"], "shape", {}),
            ("Mul", ["shape", "factors"], "size", {}),
            ("Reshape", ["tall", "size"], "enlarged", {}),  # (B, f*h, f*w, C)
            ("Transpose", ["enlarged"], quantised, {"perm": [0, 3, 1, 2]}),
        ]
        own = {output for _, _, output, _ in steps[:-1]} | {"as_rows", "factors"}
        place = list(graph.node).index(node)
        for offset, (kind, inputs, output, attributes) in enumerate(steps):
            names = [f"{name}_{one}" if one in own else one for one in (*inputs, output)]
            made = helper.make_node(kind, names[:-1], names[-1:], name=f"{name}_{output}", **attributes)
            graph.node.insert(place + offset, made)
        _remove(graph, [node, after[0], *([before] if len(read_by[before.output[0]]) == 1 else [])])


def _make_floats_once(graph: onnx.GraphProto) -> None:
    """Put a Flatten between a DequantizeLinear and a Reshape that several operators read.

    ONNX Runtime moves a DequantizeLinear behind a Reshape and repeats it for every reader; behind a Flatten, which
    takes no time, it does not.
    """
    made_by, read_by = makers(graph), readers(graph)
    for node in list(graph.node):
        if node.op_type != "Reshape" or len(read_by.get(node.output[0], [])) < 2:
            continue
        before = made_by.get(node.input[0])
        copies_sides = any(0 in (constant(graph, name) or ()) for name in node.input[1:])
        if before is not None and before.op_type == "DequantizeLinear" and not copies_sides:
            name = f"{node.name}_once"
            flat = helper.make_node("Flatten", [node.input[0]], [name], axis=2, name=name)
            graph.node.insert(list(graph.node).index(node), flat)
            node.input[0] = name


def _factor(graph: onnx.GraphProto, node: onnx.NodeProto) -> int | None:
    """Return the whole number that a nearest Resize enlarges height and width by, None for any other node."""
    if node.op_type != "Resize" or len(node.input) != 3:
        return None
    if any(attribute(node, name) != value for name, value in NEAREST.items()):
        return None
    scales = constant(graph, node.input[2]) or []
    if len(scales) != 4 or scales[:2] != [1, 1] or scales[2] != scales[3] or not scales[3].is_integer():
        return None
    return int(scales[3])


def _remove(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        graph.node.remove(node)
