"""How three things are spelled so that every runtime reads them alike; the numbers are the same to float precision.

GELU as `(0.5 x) (1 + erf(x / sqrt 2))`: OpenCV crashes on a fusion of `x (0.5 (1 + erf))`. Lengths of vectors as the
root of `x x @ ones`: MNN reads a ReduceL2 whose axes are an input wrongly, and says nothing. Queries, keys and values
as three slices: a tensor of five dimensions is more than ncnn and others know. docs/runtimes.md has the measurements.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from bridgeseg.exporting.graph import add_constant, attribute, constant, drop_dead, makers, readers, replace, shapes

QKV = [2, 0, 3, 1, 4]
"""(B, N, 3, heads, d) -> (3, B, heads, N, d)."""


def respell(model: onnx.ModelProto) -> None:
    """Rewrite GELU, lengths and attention's queries, keys and values in place, wherever the graph has them."""
    _gelu(model.graph)
    _lengths(model)
    _slices(model)
    drop_dead(model.graph)


def _gelu(graph: onnx.GraphProto) -> None:
    """Let half of x be taken first: `x (0.5 (1 + erf))` and `(x (1 + erf)) 0.5` become `(0.5 x) (1 + erf)`."""
    made_by, read_by = makers(graph), readers(graph)
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        path = [erf]
        for kind in ("Add", "Mul", "Mul"):
            following = read_by.get(path[-1].output[0], [])
            if len(following) != 1 or following[0].op_type != kind:
                break
            path.append(following[0])
        if len(path) < 4:
            continue
        _, shifted, inner, outer = path
        others = [_other(inner, shifted.output[0]), _other(outer, inner.output[0])]
        halves = [constant(graph, name) == [0.5] for name in others]
        scaled = made_by.get(erf.input[0])
        if halves.count(True) != 1 or scaled is None:
            continue
        half, x = others if halves[0] else others[::-1]
        if x in scaled.input:
            inner.input[:] = [x, half]
            outer.input[:] = [inner.output[0], shifted.output[0]]


def _other(node: onnx.NodeProto, name: str) -> str:
    return str(node.input[1] if node.input[0] == name else node.input[0])


def _lengths(model: onnx.ModelProto) -> None:
    """Write ReduceL2 along one axis as `Sqrt(x x @ ones)`, and divide by it without repeating it first."""
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "ReduceL2" and attribute(node, "keepdims", 1)]
    known = shapes(model) if nodes else {}
    for node in nodes:
        x, name = node.input[0], node.output[0]
        shape = known.get(x)
        axes = attribute(node, "axes") or (constant(graph, node.input[1]) if len(node.input) > 1 else None)
        if shape is None or axes is None or len(axes) != 1:
            continue
        axis = int(axes[0]) % len(shape)
        width = shape[axis]
        made = [helper.make_node("Mul", [x, x], [f"{name}_squares"], name=f"{name}_squares")]
        if width is not None and axis >= len(shape) - 2:
            last = axis == len(shape) - 1
            ones = add_constant(graph, f"{name}_ones", np.ones((width, 1) if last else (1, width)), np.float32)
            inputs = [f"{name}_squares", ones]
            made.append(helper.make_node("MatMul", inputs if last else inputs[::-1], [f"{name}_sum"]))
        else:
            inputs = [f"{name}_squares", add_constant(graph, f"{name}_axis", [axis])]
            made.append(helper.make_node("ReduceSum", inputs, [f"{name}_sum"], keepdims=1))
        made[-1].name = f"{name}_sum"
        made.append(helper.make_node("Sqrt", [f"{name}_sum"], [name], name=f"{name}_root"))
        replace(graph, [node], made)
        _divide_directly(graph, x, name)


def _divide_directly(graph: onnx.GraphProto, x: str, length: str) -> None:
    """Let `x / Expand(length)` be `x / length`: division repeats it by itself."""
    read_by, name = readers(graph), length
    while len(following := read_by.get(name, [])) == 1 and following[0].op_type in ("Clip", "Max"):
        name = following[0].output[0]
    for expand in [node for node in following if node.op_type == "Expand"]:
        divisions = read_by.get(expand.output[0], [])
        if all(node.op_type == "Div" and list(node.input) == [x, expand.output[0]] for node in divisions):
            for division in divisions:
                division.input[1] = name


