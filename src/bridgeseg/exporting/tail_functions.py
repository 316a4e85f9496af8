"""The functions, in ONNX's own language, that the end of a graph is put together from (see `tail.py`)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import parser

from bridgeseg.exporting import tail_text as text

DOMAIN = "bridgeseg"
LEAST_GROUPS = 5
_HEADER = '<opset_import: ["": {opset}, "{domain}": 1], domain: "{domain}">'


def ids_of_upsampled(side: int, kind: int | None, opset: int) -> onnx.FunctionProto:
    """Return the graph's new end: rows (..., K) of a map (batch, height, width) -> ids, `side` times as high and wide.

    Args:
        side: an even number.
        kind: the ONNX number of the ids' type.
        opset: of the model.
    """
    copies = ", ".join(["one_column"] * side**2)
    return _parsed(text.IDS, opset, result="ids", kind=kind, copies=copies, **_square(side))


def confidence_of_upsampled(side: int, by: float, opset: int) -> onnx.FunctionProto:
    """Return what gives the probability of the likeliest class, 0 to 255, of every pixel.

    It is the largest of the bilinear means of the probabilities at the four nearest logits, which are the softmax of
    the logits times `by`, one over the temperature.

    Args:
        side: as of `ids_of_upsampled`, which says where classes meet.
        by: one over the temperature.
        opset: of the model.
    """
    return _parsed(text.CONFIDENCE, opset, result="confidence", by=repr(float(by)), **_square(side))


def grey_of_share(opset: int) -> onnx.FunctionProto:
    """Return numbers of 0..1 -> uint8, rounded."""
    return _parsed(text.GREY, opset)


def _square(side: int) -> dict[str, object]:
    """Return what is filled in of a square of pixels: its size, and the shares of its four corners in each pixel."""
    along = (np.arange(side) + 0.5) / side
    steps = np.stack([1 - along, along])
    shares = np.einsum("ay,bx->yxab", steps, steps).ravel()
    written = ", ".join(repr(float(share)) for share in shares)
    return {"side": side, "half": side // 2, "area": side**2, "shares": written}


def rows_of_map(opset: int) -> onnx.FunctionProto:
    """Return (B, K, h, w) -> (B, h, w, K), B, h, w."""
    return _parsed(text.ROWS, opset)


def largest(classes: int | None, opset: int) -> onnx.FunctionProto:
    """Return rows (N, K) -> the first place of the largest number (N).

    ONNX Runtime finds a maximum many times as fast as its place. With many classes the place is therefore looked for
    among the maxima of groups of equal size first, then within one group: about 2 * sqrt(K) numbers in place of K. If K
    is unknown (None) or has no divisor from `LEAST_GROUPS` to its root, the whole row is searched.
    """
    choices = [] if classes is None else [n for n in range(LEAST_GROUPS, int(classes**0.5) + 1) if classes % n == 0]
    if classes is None or not choices:
        return _parsed(text.LARGEST, opset)
    return _parsed(text.LARGEST_IN_GROUPS, opset, groups=choices[-1], members=classes // choices[-1])


def _parsed(body: str, opset: int, **values: object) -> onnx.FunctionProto:
    body = body.replace("@CORNERS\n", text.CORNERS).replace("@END\n", text.END)
    filled = (_HEADER + body).format(opset=opset, domain=DOMAIN, **values)
    return parser.parse_function("\n".join(line for line in filled.splitlines() if not line.lstrip().startswith("#")))
