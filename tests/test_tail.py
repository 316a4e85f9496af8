"""Class ids worked out only where classes meet are those of all upsampled logits."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from bridgeseg.exporting.tail import borders_only, everywhere

UINT8, INT32 = onnx.TensorProto.UINT8, onnx.TensorProto.INT32


def dense(side: int, classes: int, kind: int = UINT8, axis: int = 1, mode: str = "linear") -> onnx.ModelProto:
    name = {UINT8: "uint8", INT32: "int32"}[kind]
    return parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18]>
        end (float[B, {classes}, h, w] logits) => ({name}[B, H, W] ids) {{
            scales = Constant <value = float[4] {{1.0, 1.0, {side}.0, {side}.0}}> ()
            large = Resize <mode = "{mode}"> (logits, , scales)
            largest = ArgMax <axis = {axis}, keepdims = 0> (large)
            ids = Cast <to = {kind}> (largest)
        }}""")


def run(model: onnx.ModelProto, logits: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"logits": logits})[0]


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("side", [2, 4, 8])
@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    classes=st.integers(1, 20),
    smoothness=st.sampled_from([1, 3, 9]),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_same_ids(side, size, classes, smoothness, seed):
    batch, height, width = size
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(batch, classes, height, width)).astype(np.float32)
    logits = logits[:, :, np.arange(height) // smoothness][..., np.arange(width) // smoothness]
    before, after = dense(side, classes), borders_only(dense(side, classes))
    assert "Resize" not in operators(after)
    expected, found = run(before, logits), run(after, logits)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("classes", [5, 60])
def test_ties_go_to_the_first_class(classes):
    logits = np.zeros((2, classes, 4, 6), np.float32)
    assert not run(borders_only(dense(4, classes)), logits).any()


@pytest.mark.parametrize(("classes", "grouped"), [(60, True), (59, False), (11, False), (25, True), (24, False)])
@pytest.mark.parametrize("levels", [2, 1000])
def test_many_classes_are_searched_in_groups(classes, grouped, levels):
    logits = np.random.default_rng(classes).integers(levels, size=(2, classes, 7, 5)).astype(np.float32)
    after = borders_only(dense(4, classes))
    assert ("ReduceMax" in operators(after)) == grouped
    np.testing.assert_array_equal(run(after, logits), run(dense(4, classes), logits))


def rows(classes: int, read_again: bool = False) -> onnx.ModelProto:
    """Return a graph whose map is put together from rows of classes, as `similarity` does with many classes."""
    more = ", float[B, N, K] again" if read_again else ""
    again = "again = Transpose <perm = [0, 2, 1]> (turned)" if read_again else ""
    return parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18]>
        end (float[B, h, w, {classes}] logits) => (uint8[B, H, W] ids{more}) {{
            batch = Shape <start = 0, end = 1> (logits)
            height = Shape <start = 1, end = 2> (logits)
            width = Shape <start = 2, end = 3> (logits)
            classes = Shape <start = 3, end = 4> (logits)
            all = Constant <value = int64[1] {{-1}}> ()
            table_size = Concat <axis = 0> (batch, all, classes)
            table = Reshape (logits, table_size)
            turned = Transpose <perm = [0, 2, 1]> (table)
            {again}
            size = Concat <axis = 0> (batch, classes, height, width)
            maps = Reshape (turned, size)
            scales = Constant <value = float[4] {{1.0, 1.0, 4.0, 4.0}}> ()
            large = Resize <mode = "linear"> (maps, , scales)
            largest = ArgMax <axis = 1, keepdims = 0> (large)
            ids = Cast <to = {UINT8}> (largest)
        }}""")


@pytest.mark.parametrize("classes", [3, 30])
def test_rows_are_not_turned_twice(classes):
    logits = np.random.default_rng(0).normal(size=(2, 6, 5, classes)).astype(np.float32)
    after = borders_only(rows(classes))
    assert not any(
        list(node.attribute[0].ints) == [0, 2, 1] for node in after.graph.node if node.op_type == "Transpose"
    )
    np.testing.assert_array_equal(run(after, logits), run(rows(classes), logits))


@pytest.mark.parametrize("classes", [3, 60])
@pytest.mark.parametrize(
    ("make", "shape"), [(lambda k: dense(4, k), "bkhw"), (lambda k: dense(2, k), "bkhw"), (rows, "bhwk")]
)
def test_everywhere_undoes_it(make, shape, classes):
    sides = {"b": 2, "k": classes, "h": 6, "w": 5}
    logits = np.random.default_rng(0).normal(size=[sides[one] for one in shape]).astype(np.float32)
    model = borders_only(make(classes))
    everywhere(model)
    onnx.checker.check_model(model, full_check=True)
    assert {"Resize", "ArgMax"} <= operators(model)
    assert not {"NonZero", "ScatterND", "Range", "Gather"} & operators(model)
    np.testing.assert_array_equal(run(model, logits), run(make(classes), logits))
    again = model.SerializeToString()
    everywhere(model)
    assert model.SerializeToString() == again


def test_what_is_read_elsewhere_stays():
    logits = np.random.default_rng(0).normal(size=(1, 6, 5, 4)).astype(np.float32)
    after = borders_only(rows(4, read_again=True))
    np.testing.assert_array_equal(run(after, logits), run(rows(4, read_again=True), logits))


def test_many_classes_need_more_than_a_byte():
    logits = np.random.default_rng(0).normal(size=(1, 300, 3, 4)).astype(np.float32)
    model = borders_only(dense(4, 300, INT32))
    found = run(model, logits)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, run(dense(4, 300, INT32), logits))


def test_only_operators_of_onnx_remain():
    model = borders_only(dense(4, 3))
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions


@pytest.mark.parametrize("change", [{"side": 3}, {"axis": 3}, {"mode": "nearest"}])
def test_other_ends_stay(change):
    model = dense(**{"side": 4, "classes": 3, **change})
    assert borders_only(model) is model
    assert "Resize" in operators(model)


def test_logits_that_are_read_stay():
    model = dense(4, 3)
    model.graph.output.append(onnx.helper.make_tensor_value_info("large", onnx.TensorProto.FLOAT, ("B", 3, "H", "W")))
    assert "Resize" in operators(borders_only(model))
