"""OpenVINO: `model.xml` and `model.bin`, by its own reader of ONNX."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.exporting.targets import Run, Target, register_target


@register_target("openvino")
class OpenVino(Target):
    """Bytes (1, H, W, 3) to ids; weights stay float32."""

    title, packages, extra = "OpenVINO", ("openvino",), "openvino"

    def convert(self, plain: Path, folder: Path) -> None:
        """Read the file and save it; `openvino.convert_model` would tell its makers of it."""
        import openvino

        network = openvino.Core().read_model(str(plain))
        openvino.save_model(network, str(folder / "model.xml"), compress_to_fp16=False)

    def open(self, folder: Path) -> Run:
        """Compile it for the CPU, in float32."""
        import openvino

        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", options)
        return lambda image: compiled([image])[0]
