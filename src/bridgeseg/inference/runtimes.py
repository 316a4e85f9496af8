"""What runs a network: one interface, and ONNX Runtime behind it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, InputError, ModelFileError

Ids = NDArray[np.uint8] | NDArray[np.uint16]
SILENT = 4  # ONNX Runtime's severity "fatal"


class Runtime(Protocol):
    """Runs a network on a batch of pictures of one size."""

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes)."""

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32."""


class OnnxRuntime:
    """An .onnx file in ONNX Runtime, on the CPU.

    Args:
        path: the file.
        threads: number of CPU threads; None for one per core that this process may use.

    Attributes:
        path: the file.
        metadata: the file's own key-value strings.
        inputs: name -> (type, shape) as the file declares them, such as {"image": ("uint8", ["batch", "h", "w", 3])}.
        outputs: the same for its outputs.

    Raises:
        ModelFileError: there is no such file, or ONNX Runtime cannot load it.
        ConfigError: less than one thread.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = Path(path)
        if threads is not None and threads < 1:
            raise ConfigError(f"at least one thread is needed, found {threads}", where="threads", fix="threads=2")
        _check_file(self.path)
        self._session = _open_session(self.path, threads)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.producer: str = self._session.get_modelmeta().producer_name
        self.inputs = {node.name: _signature(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: _signature(node) for node in self._session.get_outputs()}

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes).

        Raises:
            InputError: ONNX Runtime cannot run the network on this picture, for want of memory for one.
        """
        ids: Ids = self._run("classes", images)
        return ids

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32.

        Raises:
            ModelFileError: the file was exported without logits.
            InputError: ONNX Runtime cannot run the network on this picture.
        """
        if "logits" not in self.outputs:
            fix = "export it again with them: bridgeseg export --model RUN --out FILE.onnx --logits"
            raise ModelFileError("this file gives class ids only, no logits", where=self.path, fix=fix)
        logits: NDArray[np.float32] = self._run("logits", images)
        return logits

    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = SILENT
        # Without this the logits are computed at full size even when only class ids are asked for.
        options.only_execute_path_to_fetches = len(self.outputs) > 1
        try:
            return self._session.run([output], {"image": images}, options)[0]
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            size = "x".join(str(side) for side in images.shape[:3])
            raise InputError(
                f"ONNX Runtime failed on a batch of {size} (pictures x height x width): {_reason(error)}",
                where=self.path,
                fix="if memory ran out, use a smaller size: --max-size 2048",
            ) from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ModelFileError("this is a folder, not an .onnx file", where=path, fix="bridgeseg.load(folder)")
    if not path.is_file():
        raise ModelFileError("there is no such model file", where=path, fix="check the spelling and the folder")
    if path.stat().st_size == 0:
        raise ModelFileError("the file is empty", where=path, fix="copy or export it again")


def _open_session(path: Path, threads: int | None) -> Any:
    with _quiet_start():
        import onnxruntime
    onnxruntime.set_default_logger_severity(SILENT)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads or _usable_cores()
    # A pattern saves no time, helps only pictures of the size seen first, and holds half as much memory again for them.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        reason = _reason(error)
        fix = "copy or export it again: bridgeseg export --model RUN --out FILE.onnx"
        if "xternal data" in reason:
            fix = "give a file that holds its own weights, as `bridgeseg export` writes it"
        raise ModelFileError(f"ONNX Runtime cannot load this file: {reason}", where=path, fix=fix) from error


def _usable_cores() -> int:
    """Return the cores this process may use if they are fewer than the machine's, else 0: ONNX Runtime's own choice."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return usable if usable < (os.cpu_count() or 1) else 0


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Drop ONNX Runtime's own warnings while it is imported, such as that it found no GPU.

    It writes them from C++ before any log level can be set (microsoft/onnxruntime#27092), so the process's standard
    error is held back and everything else in it is passed on afterwards.
    """
    if "onnxruntime" in sys.modules:
        yield
        return
    try:
        held, kept = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115 (closed by the `with` below)
    except OSError:  # no folder for temporary files, or standard error is closed: let the warnings pass
        yield
        return
    with held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not re.search(rb"\[[VIWE]:onnxruntime:", line):
                    os.write(2, line)


def _signature(node: Any) -> tuple[str, list[int | str | None]]:
    """`tensor(uint8)` and a shape -> ("uint8", shape)."""
    return str(node.type).removeprefix("tensor(").removesuffix(")"), list(node.shape)


def _reason(error: Exception) -> str:
    """Drop the codes that ONNX Runtime puts before its messages."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)).strip()