def _slices(model: onnx.ModelProto) -> None:
    """Cut (B, N, 3 heads d) into three before it is split into heads, in place of reshaping all to five dimensions."""
    graph = model.graph
    made_by = makers(graph)
    turned = [node for node in graph.node if node.op_type == "Transpose" and list(attribute(node, "perm", [])) == QKV]
    known = shapes(model) if turned else {}
    for transpose in turned:
        reshape = made_by.get(transpose.input[0])
        if reshape is None or reshape.op_type != "Reshape":
            continue
        source, parts = reshape.input[0], _parts(graph, transpose)
        width = known.get(source, [None])[-1]
        if len(known.get(source, [])) != 3 or width is None or width % 3 or not parts:
            continue
        size, joined = _without_three(graph, reshape)
        if size is None:
            continue
        made = [joined] if joined is not None else []
        for place, output in parts.items():
            bounds = {"from": place * (width // 3), "to": (place + 1) * (width // 3), "axis": 2}
            inputs = [source, *(add_constant(graph, f"{output}_{key}", [value]) for key, value in bounds.items())]
            made += [
                helper.make_node("Slice", inputs, [f"{output}_slice"], name=f"{output}_slice"),
                helper.make_node("Reshape", [f"{output}_slice", size], [f"{output}_heads"], name=f"{output}_heads"),
                helper.make_node(
                    "Transpose", [f"{output}_heads"], [output], name=f"{output}_turned", perm=[0, 2, 1, 3]
                ),
            ]
        made_by = makers(graph)
        replace(graph, [transpose, *(made_by[output] for output in parts.values())], made)


def _without_three(graph: onnx.GraphProto, reshape: onnx.NodeProto) -> tuple[str | None, onnx.NodeProto | None]:
    """Return the name of a Reshape's size (B, N, 3, heads, d) without the 3, and the node that makes it, if any."""
    name = f"{reshape.output[0]}_size"
    values = constant(graph, reshape.input[1])
    if values is not None and len(values) == 5 and values[2] == 3 and 0 not in values:
        return add_constant(graph, name, values[:2] + values[3:]), None
    concat = makers(graph).get(reshape.input[1])
    parts = list(concat.input) if concat is not None and concat.op_type == "Concat" else []
    if len(parts) == 5 and constant(graph, parts[2]) == [3]:
        return name, helper.make_node("Concat", parts[:2] + parts[3:], [name], name=name, axis=0)
    return None, None


def _parts(graph: onnx.GraphProto, transpose: onnx.NodeProto) -> dict[int, str]:
    """Return place -> tensor of what takes one of the three from (3, B, heads, N, d); {} if anything else reads it.

    PyTorch's exporter writes `unbind` as Slice and Squeeze or as Split and Squeeze, and an index as Gather.
    """
    read_by, found = readers(graph), dict[int, str]()
    pieces: list[tuple[int, str]] = []
    for node in read_by.get(transpose.output[0], []):
        bounds = [constant(graph, name) for name in node.input[1:]]
        if node.op_type == "Gather" and attribute(node, "axis", 0) == 0 and bounds[0] is not None:
            found[int(bounds[0][0]) % 3] = node.output[0]
        elif node.op_type == "Split" and attribute(node, "axis", 0) == 0 and len(node.output) == 3:
            pieces += enumerate(node.output)
        elif node.op_type == "Slice" and len(bounds) >= 3 and bounds[0] and bounds[1:3] == [[bounds[0][0] + 1], [0]]:
            pieces.append((int(bounds[0][0]), node.output[0]))
        else:
            return {}
    for place, name in pieces:
        following = read_by.get(name, [])
        if [node.op_type for node in following] != ["Squeeze"] or constant(graph, following[0].input[1]) != [0]:
            return {}
        found[place] = following[0].output[0]
    return found
