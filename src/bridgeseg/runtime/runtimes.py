"""What runs a network: one interface, and ONNX Runtime behind it; OpenVINO's lives in `openvino_runtime`.

The session options below were measured; docs/runtimes.md has the figures.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, InputError, MissingDependencyError, ModelFileError, nearest

Ids = NDArray[np.uint8] | NDArray[np.uint16]
Signature = tuple[str, list[int | str | None]]
"""Type and shape of an input or output, such as ("uint8", ["batch", "height", "width", 3])."""
RUNTIMES = ("onnxruntime", "openvino")
"""What can run an .onnx file, the default first."""
CPU_INFO = Path("/proc/cpuinfo")
SILENT = 4  # ONNX Runtime's severity "fatal"


class Runtime(Protocol):
    """Runs a network on a batch of pictures of one size."""

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes)."""

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32."""


class FileRuntime(ABC):
    """An .onnx file and what runs it, on the CPU.

    Args:
        path: the file.
        threads: number of CPU threads; None for one per core that this process may use.

    Attributes:
        path: the file.
        metadata: the file's own key-value strings.
        producer: the program that wrote the file, if the runtime tells.
        inputs: name -> (type, shape) as the file declares them; a free side has a name or None.
        outputs: the same for its outputs.

    Raises:
        ModelFileError: there is no such file, or the runtime cannot load it.
        MissingDependencyError: the runtime's package is not installed.
        ConfigError: less than one thread.
    """

    name: str
    """What messages call the runtime."""
    metadata: dict[str, str]
    producer: str
    inputs: dict[str, Signature]
    outputs: dict[str, Signature]

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = Path(path)
        if threads is not None and threads < 1:
            raise ConfigError(f"at least one thread is needed, found {threads}", where="threads", fix="threads=2")
        _check_file(self.path)
        self._open(threads)

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes).

        Raises:
            InputError: the runtime cannot run the network on this picture, for want of memory for one.
        """
        ids: Ids = self._checked_run("classes", images)
        return ids

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32.

        Raises:
            ModelFileError: the file was exported without logits.
            InputError: the runtime cannot run the network on this picture.
        """
        if "logits" not in self.outputs:
            fix = "export it again with them: bridgeseg export --model RUN --out FILE.onnx --logits"
            raise ModelFileError("this file gives class ids only, no logits", where=self.path, fix=fix)
        logits: NDArray[np.float32] = self._checked_run("logits", images)
        return logits

    @abstractmethod
    def _open(self, threads: int | None) -> None:
        """Load the file and fill the attributes."""

    @abstractmethod
    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        """Return one output."""

    def _checked_run(self, output: str, images: NDArray[np.uint8]) -> Any:
        try:
            return self._run(output, images)
        except Exception as error:  # the runtimes' exceptions share no base class
            size = "x".join(str(side) for side in images.shape[:3])
            raise InputError(
                f"{self.name} failed on a batch of {size} (pictures x height x width): {reason(error)}",
                where=self.path,
                fix="if memory ran out, use a smaller size: --max-size 2048",
            ) from error


class OnnxRuntime(FileRuntime):
    """An .onnx file in ONNX Runtime, on the CPU; arguments, attributes and errors are those of `FileRuntime`."""

    name = "ONNX Runtime"

    def _open(self, threads: int | None) -> None:
        self._session = _open_session(self.path, threads)
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.producer = self._session.get_modelmeta().producer_name
        self.inputs = {node.name: _signature(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: _signature(node) for node in self._session.get_outputs()}

    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = SILENT
        # Without this the logits are computed at full size even when only class ids are asked for.
        options.only_execute_path_to_fetches = len(self.outputs) > 1
        return self._session.run([output], {"image": images}, options)[0]


def open_runtime(path: str | Path, threads: int | None = None, runtime: str = RUNTIMES[0]) -> FileRuntime:
    """Open an .onnx file in the runtime of a name: one of `RUNTIMES`.

    Raises:
        ConfigError: no such runtime, or less than one thread.
        MissingDependencyError: its package is not installed.
        ModelFileError: there is no such file, or the runtime cannot load it.
    """
    if runtime not in RUNTIMES:
        message = f"no runtime {runtime!r} for .onnx files; {nearest(runtime, RUNTIMES)}"
        raise ConfigError(message, where="runtime", fix=f"--runtime {RUNTIMES[0]}")
    if runtime == "onnxruntime":
        return OnnxRuntime(path, threads)
    try:
        from bridgeseg.runtime.openvino_runtime import OpenVinoRuntime
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "openvino":
            raise
        message = "the runtime 'openvino' needs the package 'openvino', which is not installed"
        raise MissingDependencyError(message, fix="pip install 'bridgeseg[openvino]'") from error
    return OpenVinoRuntime(path, threads)


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
    options.intra_op_num_threads = threads or usable_cores()
    # A pattern saves no time, helps only pictures of the size seen first, and holds half as much memory again for them.
    options.enable_mem_pattern = False
    if _adds_in_16_bits():
        # Slower, but the sums of two products uint8 x int8, which the 8-bit files need, do not overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads is not None and threads > (usable_cores() or os.cpu_count() or threads):
        # Threads that wait for work by spinning take the cores from those that have some: 1.6 times the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        told = reason(error)
        fix = "copy or export it again: bridgeseg export --model RUN --out FILE.onnx"
        if "xternal data" in told:
            fix = "give a file that holds its own weights, as `bridgeseg export` writes it"
        raise ModelFileError(f"ONNX Runtime cannot load this file: {told}", where=path, fix=fix) from error


def usable_cores() -> int:
    """Return the cores this process may use if they are fewer than the machine's, else 0: the runtime's own choice."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return usable if usable < (os.cpu_count() or 1) else 0


def _adds_in_16_bits() -> bool:
    """Return whether the processor is an x86 without dot products of bytes (VNNI), or does not say."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True


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


def _signature(node: Any) -> Signature:
    """`tensor(uint8)` and a shape -> ("uint8", shape)."""
    return str(node.type).removeprefix("tensor(").removesuffix(")"), list(node.shape)


def reason(error: Exception) -> str:
    """Return what a runtime says without its codes and without the lines that say where in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("Exception from ", "Check '")))
