"""What files of strangers ask for: refused before a runtime sees it; and what still runs can be ended."""

from __future__ import annotations

import json
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.runtime import bounds, metadata
from bridgeseg.runtime.bounds import check_bounds
from bridgeseg.runtime.model import BUNDLED, Model
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from conftest import MakeOnnx

onnx = pytest.importorskip("onnx")
helper, types, from_array = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array


def build(nodes: list[Any], weights: list[Any] | None = None, **options: Any) -> Any:
    """Return a file's message whose ids are the red channel, with more nodes and weights."""
    sides = ["batch", "height", "width"]
    inputs = [helper.make_tensor_value_info("image", types.UINT8, [*sides, 3])]
    outputs = [helper.make_tensor_value_info("classes", types.UINT8, sides)]
    graph = helper.make_graph([*nodes], "g", inputs, outputs, weights or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, **options)
    entries = {"bridgeseg.format": "1", "bridgeseg.classes": json.dumps({"names": ["a"]})}
    helper.set_model_props(model, entries)
    return model


def save(tmp_path: Path, model: Any) -> Path:
    path: Path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def numbers(name: str, *values: int) -> Any:
    return from_array(np.array(values, np.int64), name)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Write a file that adds nothing to its ids, 2 ** 62 times."""
    values = [helper.make_tensor_value_info("i", types.INT64, []), helper.make_tensor_value_info("go", types.BOOL, [])]
    value = helper.make_tensor_value_info("x", types.UINT8, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [*values, value],
        [helper.make_tensor_value_info("on", types.BOOL, []), helper.make_tensor_value_info("y", types.UINT8, None)],
    )
    weights = [from_array(np.array(2**62), "many"), from_array(np.array(True), "yes"), numbers("axis", 3)]
    nodes = [
        helper.make_node("ReduceMin", ["image", "axis"], ["ids"], keepdims=0),
        helper.make_node("Loop", ["many", "yes", "ids"], ["classes"], body=body),
    ]
    return save(tmp_path, build(nodes, weights))


@pytest.mark.parametrize("file", sorted(BUNDLED.parent.glob("*.onnx")), ids=lambda file: file.name)
def test_own_files_pass(file: Path) -> None:
    check_bounds(file)


def test_a_loop_is_refused_wherever_it_is(tmp_path: Path, endless: Path) -> None:
    with pytest.raises(ModelFileError, match="repeats a part of itself \\(operator Loop\\)"):
        Model.load(endless)
    loop = onnx.load(endless).graph.node[1]
    branch = helper.make_graph([loop], "branch", [], [])
    inside = helper.make_node("If", ["yes"], ["classes"], then_branch=branch, else_branch=branch)
    with pytest.raises(ModelFileError, match="operator Loop"):
        check_bounds(save(tmp_path, build([inside])))
    model = build([helper.make_node("f", ["image"], ["classes"], domain="own")])
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [loop], [helper.make_opsetid("", 18)]))
    with pytest.raises(ModelFileError, match="operator Loop"):
        check_bounds(save(tmp_path, model))
    for _ in range(bounds.DEPTH + 1):
        branch = helper.make_graph([helper.make_node("If", ["c"], ["o"], then_branch=branch)], "outer", [], [])
    with pytest.raises(ModelFileError, match="graphs within graphs"):
        check_bounds(save(tmp_path, build(list(branch.node))))


def shapes(kind: str) -> tuple[list[Any], list[Any]]:
    """Return nodes and weights that ask for 6 GB, the shape given in one of the ways that ONNX knows."""
    sides = [40, 40, 2**20]
    if kind == "weight":
        return [helper.make_node("ConstantOfShape", ["s"], ["c"])], [numbers("s", *sides)]
    if kind == "numbers":
        return [helper.make_node("Tile", ["x", "s"], ["c"])], [helper.make_tensor("s", types.INT64, [3], sides)]
    if kind == "constant":
        node = helper.make_node("Constant", [], ["s"], value=numbers("", *sides))
        return [node, helper.make_node("Expand", ["x", "s"], ["c"])], []
    if kind == "integers":
        node = helper.make_node("Constant", [], ["s"], value_ints=sides)
        return [node, helper.make_node("Resize", ["x", "", "", "s"], ["c"])], []
    if kind == "random":
        return [helper.make_node("RandomNormal", [], ["c"], shape=sides)], []
    weights = [from_array(np.array(value), name) for name, value in (("a", 0), ("b", 2**31), ("d", 1))]
    return [helper.make_node("Range", ["a", "b", "d"], ["c"])], weights


@pytest.mark.parametrize("kind", ["weight", "numbers", "constant", "integers", "random", "range"])
def test_constants_of_many_gigabytes_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"asks for [\d,]{13} numbers at once"):
        OnnxRuntime(save(tmp_path, build(*shapes(kind))))


def test_numbers_that_are_no_shape_are_let_through(tmp_path: Path) -> None:
    scales = from_array(np.array([1, 1, 2, 2], np.float32), "s")
    fill = helper.make_node("ConstantOfShape", ["k"], ["c"], value=from_array(np.array([1.0]), ""))
    nodes = [helper.make_node("Resize", ["x", "", "s"], ["y"]), fill]
    check_bounds(save(tmp_path, build(nodes, [scales, numbers("k", 1024, 1024, 256)])))


def test_weights_outside_the_file_and_sparse_ones(tmp_path: Path) -> None:
    outside = types(name="w", data_type=types.FLOAT, dims=[4], data_location=types.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(ModelFileError, match="External data") as caught:
        OnnxRuntime(save(tmp_path, build([], [outside])))
    assert "holds its own weights" in str(caught.value.fix)
    node = helper.make_node("Constant", [], ["c"], value=outside)
    with pytest.raises(ModelFileError, match="External data"):
        check_bounds(save(tmp_path, build([node])))
    sparse = helper.make_sparse_tensor(from_array(np.ones(1, np.float32), "w"), numbers("i", 0), [2**40])
    model = build([])
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelFileError, match="sparse weights"):
        check_bounds(save(tmp_path, model))
    with pytest.raises(ModelFileError, match="sparse constants"):
        check_bounds(save(tmp_path, build([helper.make_node("Constant", [], ["c"], sparse_value=sparse)])))


def test_too_much_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build([])
    monkeypatch.setattr(bounds, "MOST_METADATA", 1 << 20)
    check_bounds(save(tmp_path, model))
    model.metadata_props.add(key="k", value="x" * (1 << 20))
    with pytest.raises(ModelFileError, match="more than 1 MB of metadata"):
        check_bounds(save(tmp_path, model))
    monkeypatch.setattr(bounds, "MOST_STEPS", 50)
    with pytest.raises(ModelFileError, match="more than 50 parts"):
        check_bounds(save(tmp_path, build([], [numbers(f"w{index}", 1) for index in range(30)])))


def test_bytes_that_are_no_file(tmp_path: Path) -> None:
    for content in (b"\xff" * 40, BUNDLED.read_bytes()[:5000], struct.pack("<Q", 2**60)):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match="cannot load this file"):
            check_bounds(tmp_path / "a.onnx")


def test_what_runs_without_end_can_be_ended(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgeseg.runtime.onnx_runtime.check_bounds", lambda _: None)
    model, raised = Model.load(endless, threads=1), list[InputError]()

    def work() -> None:
        try:
            model.mask(np.zeros((4, 4, 3), np.uint8))
        except InputError as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and not raised:
        model.interrupt(thread.ident or 0)
        time.sleep(0.01)
    thread.join()
    assert "ONNX Runtime failed" in raised[0].message
    model.interrupt(threading.get_ident())  # nothing runs here


def test_a_stream_that_is_left_ends_its_network(rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, begun, ended, threads = Model.load(rgb_onnx), threading.Event(), threading.Event(), list[int]()
    plain = model.segment

    def segment(image: np.ndarray, *options: Any) -> Any:
        if threads:
            begun.set()
            assert ended.wait(60)
        threads.append(threading.get_ident())
        return plain(image, *options)

    def interrupt(thread: int) -> None:
        assert threads == [thread]
        ended.set()

    monkeypatch.setattr(model, "segment", segment)
    monkeypatch.setattr(model, "interrupt", interrupt)
    results = iter(model.stream([np.zeros((4, 4, 3), np.uint8)] * 2))
    next(results)
    assert begun.wait(60)
    results.close()  # type: ignore[attr-defined]
    assert ended.is_set()


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"scores": [1]}, "`scores` in its provenance must be an object, found list"),
        ({"scores": {"iou": "abc"}}, "`scores.iou` in its provenance must be an object, found str"),
        ({"scores": {"miou": [1]}}, "`scores.miou` in its provenance must be a number, found list"),
        ({"scores": {"iou": {"\x1b[2J": {}}}}, r"`scores.iou.\\x1b\[2J` in its provenance must be a number"),
    ],
)
def test_facts_of_another_shape_are_refused(facts: dict[str, Any], text: str, make_onnx: MakeOnnx) -> None:
    with pytest.raises(ModelFileError, match=text):
        Model.load(make_onnx(provenance=facts))


def test_facts_as_they_are_written_are_taken(make_onnx: MakeOnnx) -> None:
    facts = {"scores": {"split": "val", "miou": 0.5, "iou": {"red": None, "green": 0.5}}, "parameters": {"a": 1}}
    assert Model.load(make_onnx(provenance=facts)).provenance == facts
    assert Model.load(make_onnx(provenance={"scores": None})).provenance == {"scores": None}


def test_names_without_end_are_refused(make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "LONGEST_NAME", 4)
    with pytest.raises(ModelFileError, match="a class name of 5 characters; at most 4"):
        Model.load(make_onnx())


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    content = bytearray(BUNDLED.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match="checksum differs"):
        Model.load(tmp_path / "a.onnx")
