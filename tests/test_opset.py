"""The lowest operator set: the same graph, as older runtimes read it."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from bridgeseg.exporting.opset import lower_opset  # noqa: E402

HEAD = '<ir_version: 8, opset_import: ["": 18]> g (float[2, 6] x) => (y) '
AXES = "axes = Constant <value = int64[1] {1}> () "
SCALES = "none = Constant <value = float[0] {}> () scales = Constant <value = float[2] {2.0, 2.0}> () "
CASES = {
    "y = Relu (x)": 13,
    "size = Constant <value = int64[1] {-1}> () y = Reshape <allowzero = 0> (x, size)": 13,
    "y = Shape (x)": 13,
    "y = Shape <start = 1> (x)": 15,
    "a, b, c = Split <axis = 1, num_outputs = 3> (x) y = Add (a, c)": 13,
    AXES + "y = ReduceMax <keepdims = 0> (x, axes)": 13,
    AXES + "y = ReduceL2 <keepdims = 1> (x, axes)": 13,
    SCALES + 'y = Resize <mode = "linear", antialias = 0> (x, none, scales)': 13,
    SCALES + 'y = Resize <mode = "linear", antialias = 1> (x, none, scales)': 18,
    "s = Constant <value = float[6] {1, 1, 1, 1, 1, 1}> () y = LayerNormalization <axis = -1> (x, s)": 17,
}


@pytest.mark.parametrize("text", CASES)
def test_the_set(text: str) -> None:
    model = onnx.parser.parse_model(HEAD + "{" + text + "}")
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    before = np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])
    lower_opset(model)
    assert model.opset_import[0].version == CASES[text]
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model))
    np.testing.assert_array_equal(np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0]), before)


def test_graphs_with_branches_stay() -> None:
    one, two = (f"{name} () => (float[2, 6] z) {{ z = {name} (x) }}" for name in ("Identity", "Neg"))
    text = f"c = Constant <value = bool {{1}}> () y = If <then_branch = {one}, else_branch = {two}> (c)"
    model = onnx.parser.parse_model(HEAD + "{" + text + "}")
    lower_opset(model)
    assert model.opset_import[0].version == 18
