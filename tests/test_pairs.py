"""8-bit weights whose sums of two products fit 16 bits: the same ids on processors that cut such sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bridgeseg.exporting.pairs import LARGEST_PAIR, largest_pair, safe_scales
from bridgeseg.exporting.qdq import fits_16_bits, int8_products
from bridgeseg.runtime.model import BUNDLED

SHAPES = [
    ("Conv", (5, 6, 1, 1), 1),
    ("Conv", (4, 3, 3, 3), 1),
    ("Conv", (8, 4, 5, 3), 2),
    ("Conv", (3, 1, 3, 3), 1),
    ("MatMul", (7, 5), 1),
]


def product(kind: str, weights: NDArray[Any], groups: int = 1) -> tuple[onnx.ModelProto, onnx.NodeProto]:
    attributes = {"group": groups} if kind == "Conv" else {}
    node = helper.make_node(kind, ["x", "w"], ["y"], name="product", **attributes)
    graph = helper.make_graph([node], "g", [], [], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph), node


def multiplied_in_16_bits(rows: NDArray[np.int8], activations: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Multiply rows (N, n) by activations (n), n even, as `vpmaddubsw` and `vpmaddwd` do."""
    products = (rows.astype(np.int64) * activations).reshape(len(rows), -1, 2).sum(axis=2)
    return np.clip(products, -(2**15), 2**15 - 1).sum(axis=1)


def rounded(node: onnx.NodeProto, weights: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    shape = [1] * weights.ndim
    shape[0 if node.op_type == "Conv" else 1] = -1
    return np.clip(np.round(weights / scales.reshape(shape)), -128, 127).astype(np.int8)


@pytest.mark.parametrize(("kind", "shape", "groups"), SHAPES)
@pytest.mark.parametrize("sign", [1, -1, 0])
def test_no_pair_is_too_large(kind: str, shape: tuple[int, ...], groups: int, sign: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=shape).astype(np.float32)
    weights = weights if sign == 0 else sign * np.abs(weights)
    model, node = product(kind, weights, groups)
    axis, scales = safe_scales(model, [node])["w"]
    assert scales.shape == (weights.shape[axis],)
    assert 0 < largest_pair(node, rounded(node, weights, scales)) <= LARGEST_PAIR
    plain = np.abs(weights).max(axis=tuple(place for place in range(weights.ndim) if place != axis)) / 127
    assert (scales >= plain.astype(np.float32)).all()
    assert (scales <= 2 * plain).all()


def test_sums_are_exact_where_plain_weights_overflow() -> None:
    rng = np.random.default_rng(0)
    weights = np.abs(rng.normal(size=(8, 64))).astype(np.float32)[:, :, None, None]
    model, node = product("Conv", weights)
    bright = np.full(64, 255, np.uint8)
    _, safe = safe_scales(model, [node])["w"]
    for scales, fits in ((np.abs(weights).max(axis=(1, 2, 3)) / 127, False), (safe, True)):
        rows = rounded(node, weights, scales).reshape(8, 64)
        exact = (rows.astype(np.int64) * bright).sum(axis=1)
        assert (multiplied_in_16_bits(rows, bright) == exact).all() == fits


def test_only_the_channels_that_need_it_lose_range() -> None:
    weights = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    model, node = product("Conv", weights[:, :, None, None])
    _, scales = safe_scales(model, [node])["w"]
    assert scales.tolist() == pytest.approx([2 / 127.5, 1 / 127, 1.0])


def test_depthwise_convolutions_keep_their_range() -> None:
    weights = np.ones((4, 1, 3, 3), np.float32)
    model, node = product("Conv", weights, groups=4)
    assert safe_scales(model, [node])["w"][1].tolist() == pytest.approx([1 / 127] * 4)
    assert largest_pair(node, np.full((4, 1, 3, 3), 127, np.int8)) == 0


def test_shared_weights_suit_both() -> None:
    weights = np.ones((4, 1, 3, 3), np.float32)
    model, node = product("Conv", weights, groups=4)
    other = helper.make_node("Conv", ["z", "w"], ["v"], group=1)
    for nodes in ([node, other], [other, node]):
        assert safe_scales(model, nodes)["w"][1].tolist() == pytest.approx([2 / 127.5] * 4)


def test_weights_of_more_dimensions_are_left_to_the_quantiser() -> None:
    model, node = product("MatMul", np.ones((2, 4, 3), np.float32))
    assert safe_scales(model, [node]) == {}
    assert largest_pair(node, np.full((2, 4, 3), 100, np.int8)) == 200


def test_the_bundled_file_fits_every_processor() -> None:
    model = onnx.load(BUNDLED)
    assert fits_16_bits(model)
    node, weights = next((node, weights) for node, weights in int8_products(model) if weights.shape[1] > 1)
    name = next(one.input[0] for one in model.graph.node if one.output[0] == node.input[1])
    tensor = next(one for one in model.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.full_like(weights, 127), name))
    assert not fits_16_bits(model)
