"""ONNX Runtime behind the interface of the runtimes: the default.

The session options below were measured; docs/runtimes.md has the figures.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bridgeseg.errors import MORE_MEMORY, ModelFileError, lacks_memory
from bridgeseg.hardware import usable_cores
from bridgeseg.runtime.bounds import check_bounds
from bridgeseg.runtime.onnx_file import metadata
from bridgeseg.runtime.processor import adds_in_16_bits
from bridgeseg.runtime.runtimes import FileRuntime, default_threads, reason, register_runtime
from bridgeseg.runtime.taking import Signature

SILENT = 4  # ONNX Runtime's severity "fatal"


@register_runtime("onnxruntime")
class OnnxRuntime(FileRuntime):
    """An .onnx file in ONNX Runtime, on the CPU; arguments, attributes and errors are those of `FileRuntime`."""

    name = "ONNX Runtime"

    def _open(self, threads: int | None) -> None:
        check_bounds(self.path)
        self._running: dict[int, Any] = {}
        self._session = _open_session(self.path, threads)
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.producer = self._session.get_modelmeta().producer_name
        self.inputs = {node.name: _signature(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: _signature(node) for node in self._session.get_outputs()}

    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        return self._fetch([output], images)[0]

    def _run_all(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        if type(self)._run is not OnnxRuntime._run:  # of a subclass, which does something else with each output
            return super()._run_all(outputs, images)
        return self._fetch(outputs, images)

    def _fetch(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        options = onnxruntime.RunOptions()
        options.log_severity_level = SILENT
        # Without this the logits are computed at full size even when only class ids are asked for.
        options.only_execute_path_to_fetches = len(self.outputs) > 1
        self._running[threading.get_ident()] = options
        try:
            found: list[Any] = self._session.run(list(outputs), self._fed(images), options)
            return found
        finally:
            del self._running[threading.get_ident()]

    def interrupt(self, thread: int) -> None:
        """End what a thread runs, if it runs something, at the next operator; the call there raises `InputError`.

        Args:
            thread: its `threading.get_ident()`.
        """
        if (options := self._running.get(thread)) is not None:
            options.terminate = True


def _open_session(path: Path, threads: int | None) -> Any:
    onnxruntime.set_default_logger_severity(SILENT)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads or default_threads()
    # A pattern saves no time, helps only images of the size seen first, and holds half as much memory again for them.
    options.enable_mem_pattern = False
    if adds_in_16_bits() and not _fits_16_bits(path):
        # Slower, but the sums of two products uint8 x int8, which the 8-bit files need, do not overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads is not None and threads > usable_cores():
        # Threads that wait for work by spinning take the cores from those that have some: 1.6 times the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        told = reason(error)
        fix = "copy or export it again: bridgeseg export --model RUN --out FILE.onnx"
        if "xternal data" in told:
            fix = "give a file that holds its own weights, as `bridgeseg export` writes it"
        if lacks_memory(error):
            fix = MORE_MEMORY
        raise ModelFileError(f"ONNX Runtime cannot load this file: {told}", where=path, fix=fix) from error


def _fits_16_bits(path: Path) -> bool:
    """Return whether the file says that its 8-bit sums fit 16 bits (`exporting.pairs`); older files say nothing."""
    try:
        provenance = json.loads(metadata(path).get("bridgeseg.provenance", "{}"))
        return provenance["quantisation"]["any_processor"] is True
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _signature(node: Any) -> Signature:
    """`tensor(uint8)` and a shape -> ("uint8", shape)."""
    return str(node.type).removeprefix("tensor(").removesuffix(")"), list(node.shape)
