"""How each runtime runs one plain file: `ADAPTERS[name](path)` returns what turns an image into class ids.

Each runs in an environment of its own, which has the packages of `PACKAGES[name]`, and bridgeseg only where it is the
converter.
An image is uint8 RGB (1, H, W, 3), ids are integers (1, H, W); one thread everywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Any], Any]
ROOT = Path(__file__).parents[2]
PACKAGES = {
    "onnxruntime": ["onnxruntime"],
    "openvino": ["openvino"],
    "opencv": ["opencv-python-headless>=5"],
    "mnn": ["MNN"],
    "ncnn": ["ncnn", "pnnx"],
    "tract": ["tract"],
    "litert": [f"{ROOT}[litert]"],
    "executorch": [f"{ROOT}[executorch]"],
    "reference": ["onnx"],
}
"""What each environment needs besides numpy."""
FORMS = {"opencv": "floats", "mnn": "floats", "ncnn": "logits"}
"""Runtimes that are given a file of `--layout nchw --input float`, or such a file whose one output is logits, because
they know no ArgMax; the others take bytes (B, H, W, 3)."""


def _floats(image: Any) -> Any:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2), np.float32)


def _tool(name: str, *arguments: str, folder: Path) -> None:
    """Run a converter of this environment; it leaves its files in a folder."""
    program = Path(sys.executable).parent / name
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} ends with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")


def onnxruntime(path: Path) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["classes"], {"image": image})[0]


def openvino(path: Path) -> Run:
    import openvino as ov

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(str(path), "CPU", options)
    return lambda image: model([image])[0]


def opencv(path: Path) -> Run:
    import cv2

    cv2.setNumThreads(1)
    network = cv2.dnn.readNetFromONNX(str(path))

    def run(image: Any) -> Any:
        network.setInput(_floats(image), "image")
        return network.forward("classes")

    return run


def mnn(path: Path) -> Run:
    import _tools  # the command `mnnconvert` around it would send what it converts, and where, to its makers
    import MNN

    made = path.with_suffix(".mnn")
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(made)])
    options = {"backend": 0, "precision": "high", "numThread": 1}
    runtime = MNN.nn.create_runtime_manager((options,))
    module = MNN.nn.load_module_from_file(str(made), ["image"], ["classes"], runtime_manager=runtime)

    def run(image: Any) -> Any:
        given = MNN.expr.const(_floats(image), [1, 3, *image.shape[1:3]], MNN.expr.NCHW)
        return np.array(MNN.expr.convert(module.forward([given])[0], MNN.expr.NCHW).read())

    return run


def ncnn(path: Path) -> Run:
    import ncnn as library

    height, width = (int(side) for side in os.environ["SIZE"].split("x"))
    _tool("pnnx", path.name, f"inputshape=[1,3,{height},{width}]", folder=path.parent)
    network = library.Net()
    network.opt.num_threads = 1
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    if network.load_param(str(path.with_suffix(".ncnn.param"))) or network.load_model(
        str(path.with_suffix(".ncnn.bin"))
    ):
        raise RuntimeError("ncnn does not load what pnnx wrote: it has layers that ncnn does not know")

    def run(image: Any) -> Any:
        extractor, pixels = (
            network.create_extractor(),
            _floats(image)[0],
        )  # a Mat does not keep the numbers it is made of
        extractor.input("in0", library.Mat(pixels).clone())
        failed, found = extractor.extract("out0")
        if failed:
            raise RuntimeError(f"ncnn ends with {failed}")
        return np.array(found).argmax(axis=0)

    return run


def tract(path: Path) -> Run:
    import tract as library

    model = library.onnx().load(str(path)).into_model().into_runnable()
    return lambda image: model.run([image])[0].to_numpy()


def litert(path: Path) -> Run:
    return _converted("litert", path)


def executorch(path: Path) -> Run:
    return _converted("executorch", path)


def _converted(name: str, path: Path) -> Run:
    """Convert as `bridgeseg export --to` does."""
    from bridgeseg.exporting.targets import TARGETS

    folder = path.with_suffix(".d")
    folder.mkdir()
    target = TARGETS.get(name)()
    target.convert(path, folder)
    run = target.open(folder)
    assert run is not None
    return run


def reference(path: Path) -> Run:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(path))
    return lambda image: evaluator.run(["classes"], {"image": image})[0]


ADAPTERS: dict[str, Callable[[Path], Run]] = {name: globals()[name] for name in PACKAGES}
