"""GELU, lengths and attention in the spelling that every runtime reads alike: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from bridgeseg.exporting.spelling import respell  # noqa: E402

HEAD = '<ir_version: 8, opset_import: ["": 18]> g (float[B, 5, 12] x) => (float[B, N, M] y) '
GELU = """
    root = Constant <value = float {1.4142135}> ()
    one = Constant <value = float {1.0}> ()
    half = Constant <value = float {0.5}> ()
    scaled = Div (x, root)
    e = Erf (scaled)
    shifted = Add (e, one)
"""
LENGTH = """
    least = Constant <value = float {1e-12}> ()
    long = ReduceL2 (x, axes)
    clipped = Max (long, least)
    size = Shape (x)
    wide = Expand (clipped, size)
    y = Div (x, wide)
"""
HEADS = """
    none = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    two = Constant <value = int64[1] {2}> ()
    three = Constant <value = int64[1] {3}> ()
    all = Reshape (x, size)
    turned = Transpose <perm = [2, 0, 3, 1, 4]> (all)
"""
USE = """
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    scores = MatMul (q, kt)
    mixed = MatMul (scores, v)
    back = Transpose <perm = [0, 2, 1, 3]> (mixed)
    flat = Constant <value = int64[3] {0, 0, -1}> ()
    y = Reshape (back, flat)
"""
FIXED = "size = Constant <value = int64[5] {-1, 5, 3, 2, 2}> ()"
FREE = """
    batch = Shape <start = 0, end = 1> (x)
    five = Constant <value = int64[1] {5}> ()
    thrice = Constant <value = int64[1] {3}> ()
    pair = Constant <value = int64[1] {2}> ()
    size = Concat <axis = 0> (batch, five, thrice, pair, pair)
"""
SLICED = """
    a = Slice (turned, none, one, none)
    b = Slice (turned, one, two, none)
    c = Slice (turned, two, three, none)
"""
SPLIT = "a, b, c = Split <axis = 0, num_outputs = 3> (turned)"
SQUEEZED = "q = Squeeze (a, none) k = Squeeze (b, none) v = Squeeze (c, none)"
INDEXED = """
    i = Constant <value = int64 {0}> () j = Constant <value = int64 {1}> () l = Constant <value = int64 {-1}> ()
    q = Gather <axis = 0> (turned, i)
    k = Gather <axis = 0> (turned, j)
    v = Gather <axis = 0> (turned, l)
"""
GRAPHS = {
    "gelu of x times half of the rest": GELU + "inner = Mul (half, shifted) y = Mul (x, inner)",
    "gelu halved at the end": GELU + "inner = Mul (x, shifted) y = Mul (inner, half)",
    "length along the last axis": "axes = Constant <value = int64[1] {-1}> ()" + LENGTH,
    "length along the middle": "axes = Constant <value = int64[1] {1}> ()" + LENGTH,
    "length over images": "axes = Constant <value = int64[1] {0}> ()" + LENGTH,
    "unbind by slices": FIXED + HEADS + SLICED + SQUEEZED + USE,
    "unbind by split, free batch": FREE + HEADS + SPLIT + SQUEEZED + USE,
    "indices": FIXED + HEADS + INDEXED + USE,
}  # fmt: skip
LEFT = {"Expand", "ReduceL2", "Squeeze", "Gather", "Split"}


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    found = ReferenceEvaluator(model).run(None, {"x": x})[0]
    return np.asarray(found)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_numbers_stay(name: str) -> None:
    model = onnx.parser.parse_model(HEAD + "{" + GRAPHS[name] + "}")
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
    before, nodes = run(model, x), [node.op_type for node in model.graph.node]
    respell(model)
    onnx.checker.check_model(model, full_check=True)
    after = [node.op_type for node in model.graph.node]
    assert after != nodes or "gelu" in name
    assert not LEFT & set(after)
    np.testing.assert_allclose(run(model, x), before, atol=1e-6)
    again = model.SerializeToString()
    respell(model)
    assert model.SerializeToString() == again


@pytest.mark.parametrize("name", [name for name in GRAPHS if "gelu" in name])
def test_half_of_x_comes_first(name: str) -> None:
    model = onnx.parser.parse_model(HEAD + "{" + GRAPHS[name] + "}")
    respell(model)
    inner, outer = list(model.graph.node)[-2:]
    assert (list(inner.input), list(outer.input)) == (["x", "half"], ["inner", "shifted"])


@pytest.mark.parametrize("use", ["Mul (shifted, x)", "Add (shifted, one)"])
def test_what_only_looks_alike_stays(use: str) -> None:
    model = onnx.parser.parse_model(HEAD + "{" + GELU + f"inner = {use} y = Mul (inner, x)" + "}")
    again = model.SerializeToString()
    respell(model)
    assert [node.op_type for node in onnx.load_from_string(again).graph.node if node.op_type != "Constant"] == [
        node.op_type for node in model.graph.node if node.op_type != "Constant"
    ]
    assert list(model.graph.node[-1].input) == ["inner", "x"]


def test_five_dimensions_that_something_else_reads_stay() -> None:
    text = GRAPHS["indices"] + "w = ReduceSum <keepdims = 0, noop_with_empty_axes = 0> (turned)"
    model = onnx.parser.parse_model(
        HEAD.replace("(float[B, N, M] y)", "(float[B, N, M] y, float w)") + "{" + text + "}"
    )
    respell(model)
    assert [node.op_type for node in model.graph.node].count("Gather") == 3
