"""The end of the graph: class ids of upsampled logits, worked out only where classes meet.

Between four neighbouring logits, bilinear upsampling takes means of them. Where the same class is the largest in all
four it is the largest in every mean, so all pixels between them have that class: the ids are those of
`Resize -> ArgMax`, but for ties to the last bit of a float. In pictures, about one square in ten needs more than that.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, parser

DOMAIN = "bridgeseg"
_FUNCTION = """
<opset_import: ["": {opset}], domain: "{domain}">
ids_of_upsampled (logits) => (ids)
{{
    # (B, K, h, w) -> the largest class of every logit (B, h, w); as rows of K numbers this is ten times as fast
    last = Transpose <perm = [0, 2, 3, 1]> (logits)
    depth = Shape <start = 3, end = 4> (last)
    back = Constant <value = int64[1] {{-1}}> ()
    row = Concat <axis = 0> (back, depth)
    rows = Reshape (last, row)
    flat = ArgMax <axis = 1, keepdims = 0> (rows)
    size = Shape <start = 0, end = 3> (last)
    wide = Reshape (flat, size)

    # squares of {side} x {side} pixels have four corners (B, h + 1, w + 1); at the rim, the nearest logit
    rim = Constant <value = int64[6] {{0, 1, 1, 0, 1, 1}}> ()
    corners = Pad <mode = "edge"> (wide, rim)
    zero = Constant <value = int64[1] {{0}}> ()
    one = Constant <value = int64[1] {{1}}> ()
    two = Constant <value = int64[1] {{2}}> ()
    end = Constant <value = int64[1] {{9223372036854775807}}> ()
    upper = Slice (corners, zero, back, one)
    lower = Slice (corners, one, end, one)
    corner_a = Slice (upper, zero, back, two)
    corner_b = Slice (upper, one, end, two)
    corner_c = Slice (lower, zero, back, two)
    corner_d = Slice (lower, one, end, two)
    same_b = Equal (corner_a, corner_b)
    same_c = Equal (corner_a, corner_c)
    same_d = Equal (corner_a, corner_d)
    same_bc = And (same_b, same_c)
    same = And (same_bc, same_d)
    mixed = Not (same)

    # where classes meet: the four logits of each such square, N of them -> (4, N * K)
    places = NonZero (mixed)
    image, bottom, right = Split <axis = 0, num_outputs = 3> (places)
    height = Shape <start = 1, end = 2> (last)
    width = Shape <start = 2, end = 3> (last)
    above = Sub (bottom, one)
    before = Sub (right, one)
    y_0 = Max (above, zero)
    x_0 = Max (before, zero)
    last_y = Sub (height, one)
    last_x = Sub (width, one)
    y_1 = Min (bottom, last_y)
    x_1 = Min (right, last_x)
    first = Mul (image, height)
    line_0 = Add (first, y_0)
    line_1 = Add (first, y_1)
    start_0 = Mul (line_0, width)
    start_1 = Mul (line_1, width)
    at_a = Add (start_0, x_0)
    at_b = Add (start_0, x_1)
    at_c = Add (start_1, x_0)
    at_d = Add (start_1, x_1)
    at = Concat <axis = 0> (at_a, at_b, at_c, at_d)
    four = Gather <axis = 0> (rows, at)
    four_rows = Constant <value = int64[2] {{4, -1}}> ()
    four_flat = Reshape (four, four_rows)

    # ... their means at the pixels, and the largest class of each -> (N, {area})
    shares = Constant <value = float[{area}, 4] {{{shares}}}> ()
    means = MatMul (shares, four_flat)
    mean_rows = Reshape (means, row)
    found = ArgMax <axis = 1, keepdims = 0> (mean_rows)
    pixel_rows = Constant <value = int64[2] {{{area}, -1}}> ()
    by_pixel = Reshape (found, pixel_rows)
    small = Cast <to = {kind}> (by_pixel)
    by_square = Transpose <perm = [1, 0]> (small)

    # every square full of one class, then the mixed ones over it
    column = Constant <value = int64[2] {{-1, 1}}> ()
    one_class = Cast <to = {kind}> (corner_a)
    one_column = Reshape (one_class, column)
    full = Concat <axis = 1> ({copies})
    squares_y = Add (height, one)
    squares_x = Add (width, one)
    first_line = Mul (image, squares_y)
    line = Add (first_line, bottom)
    start = Mul (line, squares_x)
    number = Add (start, right)
    number_column = Reshape (number, column)
    squares = ScatterND (full, number_column, by_square)

    # squares side by side; half a square goes at each side
    batch = Shape <start = 0, end = 1> (last)
    side = Constant <value = int64[1] {{{side}}}> ()
    tall = Concat <axis = 0> (batch, squares_y, squares_x, side, side)
    apart = Reshape (squares, tall)
    lines = Transpose <perm = [0, 1, 3, 2, 4]> (apart)
    pixels_y = Mul (squares_y, side)
    pixels_x = Mul (squares_x, side)
    picture_size = Concat <axis = 0> (batch, pixels_y, pixels_x)
    picture = Reshape (lines, picture_size)
    half = Constant <value = int64[2] {{{half}, {half}}}> ()
    minus_half = Constant <value = int64[2] {{-{half}, -{half}}}> ()
    axes = Constant <value = int64[2] {{1, 2}}> ()
    ids = Slice (picture, half, minus_half, axes)
}}
"""


def borders_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite `Resize -> ArgMax -> Cast` over the channels of (B, K, h, w), if nothing else reads what lies between.

    Args:
        model: its Resize must be bilinear, by the same even factor in both directions, without aligned corners.

    Returns:
        The model, rewritten, or as it was if it has no such end.
    """
    nodes = model.graph.node
    made_by = {name: node for node in nodes for name in node.output}
    for cast in nodes:
        argmax = made_by.get(cast.input[0]) if cast.op_type == "Cast" else None
        if argmax is None or argmax.op_type != "ArgMax" or _attribute(argmax, "axis") != 1:
            continue
        resize = made_by.get(argmax.input[0])
        side = _factor(model, made_by, resize) if resize is not None and resize.op_type == "Resize" else None
        between = {argmax.input[0], argmax.output[0]}
        read = [name for node in nodes for name in node.input if name in between]
        if side is None or resize is None or len(read) != 2 or between & {one.name for one in model.graph.output}:
            continue
        function = _function(side, _attribute(cast, "to"), model.opset_import[0].version)
        call = helper.make_node(function.name, [resize.input[0]], [cast.output[0]], domain=DOMAIN, name="ids")
        nodes.insert(list(nodes).index(resize), call)
        for node in (resize, argmax, cast):
            nodes.remove(node)
        _drop_unread(model, resize.input)
        model.functions.append(function)
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        return _inlined(model)
    return model


