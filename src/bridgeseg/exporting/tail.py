"""The end of the graph: class ids of upsampled logits, worked out only where classes meet.

Between four neighbouring logits, bilinear upsampling takes means of them. Where the same class is the largest in all
four it is the largest in every mean, so all pixels between them have that class: the ids are those of
`Resize -> ArgMax`, but for ties to the last bit of a float. In images, about one square in ten needs more than that.
"""

from __future__ import annotations

import onnx
from onnx import helper, inliner

from bridgeseg.exporting.graph import attribute, constant, drop_dead, makers, shapes
from bridgeseg.exporting.tail_functions import DOMAIN, ids_of_upsampled, largest, rows_of_map


def borders_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite `Resize -> ArgMax -> Cast` over the channels of (B, K, h, w), if nothing else reads what lies between.

    Args:
        model: its Resize must be bilinear, by the same even factor in both directions, without aligned corners.

    Returns:
        The model, rewritten, or as it was if it has no such end.
    """
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
        calls = [_call("ids_of_upsampled", ["rows", *size], [cast.output[0]])]
        functions = [ids_of_upsampled(side, attribute(cast, "to"), opset), largest(_channels(model, resize), opset)]
        rows = _rows(made_by, resize.input[0])
        if rows is None:
            calls.insert(0, _call("rows_of_map", [resize.input[0]], ["rows", *size]))
            functions.append(rows_of_map(opset))
        else:
            del calls[0].input[:]
            calls[0].input.extend(rows)
        place = list(nodes).index(resize)
        for call in reversed(calls):
            nodes.insert(place, call)
        for node in (resize, argmax, cast):
            nodes.remove(node)
        drop_dead(model.graph)
        model.functions.extend(functions)
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        return _inlined(model)
    return model


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
