"""The end of the graph: class ids of upsampled logits, worked out only where classes meet.

Between four neighbouring logits, bilinear upsampling takes means of them. Where the same class is the largest in all
four it is the largest in every mean, so all pixels between them have that class: the ids are those of
`Resize -> ArgMax`, but for ties to the last bit of a float. In images, about one square in ten needs more than that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, inliner

from bridgeseg.exporting.graph import add_constant, attribute, constant, drop_dead, makers, readers, replace, shapes
from bridgeseg.exporting.opset import OPSET, at_least
from bridgeseg.exporting.tail_functions import (
    DOMAIN,
    confidence_of_upsampled,
    grey_of_share,
    ids_of_upsampled,
    largest,
    rows_of_map,
)


def borders_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite `Resize -> ArgMax -> Cast` over the channels of (B, K, h, w), if nothing else reads what lies between.

    Args:
        model: its Resize must be bilinear, by the same even factor in both directions, without aligned corners. One of
            an older operator set is brought to that of the functions first.

    Returns:
        The model, rewritten, or with its end as it was if it has no such end.
    """
    model = at_least(model, OPSET)
    nodes = model.graph.node
    made_by = makers(model.graph)
    for cast in nodes:
        argmax = made_by.get(cast.input[0]) if cast.op_type == "Cast" else None
        if argmax is None or argmax.op_type != "ArgMax" or attribute(argmax, "axis") != 1:
            continue
        resize = made_by.get(argmax.input[0])
        side = _factor(model, resize) if resize is not None and resize.op_type == "Resize" else None
        between = {argmax.input[0], argmax.output[0]}
        read = [name for node in nodes for name in node.input if name in between]
        if side is None or resize is None or len(read) != 2 or between & {one.name for one in model.graph.output}:
            continue
        opset, size = model.opset_import[0].version, ["batch", "height", "width"]
        calls = []
        functions = [ids_of_upsampled(side, attribute(cast, "to"), opset), largest(_channels(model, resize), opset)]
        rows = _rows(made_by, resize.input[0])
        if rows is None:
            rows = ["rows", *size]
            calls.append(_call("rows_of_map", [resize.input[0]], rows))
            functions.append(rows_of_map(opset))
        mixed = ["places_where_classes_meet", "squares_where_classes_meet"]
        calls.append(_call("ids_of_upsampled", rows, [cast.output[0], *mixed]))
        likely = _confidence(model, resize.input[0])
        if likely is not None:
            output, by = likely
            functions += [confidence_of_upsampled(side, by, opset), grey_of_share(opset)]
            calls.append(_call("confidence_of_upsampled", [*rows, *mixed], [output.output[0]]))
            nodes.remove(output)
        replace(model.graph, [resize, argmax, cast], calls)
        drop_dead(model.graph)
        model.functions.extend(functions)
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        return _inlined(model)
    return model