def _function(side: int, kind: int | None, opset: int) -> onnx.FunctionProto:
    """Return the graph's new end for squares of `side` x `side` pixels; `kind` is the ONNX number of the ids' type."""
    along = (np.arange(side) + 0.5) / side
    steps = np.stack([1 - along, along])
    shares = np.einsum("ay,bx->yxab", steps, steps).reshape(side**2, 4)
    text = _FUNCTION.format(
        opset=opset, domain=DOMAIN, side=side, half=side // 2, area=side**2, kind=kind,
        shares=", ".join(repr(float(share)) for share in shares.ravel()),
        copies=", ".join(["one_column"] * side**2),
    )  # fmt: skip
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return parser.parse_function("\n".join(lines))


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put the function's nodes in place of its call: files hold ONNX's own operators only."""
    inlined: onnx.ModelProto = inliner.inline_local_functions(model)
    for entry in [entry for entry in inlined.opset_import if entry.domain == DOMAIN]:
        inlined.opset_import.remove(entry)
    return inlined


def _factor(model: onnx.ModelProto, made_by: dict[str, onnx.NodeProto], resize: onnx.NodeProto) -> int | None:
    """Return how many times a Resize enlarges height and width, None if it is not of the kind described above."""
    text = {item.name: item.s for item in resize.attribute if item.type == onnx.AttributeProto.STRING}
    if text.get("mode") != b"linear" or text.get("coordinate_transformation_mode", b"half_pixel") != b"half_pixel":
        return None
    scales = _constant(model.graph, made_by, resize.input[2]) if len(resize.input) == 3 else None
    if scales is None or len(scales) != 4 or scales[:2] != [1.0, 1.0] or scales[2] != scales[3] or scales[3] % 2:
        return None
    return int(scales[3])


def _drop_unread(model: onnx.ModelProto, names: list[str]) -> None:
    """Drop initializers that nothing reads any more; ONNX Runtime warns of them."""
    read = {name for node in model.graph.node for name in node.input}
    for tensor in [one for one in model.graph.initializer if one.name in names and one.name not in read]:
        model.graph.initializer.remove(tensor)


def _attribute(node: onnx.NodeProto, name: str) -> int | None:
    return next((int(item.i) for item in node.attribute if item.name == name), None)


def _constant(graph: onnx.GraphProto, made_by: dict[str, onnx.NodeProto], name: str) -> list[float] | None:
    for tensor in graph.initializer:
        if tensor.name == name:
            return [float(value) for value in numpy_helper.to_array(tensor)]
    node = made_by.get(name)
    if node is not None and node.op_type == "Constant":
        return [float(value) for value in numpy_helper.to_array(node.attribute[0].t)]
    return None
