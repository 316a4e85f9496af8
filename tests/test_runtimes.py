"""Runtimes behind one interface: the same answers, the same errors, chosen by name."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridgeseg
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, InputError, MissingDependencyError, ModelFileError
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.runtimes import RUNTIMES, FileRuntime, file_runtimes, open_runtime, reason, register_runtime
from tiny_onnx import NAMES, write_network

TOLERANCE = 1e-4
SIZES = [(1, 64, 96), (2, 33, 65), (1, 1, 1), (3, 7, 40)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "small.onnx")


@pytest.fixture(scope="module", params=file_runtimes())
def runtime(request: pytest.FixtureRequest, network: Path) -> FileRuntime:
    if request.param != "onnxruntime":
        pytest.importorskip(request.param)
    return open_runtime(network, 1, request.param)


def pixels(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_every_runtime_gives_the_same(size: tuple[int, int, int], runtime: FileRuntime, network: Path) -> None:
    images, reference = pixels(*size), open_runtime(network, 2)
    ids, logits = runtime.classes(images), runtime.logits(images)
    assert (ids.dtype, ids.shape, logits.dtype) == (np.uint8, size, np.float32)
    assert np.abs(logits - reference.logits(images)).max() <= TOLERANCE * max(1, np.abs(logits).max())
    np.testing.assert_array_equal(ids, logits.argmax(axis=1))
    assert (ids == reference.classes(images)).mean() >= 0.999


def test_results_do_not_change_with_the_next_image(runtime: FileRuntime) -> None:
    first = runtime.logits(pixels(1, 8, 9))
    kept = first.copy()
    runtime.logits(pixels(1, 8, 9)[:, ::-1])
    np.testing.assert_array_equal(first, kept)


def test_two_threads_at_once(runtime: FileRuntime) -> None:
    images = [pixels(1, 30 + index, 40) for index in range(8)]
    expected = [runtime.logits(image) for image in images]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(5):
            if not np.array_equal(runtime.logits(images[index]), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_the_file_says(runtime: FileRuntime, network: Path) -> None:
    model = Model.load(network, 1, "openvino" if "OpenVino" in type(runtime).__name__ else None)
    assert model.classes.names == NAMES
    assert model.provenance == {"method": "none"}
    assert {name: kind for name, (kind, _) in runtime.inputs.items()} == {"image": "uint8"}
    assert {name: kind for name, (kind, _) in runtime.outputs.items()} == {"classes": "uint8", "logits": "float"}
    assert model.describe()["outputs"][0]["name"] == "classes"


def test_a_image_that_does_not_fit(runtime: FileRuntime) -> None:
    with pytest.raises(InputError, match=f"{runtime.name} failed on a batch of 1x2x3") as caught:
        runtime.classes(np.zeros((1, 2, 3, 5), np.uint8))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", file_runtimes())
def test_files_that_cannot_be_loaded(name: str, tmp_path: Path) -> None:
    if name != "onnxruntime":
        pytest.importorskip(name)
    (tmp_path / "a.onnx").write_bytes(b"not protobuf" * 20)
    with pytest.raises(ModelFileError, match="cannot load this file"):
        open_runtime(tmp_path / "a.onnx", None, name)
    with pytest.raises(ModelFileError, match="no such model file"):
        open_runtime(tmp_path / "b.onnx", None, name)
    with pytest.raises(ConfigError, match="at least one thread"):
        open_runtime(tmp_path / "a.onnx", 0, name)


def test_a_runtime_that_does_not_exist(network: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        bridgeseg.load(network, runtime="openvin")
    with pytest.raises(ConfigError, match="no runtime 'torch'"):
        bridgeseg.load(network, runtime="torch")
    with pytest.raises(ConfigError, match="only a folder"):
        bridgeseg.load(network, compile=True)


def test_a_folder_runs_in_torch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder runs in PyTorch, not in 'openvino'"):
        bridgeseg.load(tmp_path, runtime="openvino")


def test_runtime_and_compile_reach_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Folder:
        class_set, provenance = ClassSet.build(NAMES), dict[str, Any]()

        def __init__(self, path: Path, threads: int | None, compile: bool) -> None:
            calls.append((path, threads, compile))
            self.path = path

    monkeypatch.setitem(RUNTIMES._values, "torch", Folder)
    bridgeseg.load(tmp_path, runtime="torch", threads=2, compile=True)
    bridgeseg.load(tmp_path)
    assert calls == [(tmp_path, 2, True), (tmp_path, None, False)]


@pytest.mark.slow
def test_openvino_is_not_installed(network: Path) -> None:
    code = (
        "import sys\nsys.modules['openvino'] = None\n"
        "from bridgeseg.errors import MissingDependencyError\nimport bridgeseg\n"
        f"try:\n    bridgeseg.load({str(network)!r}, runtime='openvino')\n"
        "except MissingDependencyError as error:\n    print(error.fix)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'bridgeseg[openvino]'"
    assert issubclass(MissingDependencyError, InputError)


def test_the_command_line(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    assert main(["info", "--model", str(network), "--runtime", "openvino", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["inputs"] == [{"name": "image", "type": "uint8", "shape": [None, None, None, 3]}]
    assert main(["info", "--model", str(network), "--runtime", "tensorflow"]) == 2
    assert "no runtime 'tensorflow'" in capsys.readouterr().err


def test_a_package_brings_a_runtime(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUNTIMES, "_values", dict(RUNTIMES._values))
    monkeypatch.setattr(RUNTIMES, "_sources", dict(RUNTIMES._sources))

    @register_runtime("flipped")
    class Flipped(OnnxRuntime):
        def _run(self, output: str, images: np.ndarray) -> Any:
            return np.ascontiguousarray(super()._run(output, images[:, ::-1])[:, ::-1])

    image = pixels(1, 8, 9)[0]
    assert "flipped" in file_runtimes()
    found, plain = bridgeseg.load(network, runtime="flipped"), bridgeseg.load(network)
    assert isinstance(found.runtime, Flipped)
    np.testing.assert_array_equal(found.mask(image), plain.mask(np.ascontiguousarray(image[::-1]))[::-1])
    with pytest.raises(ConfigError, match="did you mean 'flipped'"):
        bridgeseg.load(network, runtime="fliped")


def test_a_model_pickles(network: Path, tmp_path: Path) -> None:
    image = pixels(1, 8, 9)[0]
    file = Path(shutil.copy(network, tmp_path / "a.onnx"))
    model = bridgeseg.load(file, threads=1)
    content = pickle.dumps(model)
    again = pickle.loads(content)
    assert (again.path, again.classes, again.provenance) == (file, model.classes, model.provenance)
    np.testing.assert_array_equal(again.mask(image), model.mask(image))
    with pytest.raises(TypeError, match="made by `load`"):
        pickle.dumps(Model(model.runtime, model.classes, {}))
    write_network(file, provenance={"method": "other"})
    with pytest.raises(ModelFileError, match="another model lies here"):
        pickle.loads(content)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_works_on_in_a_forked_process(threads: int, network: Path) -> None:
    code = (
        "import os, signal, sys, numpy, bridgeseg\n"
        f"model, image = bridgeseg.load({str(network)!r}, threads={threads}), numpy.zeros((64, 64, 3), 'u1')\n"
        "image[:32] = 200\n"
        "before = model.mask(image)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(30)\n"
        "    os._exit(0 if (model.mask(image) == before).all() else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_model_crosses_into_a_fresh_process(network: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(Model.mask, (bridgeseg.load(network, threads=1), pixels(1, 8, 9)[0]))
    np.testing.assert_array_equal(found, bridgeseg.load(network).mask(pixels(1, 8, 9)[0]))


def test_threads_of_a_folder_last_as_long_as_a_call() -> None:
    torch = pytest.importorskip("torch")
    from bridgeseg.runtime.torch_runtime import TorchRuntime
    from bridgeseg.settings.model import ModelConfig
    from tiny_networks import BACKBONE, make_network

    seen: list[int] = []
    runtime = TorchRuntime(make_network(ModelConfig(method="none", backbone=BACKBONE, width=16)), threads=3)
    runtime.network.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    runtime.classes(pixels(1, 32, 32))
    assert (seen, torch.get_num_threads()) == ([3], before)


def test_what_a_runtime_says_is_put_on_one_line() -> None:
    assert reason(RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got: 5")) == "Got: 5"
    text = "Exception from src/a.cpp:1:\nCheck 'x' failed at b.cpp:2:\nCan't do it\n"
    assert reason(RuntimeError(text)) == "Can't do it"


def test_torch_compile_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from bridgeseg.runtime.torch_runtime import TorchRuntime
    from bridgeseg.settings.model import ModelConfig
    from tiny_networks import BACKBONE, make_network

    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: calls.append(options))
    segmentor = make_network(ModelConfig(method="none", backbone=BACKBONE, width=16))
    TorchRuntime(segmentor)
    assert not calls
    TorchRuntime(segmentor, compile=True)
    assert calls == [{"dynamic": False}]


@pytest.mark.parametrize(("threads", "cores", "expected"), [(4, 2, ["0"]), (2, 2, []), (None, 1, []), (1, 1, [])])
def test_threads_without_a_core_do_not_spin(
    threads: int | None, cores: int, expected: list[str], network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    entries: list[str] = []

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            if key == "session.intra_op.allow_spinning":
                entries.append(value)
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr("bridgeseg.runtime.onnx_runtime.usable_cores", lambda: cores)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert open_runtime(network, threads).classes(pixels(1, 4, 4)).shape == (1, 4, 4)
    assert entries == expected


@pytest.mark.parametrize(
    ("machine", "info", "safe", "expected"),
    [
        ("x86_64", "flags : avx2 avx512_vnni", None, []),
        ("AMD64", "flags : avx2 avx_vnni", None, []),
        ("x86_64", "flags : avx2", None, ["1"]),
        ("x86_64", "flags : avx2", False, ["1"]),
        ("x86_64", "flags : avx2", True, []),
        ("x86_64", None, None, ["1"]),
        ("aarch64", None, None, []),
    ],
)
def test_bytes_are_added_up_in_enough_bits(
    machine: str,
    info: str | None,
    safe: bool | None,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ONNX Runtime's products of 8-bit numbers overflow on x86 processors without dot products of bytes."""
    import onnxruntime

    facts = {} if safe is None else {"quantisation": {"any_processor": safe}}
    network = write_network(tmp_path / "a.onnx", provenance=facts)
    entries: list[str] = []

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            if key == "session.x64quantprecision":
                entries.append(value)
            super().add_session_config_entry(key, value)

    if info is not None:
        (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("bridgeseg.hardware.CPU_INFO", tmp_path / "cpuinfo")
    assert open_runtime(network).classes(pixels(1, 4, 4)).shape == (1, 4, 4)
    assert entries == expected
