"""The 8-bit graph as ONNX Runtime likes it: the same numbers to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from bridgeseg.exporting.int8_graph import quicken

RESIZE = """
<ir_version: 8, opset_import: ["": 18]>
upsampling (uint8[b, 3, h, w] x) => (uint8[b, 3, H, W] y)
<float scale = {{0.5}}, float other = {{0.25}}, uint8 zero = {{7}}, float[4] scales = {{1, 1, {factor}}}>
{{
    floats = DequantizeLinear (x, scale, zero)
    large = Resize <mode = "{mode}", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
        (floats, , scales)
    y = QuantizeLinear (large, {scale}, zero)
}}
"""
PRODUCTS = """
<ir_version: 8, opset_import: ["": 18]>
products (uint8[b, 4, h, w] x, int64[3] shape) => (float[b, 4, n] y, float[b, 2, n] z)
<float scale = {0.5}, uint8 zero = {7}, float[2, 4] names = {1, -2, 3, -4, 5, 6, -7, 8}>
{
    floats = DequantizeLinear (x, scale, zero)
    flat = Reshape (floats, shape)
    y = Mul (flat, flat)
    z = MatMul (names, flat)
}
"""


def run(model: onnx.ModelProto, optimised: Path | None = None, **inputs: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answers: list[np.ndarray] = session.run(None, inputs)
    return answers


def upsampling(factor: str = "2, 2", mode: str = "nearest", scale: str = "scale") -> onnx.ModelProto:
    return parser.parse_model(RESIZE.format(factor=factor, mode=mode, scale=scale))


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.integers(1, 3), st.just(3), st.integers(1, 9), st.integers(1, 9)), st.sampled_from([2, 3]))
def test_pixels_are_copied(shape: tuple[int, ...], factor: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    model = upsampling(f"{factor}, {factor}")
    before = run(model, x=pixels)[0]
    quicken(model)
    onnx.checker.check_model(model, full_check=True)
    assert not {"Resize", "QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in model.graph.node}
    np.testing.assert_array_equal(run(model, x=pixels)[0], before)
    np.testing.assert_array_equal(before, pixels.repeat(factor, axis=2).repeat(factor, axis=3))


@pytest.mark.parametrize(
    "other", [{"factor": "1.5, 1.5"}, {"factor": "2, 3"}, {"mode": "linear"}, {"scale": "other"}], ids=str
)
def test_another_resize_stays(other: dict[str, str]) -> None:
    model = upsampling(**other)
    before = model.SerializeToString()
    quicken(model)
    assert model.SerializeToString() == before


def test_floats_are_made_once(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 5), dtype=np.uint8)
    feeds = {"x": pixels, "shape": np.array([2, 4, -1], np.int64)}
    model = parser.parse_model(PRODUCTS)
    before = run(model, **feeds)
    quicken(model)
    onnx.checker.check_model(model, full_check=True)
    for first, second in zip(before, run(model, tmp_path / "optimised.onnx", **feeds), strict=True):
        np.testing.assert_array_equal(first, second)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("DequantizeLinear") == 1


def test_a_reshape_that_copies_sides_stays() -> None:
    model = parser.parse_model(
        PRODUCTS.replace("x, int64[3] shape", "x").replace("<float scale", "<int64[3] shape = {0, 4, -1}, float scale")
    )
    before = model.SerializeToString()
    quicken(model)
    assert model.SerializeToString() == before
