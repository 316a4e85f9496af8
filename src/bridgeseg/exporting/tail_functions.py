"""The functions, in ONNX's own language, that the end of a graph is put together from (see `tail.py`)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import parser

DOMAIN = "bridgeseg"
LEAST_GROUPS = 5
_HEADER = '<opset_import: ["": {opset}, "{domain}": 1], domain: "{domain}">'
_IDS = """
ids_of_upsampled (logits, batch, height, width) => (ids)
{{
    # logits (..., K) -> the largest class of each (B, h, w); as rows of K numbers this is ten times as fast
    depth = Shape <start = -1> (logits)
    back = Constant <value = int64[1] {{-1}}> ()
    row = Concat <axis = 0> (back, depth)
    rows = Reshape (logits, row)
    flat = {domain}.largest (rows)
    size = Concat <axis = 0> (batch, height, width)
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
    found = {domain}.largest (mean_rows)
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
    side = Constant <value = int64[1] {{{side}}}> ()
    tall = Concat <axis = 0> (batch, squares_y, squares_x, side, side)
    apart = Reshape (squares, tall)
    lines = Transpose <perm = [0, 1, 3, 2, 4]> (apart)
    pixels_y = Mul (squares_y, side)
    pixels_x = Mul (squares_x, side)
    canvas_size = Concat <axis = 0> (batch, pixels_y, pixels_x)
    canvas = Reshape (lines, canvas_size)
    half = Constant <value = int64[2] {{{half}, {half}}}> ()
    minus_half = Constant <value = int64[2] {{-{half}, -{half}}}> ()
    axes = Constant <value = int64[2] {{1, 2}}> ()
    ids = Slice (canvas, half, minus_half, axes)
}}
"""
_ROWS = """
rows_of_map (maps) => (rows, batch, height, width)
{{
    rows = Transpose <perm = [0, 2, 3, 1]> (maps)
    batch = Shape <start = 0, end = 1> (maps)
    height = Shape <start = 2, end = 3> (maps)
    width = Shape <start = 3, end = 4> (maps)
}}
"""
_LARGEST = """
largest (rows) => (found)
{{
    found = ArgMax <axis = 1, keepdims = 0> (rows)
}}
"""
_LARGEST_IN_GROUPS = """
largest (rows) => (found)
{{
    # the group of the largest number: maxima are cheap, the places of maxima are not
    grouped = Constant <value = int64[3] {{-1, {groups}, {members}}}> ()
    by_group = Reshape (rows, grouped)
    inner = Constant <value = int64[1] {{2}}> ()
    maxima = ReduceMax <keepdims = 0> (by_group, inner)
    group = ArgMax <axis = 1, keepdims = 0> (maxima)

    # ... and its place in that group
    many = Size (group)
    zero = Constant <value = int64 {{0}}> ()
    one = Constant <value = int64 {{1}}> ()
    row = Range (zero, many, one)
    groups = Constant <value = int64 {{{groups}}}> ()
    first = Mul (row, groups)
    at = Add (first, group)
    listed = Constant <value = int64[2] {{-1, {members}}}> ()
    lists = Reshape (rows, listed)
    chosen = Gather <axis = 0> (lists, at)
    member = ArgMax <axis = 1, keepdims = 0> (chosen)
    members = Constant <value = int64 {{{members}}}> ()
    before = Mul (group, members)
    found = Add (before, member)
}}
"""


def ids_of_upsampled(side: int, kind: int | None, opset: int) -> onnx.FunctionProto:
    """Return the graph's new end: rows (..., K) of a map (batch, height, width) -> ids, `side` times as high and wide.

    Args:
        side: an even number.
        kind: the ONNX number of the ids' type.
        opset: of the model.
    """
    along = (np.arange(side) + 0.5) / side
    steps = np.stack([1 - along, along])
    shares = np.einsum("ay,bx->yxab", steps, steps).reshape(side**2, 4)
    return _parsed(
        _IDS, opset, side=side, half=side // 2, area=side**2, kind=kind,
        shares=", ".join(repr(float(share)) for share in shares.ravel()),
        copies=", ".join(["one_column"] * side**2),
    )  # fmt: skip


def rows_of_map(opset: int) -> onnx.FunctionProto:
    """Return (B, K, h, w) -> (B, h, w, K), B, h, w."""
    return _parsed(_ROWS, opset)


def largest(classes: int | None, opset: int) -> onnx.FunctionProto:
    """Return rows (N, K) -> the first place of the largest number (N).

    ONNX Runtime finds a maximum many times as fast as its place. With many classes the place is therefore looked for
    among the maxima of groups of equal size first, then within one group: about 2 * sqrt(K) numbers in place of K. If K
    is unknown (None) or has no divisor from `LEAST_GROUPS` to its root, the whole row is searched.
    """
    choices = [] if classes is None else [n for n in range(LEAST_GROUPS, int(classes**0.5) + 1) if classes % n == 0]
    if classes is None or not choices:
        return _parsed(_LARGEST, opset)
    return _parsed(_LARGEST_IN_GROUPS, opset, groups=choices[-1], members=classes // choices[-1])


def _parsed(text: str, opset: int, **values: object) -> onnx.FunctionProto:
    filled = (_HEADER + text).format(opset=opset, domain=DOMAIN, **values)
    return parser.parse_function("\n".join(line for line in filled.splitlines() if not line.lstrip().startswith("#")))
