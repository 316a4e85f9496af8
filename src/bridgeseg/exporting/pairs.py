"""8-bit weights whose sums fit 16 bits, so that one file gives the same ids on every processor.

x86 processors without dot products of bytes (VNNI) multiply unsigned by signed bytes and add two neighbouring products
in 16 bits (`vpmaddubsw`). What exceeds 32,767 is silently clipped, and the ids are wrong. With activations up to 255,
two neighbouring weights of one sign must therefore sum to at most 128. Half the range for all weights ensures that and
costs accuracy; here the scale of an output channel grows only as far as its own largest pair requires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bridgeseg.exporting.graph import attribute

LARGEST, LARGEST_PAIR = 127, 128
_ROUNDED = LARGEST_PAIR - 0.5
"""Two numbers that sum to this are rounded to two that sum to `LARGEST_PAIR` at most."""
Weights = NDArray[np.generic]
Scales = NDArray[np.float32]


def safe_scales(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> dict[str, tuple[int, Scales]]:
    """Return name of the weights -> (axis of the output channels, scale of each), so that int8 = weight / scale.

    Args:
        model: holds the weights.
        nodes: convolutions and matrix products with constant weights.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, tuple[int, Scales]] = {}
    for node in nodes:
        name, axis = node.input[1], output_axis(node)
        if node.op_type == "MatMul" and len(weights[name].dims) != 2:  # one scale for all of it: the quantiser's choice
            continue
        scales = _scales(node, numpy_helper.to_array(weights[name]).astype(np.float64))
        if name in found and found[name][0] == axis:  # two nodes that share weights
            scales = np.maximum(scales, found[name][1])
        found[name] = axis, scales
    return found


def largest_pair(node: onnx.NodeProto, weights: Weights) -> int:
    """Return the largest sum of two neighbouring int8 weights of one sign; 0 where no two products are added so."""
    return max((int(_pairs(rows).max(initial=0)) for rows in _orders(node, weights.astype(np.float64))), default=0)


def output_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a convolution's or a matrix product's weights that its output channels are along."""
    return 0 if node.op_type == "Conv" else 1


def _scales(node: onnx.NodeProto, weights: NDArray[np.float64]) -> Scales:
    axis = output_axis(node)
    scales = np.abs(weights).max(axis=tuple(place for place in range(weights.ndim) if place != axis)) / LARGEST
    for rows in _orders(node, weights):
        scales = np.maximum(scales, _pairs(rows) / _ROUNDED)
    scales[scales < np.finfo(np.float32).tiny] = 1.0  # a channel of zeros
    found: Scales = scales.astype(np.float32)
    return found


def _orders(node: onnx.NodeProto, weights: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield the weights as rows, one for each output channel, in the orders that kernels add products in.

    Convolutions go along the channels of a pixel, or along the pixels of a channel. Those of one channel each
    (depthwise) have kernels of their own, which add in 32 bits.
    """
    if node.op_type == "MatMul":
        yield np.swapaxes(weights, -1, -2).reshape(-1, weights.shape[-2])
    elif weights.shape[1] > 1 or attribute(node, "group", 1) == 1:
        yield weights.reshape(len(weights), -1)
        yield np.moveaxis(weights, 1, -1).reshape(len(weights), -1)


def _pairs(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest sum of a pair of one sign in each row (N, n)."""
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    sums = (np.maximum(sign * pairs, 0).sum(axis=2).max(axis=1) for sign in (1, -1))
    found: NDArray[np.float64] = np.maximum(*sums)
    return found