def everywhere(model: onnx.ModelProto) -> None:
    """Put `Resize -> ArgMax -> Cast` back in place of what `borders_only` wrote, in place, if it is there."""
    graph = model.graph
    made_by, read_by = makers(graph), readers(graph)
    for scatter in [node for node in graph.node if node.op_type == "ScatterND"]:
        end = _following(read_by, scatter, ("Reshape", "Transpose", "Reshape", "Slice"))
        cast = _leading(made_by, scatter.input[2], ("Transpose", "Cast"))
        pad = _leading(made_by, scatter.input[0], ("Concat", "Reshape", "Cast", "Slice", "Slice", "Pad"))
        half = constant(graph, end.input[1]) if end is not None else None
        means = None if cast is None else _upstream(made_by, cast.input[0], "MatMul")
        four = None if means is None else _leading(made_by, means.input[1], ("Reshape", "Gather", "Reshape"))
        if end is None or cast is None or pad is None or half is None or four is None:
            continue
        name, logits = end.output[0], four.input[0]
        turn = made_by.get(logits)
        made = []
        if turn is not None and turn.op_type == "Transpose" and list(attribute(turn, "perm")) == [0, 2, 3, 1]:
            maps = turn.input[0]
        else:
            depth = add_constant(graph, f"{name}_depth", [-1])
            made = [
                helper.make_node("Concat", [made_by[pad.input[0]].input[1], depth], [f"{name}_size"], axis=0),
                helper.make_node("Reshape", [logits, f"{name}_size"], [f"{name}_pixels"]),
                helper.make_node("Transpose", [f"{name}_pixels"], [f"{name}_maps"], perm=[0, 3, 1, 2]),
            ]
            maps = f"{name}_maps"
        scales = add_constant(graph, f"{name}_scales", [1, 1, 2 * half[0], 2 * half[0]], np.float32)
        made += [
            helper.make_node(
                "Resize", [maps, "", scales], [f"{name}_logits"], mode="linear",
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("ArgMax", [f"{name}_logits"], [f"{name}_places"], axis=1, keepdims=0),
            helper.make_node("Cast", [f"{name}_places"], [name], to=attribute(cast, "to")),
        ]  # fmt: skip
        for node in made:
            node.name = node.output[0]
        replace(graph, [end], made)
        drop_dead(graph)
        return


def _following(
    read_by: dict[str, list[onnx.NodeProto]], node: onnx.NodeProto, kinds: Sequence[str]
) -> onnx.NodeProto | None:
    """Return the last of a chain of operators that each read the one before, and are its only readers."""
    for kind in kinds:
        after = read_by.get(node.output[0], [])
        if [one.op_type for one in after] != [kind]:
            return None
        node = after[0]
    return node


def _leading(made_by: dict[str, onnx.NodeProto], name: str, kinds: Sequence[str]) -> onnx.NodeProto | None:
    """Return the first of a chain of operators at whose end a tensor is, each the first input of the next."""
    node = None
    for kind in kinds:
        node = made_by.get(name)
        if node is None or node.op_type != kind:
            return None
        name = node.input[0]
    return node


def _upstream(made_by: dict[str, onnx.NodeProto], name: str, kind: str) -> onnx.NodeProto | None:
    """Return the nearest operator of a kind from which a tensor comes."""
    names, seen = [name], set[str]()
    while names:
        node = made_by.get(names.pop(0))
        if node is not None and node.op_type == kind:
            return node
        new = [one for one in (() if node is None else node.input) if one not in seen]
        seen.update(new)
        names += new
    return None


def _confidence(model: onnx.ModelProto, maps: str) -> tuple[onnx.NodeProto, float] | None:
    """Return what ends the confidence of a map of logits, as `confidence` writes it, and what it multiplies them by."""
    made_by = makers(model.graph)
    for cast in [node for node in model.graph.node if node.op_type == "Cast"]:
        scaled = _leading(made_by, cast.output[0], ("Cast", "Add", "Mul", "ReduceMax", "Resize", "Softmax", "Mul"))
        by = None if scaled is None else constant(model.graph, scaled.input[1])
        if scaled is not None and scaled.input[0] == maps and by is not None:
            return cast, by[0]
    return None


def _rows(made_by: dict[str, onnx.NodeProto], name: str) -> list[str] | None:
    """Return where (B, h * w, K), B, h and w are, if the map (B, K, h, w) is made of them by Transpose and Reshape."""
    reshape = made_by.get(name)
    size = made_by.get(reshape.input[1]) if reshape is not None and reshape.op_type == "Reshape" else None
    if reshape is None or size is None or size.op_type != "Concat" or len(size.input) != 4:
        return None
    transpose = made_by.get(reshape.input[0])
    if transpose is None or transpose.op_type != "Transpose" or list(transpose.attribute[0].ints) != [0, 2, 1]:
        return None
    return [transpose.input[0], size.input[0], size.input[2], size.input[3]]


def _channels(model: onnx.ModelProto, node: onnx.NodeProto) -> int | None:
    """Return K of a node's input (B, K, h, w), if it is a fixed number."""
    shape = shapes(model).get(node.input[0], [])
    return shape[1] if len(shape) == 4 else None


def _call(function: str, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    return helper.make_node(function, inputs, outputs, domain=DOMAIN, name=function)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put the function's nodes in place of its call: files hold ONNX's own operators only."""
    inlined: onnx.ModelProto = inliner.inline_local_functions(model)
    for entry in [entry for entry in inlined.opset_import if entry.domain == DOMAIN]:
        inlined.opset_import.remove(entry)
    return inlined


def _factor(model: onnx.ModelProto, resize: onnx.NodeProto) -> int | None:
    """Return how many times a Resize enlarges height and width, None if it is not of the kind described above."""
    pixels = attribute(resize, "coordinate_transformation_mode", b"half_pixel")
    if attribute(resize, "mode") != b"linear" or pixels != b"half_pixel":
        return None
    scales = constant(model.graph, resize.input[2]) if len(resize.input) == 3 else None
    if scales is None or len(scales) != 4 or scales[:2] != [1.0, 1.0] or scales[2] != scales[3] or scales[3] % 2:
        return None
    return int(scales[3])
