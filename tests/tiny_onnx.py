"""A small network as an .onnx file, built as the exporter builds them: pixels in, class ids and logits out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgeseg.classes import ClassSet

NAMES = ("red", "green", "blue", "grey")
MEAN, DEVIATION = (120.0, 110.0, 100.0), (60.0, 55.0, 50.0)


def write_network(path: Path, *, seed: int = 0, provenance: dict[str, Any] | None = None) -> Path:
    """Write normalisation, padding to even sides, two convolutions, an addition, upsampling, argmax.

    The classes are the strongest channel of blurred colours, and grey where none is strong, with noise of `seed`.
    """
    onnx = pytest.importorskip("onnx")
    helper, types, from_array = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 0.05, (8, 3, 3, 3))
    for channel in range(3):
        first[channel, channel] += 0.15
        first[channel + 3, channel] -= 0.15
    last = rng.normal(0, 0.05, (4, 8, 1, 1))
    last[range(3), range(3)] += 1
    constants = {
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "deviation": np.array(DEVIATION, np.float32).reshape(1, 3, 1, 1),
        "first": first.astype(np.float32),
        "first_bias": rng.normal(0, 0.05, 8).astype(np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
        "middle": (np.eye(8)[:, :, None, None] + rng.normal(0, 0.05, (8, 8, 1, 1))).astype(np.float32),
        "middle_bias": np.zeros(8, np.float32),
        "last": last.astype(np.float32),
        "last_bias": np.array([0, 0, 0, 0.2], np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "two": np.array([2], np.int64),
        "zeros": np.zeros(6, np.int64),
        "hw": np.array([1, 2], np.int64),
        "starts": np.zeros(2, np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Shape", ["image"], ["size"], start=1, end=3),
        node("Mod", ["size", "two"], ["odd"]),
        node("Concat", ["zeros", "odd"], ["pads"], axis=0),
        node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Cast", ["nchw"], ["floats"], to=types.FLOAT),
        node("Sub", ["floats", "mean"], ["centred"]),
        node("Div", ["centred", "deviation"], ["scaled"]),
        node("Pad", ["scaled", "pads"], ["padded"]),
        node("Conv", ["padded", "first", "first_bias"], ["h1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Clip", ["h1", "low", "high"], ["h2"]),
        node("Conv", ["h2", "middle", "middle_bias"], ["h3"], kernel_shape=[1, 1], pads=[0, 0, 0, 0]),
        node("Add", ["h3", "h2"], ["h4"]),
        node("Relu", ["h4"], ["h5"]),
        node("Conv", ["h5", "last", "last_bias"], ["small"], kernel_shape=[1, 1], pads=[0, 0, 0, 0]),
        node("Resize", ["small", "", "scales"], ["large"], mode="linear"),
        node("Slice", ["large", "starts", "size", "hw_nchw"], ["logits"]),
        node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        node("Cast", ["ids"], ["classes"], to=types.UINT8),
    ]
    constants["hw_nchw"] = np.array([2, 3], np.int64)
    del constants["hw"]
    free = ["batch", "height", "width"]
    outputs = [
        helper.make_tensor_value_info("classes", types.UINT8, free),
        helper.make_tensor_value_info("logits", types.FLOAT, ["batch", 4, "height", "width"]),
    ]
    inputs = [helper.make_tensor_value_info("image", types.UINT8, [*free, 3])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, [from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    entries = {
        "bridgeseg.format": "1",
        "bridgeseg.classes": json.dumps(ClassSet.build(list(NAMES)).to_dict()),
        "bridgeseg.provenance": json.dumps(provenance if provenance is not None else {"method": "none"}),
    }
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def photo(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Return a picture of large coloured spots, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)[:height, :width]
