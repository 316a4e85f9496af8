"""The text of the functions of `tail_functions`, in ONNX's own language; names in single braces are filled in.

`@CORNERS` and `@END` stand for `CORNERS` and `END`, which two of them share.
"""

IDS = """
ids_of_upsampled (logits, batch, height, width) => (ids, at, number_column)
{{
    # logits (..., K) -> the largest class of each (B, h, w); as rows of K numbers this is ten times as fast
    depth = Shape <start = -1> (logits)
    back = Constant <value = int64[1] {{-1}}> ()
    row = Concat <axis = 0> (back, depth)
    rows = Reshape (logits, row)
    flat = {domain}.largest (rows)
    size = Concat <axis = 0> (batch, height, width)
    wide = Reshape (flat, size)

@CORNERS
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

@END
}}
"""
CORNERS = """\
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
"""
END = """\
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
    {result} = Slice (canvas, half, minus_half, axes)
"""
CONFIDENCE = """
confidence_of_upsampled (logits, batch, height, width, at, number_column) => (confidence)
{{
    # logits (..., K) -> probabilities of the classes, and the largest of each (B, h, w)
    by = Constant <value = float {{{by}}}> ()
    scaled = Mul (logits, by)
    shares_of_classes = Softmax <axis = -1> (scaled)
    depth = Shape <start = -1> (logits)
    back = Constant <value = int64[1] {{-1}}> ()
    row = Concat <axis = 0> (back, depth)
    rows = Reshape (shares_of_classes, row)
    last = Constant <value = int64[1] {{1}}> ()
    largest = ReduceMax <keepdims = 0> (rows, last)
    size = Concat <axis = 0> (batch, height, width)
    wide = Reshape (largest, size)

@CORNERS
    # the mean of four corners at every pixel of a square; where one class is the largest in all, it is so in the mean
    line = Constant <value = int64[2] {{1, -1}}> ()
    line_a = Reshape (corner_a, line)
    line_b = Reshape (corner_b, line)
    line_c = Reshape (corner_c, line)
    line_d = Reshape (corner_d, line)
    four = Concat <axis = 0> (line_a, line_b, line_c, line_d)
    shares = Constant <value = float[{area}, 4] {{{shares}}}> ()
    means = MatMul (shares, four)
    grey = {domain}.grey_of_share (means)
    full = Transpose <perm = [1, 0]> (grey)

    # where classes meet: the largest mean of any class -> (N, {area}), over it
    four_mixed = Gather <axis = 0> (rows, at)
    four_rows = Constant <value = int64[2] {{4, -1}}> ()
    four_flat = Reshape (four_mixed, four_rows)
    means_mixed = MatMul (shares, four_flat)
    mean_rows = Reshape (means_mixed, row)
    found = ReduceMax <keepdims = 0> (mean_rows, last)
    pixel_rows = Constant <value = int64[2] {{{area}, -1}}> ()
    by_pixel = Reshape (found, pixel_rows)
    grey_mixed = {domain}.grey_of_share (by_pixel)
    by_square = Transpose <perm = [1, 0]> (grey_mixed)
    squares = ScatterND (full, number_column, by_square)
    squares_y = Add (height, one)
    squares_x = Add (width, one)

@END
}}
"""
GREY = """
grey_of_share (share) => (grey)
{{
    white = Constant <value = float {{255.0}}> ()
    half = Constant <value = float {{0.5}}> ()
    bright = Mul (share, white)
    rounded = Add (bright, half)
    grey = Cast <to = 2> (rounded)
}}
"""
ROWS = """
rows_of_map (maps) => (rows, batch, height, width)
{{
    rows = Transpose <perm = [0, 2, 3, 1]> (maps)
    batch = Shape <start = 0, end = 1> (maps)
    height = Shape <start = 2, end = 3> (maps)
    width = Shape <start = 3, end = 4> (maps)
}}
"""
LARGEST = """
largest (rows) => (found)
{{
    found = ArgMax <axis = 1, keepdims = 0> (rows)
}}
"""
LARGEST_IN_GROUPS = """
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
