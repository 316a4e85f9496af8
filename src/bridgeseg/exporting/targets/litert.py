"""LiteRT (TensorFlow Lite): `model.tflite`, read by onnx2torch and written by litert-torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.exporting.targets import Run, Target, register_target
from bridgeseg.exporting.targets._module import read_module


@register_target("litert")
class LiteRt(Target):
    """Bytes (1, H, W, 3) to ids; weights stay float32."""

    title, packages, extra = "LiteRT", ("litert_torch", "onnx2torch", "ai_edge_litert"), "litert"

    def convert(self, plain: Path, folder: Path) -> None:
        """Read the file as a PyTorch module, and convert that."""
        import litert_torch

        module, image = read_module(plain)
        litert_torch.convert(module, (image,)).export(str(folder / "model.tflite"))

    def open(self, folder: Path) -> Run:
        """Load it in LiteRT's interpreter."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / "model.tflite"))
        interpreter.allocate_tensors()
        given, wanted = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def run(image: NDArray[np.uint8]) -> NDArray[Any]:
            interpreter.set_tensor(given, image)
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(wanted))

        return run
