"""OpenVINO behind the interface of the runtimes. Needs the extra `openvino`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.bounds import check_bounds
from bridgeseg.runtime.runtimes import FileRuntime, default_threads, reason, register_runtime
from bridgeseg.runtime.taking import Signature

TYPES = {"u8": "uint8", "u16": "uint16", "f32": "float"}
"""OpenVINO's names of types -> those that ONNX Runtime uses."""


@register_runtime("openvino")
class OpenVinoRuntime(FileRuntime):
    """An .onnx file in OpenVINO, on the CPU; arguments, attributes and errors are those of `FileRuntime`.

    The network is compiled once for images of any size, and again for other outputs that are asked for: otherwise
    logits would be computed at full size for class ids too. It runs in float32: OpenVINO would take bfloat16 where the
    processor has it, and give other ids than ONNX Runtime.
    """

    name = "OpenVINO"

    def _open(self, threads: int | None) -> None:
        check_bounds(self.path)
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads or default_threads(),
            # Other programs may hold the cores that threads would be tied to.
            "ENABLE_CPU_PINNING": False,
        }
        self._core, self._compiled, self._lock = openvino.Core(), dict[tuple[str, ...], Any](), threading.Lock()
        self._local = threading.local()
        try:
            self._network = self._core.read_model(str(self.path))
            self.inputs = dict(_signature(port) for port in self._network.inputs)
            self.outputs = dict(_signature(port) for port in self._network.outputs)
            self._compile((next(iter(self.outputs)),))
        except Exception as error:  # OpenVINO's exceptions share no base class
            fix = "copy or export it again, or use `runtime='onnxruntime'`"
            message = f"OpenVINO cannot load this file: {reason(error)}"
            raise ModelFileError(message, where=self.path, fix=fix) from error
        facts = self._network.get_rt_info()
        entries = facts["framework"] if "framework" in facts else {}  # noqa: SIM401 (it has no `get`)
        self.metadata = {key: str(value.value) for key, value in entries.items()}
        self.producer = ""

    def _compile(self, outputs: tuple[str, ...]) -> Any:
        with self._lock:
            if outputs not in self._compiled:
                wanted = [self._network.output(output) for output in outputs]
                part = openvino.Model(wanted, self._network.get_parameters(), "_".join(outputs))
                self._compiled[outputs] = self._core.compile_model(part, "CPU", self._options)
            return self._compiled[outputs]

    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        return self._fetch([output], images)[0]

    def _run_all(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        if type(self)._run is not OpenVinoRuntime._run:  # of a subclass, which does something else with each output
            return super()._run_all(outputs, images)
        return self._fetch(outputs, images)

    def _fetch(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        # A request belongs to one thread; it owns the memory of its results and writes the next ones there.
        if not hasattr(self._local, "requests"):
            self._local.requests = {}
        requests: dict[tuple[str, ...], Any] = self._local.requests
        if (wanted := tuple(outputs)) not in requests:
            requests[wanted] = self._compile(wanted).create_infer_request()
        found = requests[wanted].infer(self._fed(np.ascontiguousarray(images)), share_inputs=True)
        return [found[place].copy() for place in range(len(wanted))]


def _signature(port: Any) -> tuple[str, Signature]:
    kind = port.get_element_type().get_type_name()
    sides = [None if side.is_dynamic else side.get_length() for side in port.get_partial_shape()]
    return port.get_any_name(), (TYPES.get(kind, kind), sides)
