"""Core ML: `model.mlpackage`, read by onnx2torch and written by coremltools. Apple's machines alone run it."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.exporting.targets import Target, register_target
from bridgeseg.exporting.targets._module import read_module


@register_target("coreml")
class CoreMl(Target):
    """Floats 0..255 (1, 3, H, W), `image`, to ids, `classes`; weights stay float32."""

    title, packages, extra = "Core ML", ("coremltools", "onnx2torch"), "coreml"
    layout, input = "nchw", "float"

    def convert(self, plain: Path, folder: Path) -> None:
        """Read the file as a PyTorch module, and convert that to an ML program in float32."""
        import coremltools
        import torch

        module, image = read_module(plain)
        exported = torch.export.export(module, (image,)).run_decompositions({})
        made = coremltools.convert(
            exported,
            inputs=[coremltools.TensorType("image", tuple(image.shape))],
            outputs=[coremltools.TensorType("classes")],
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=coremltools.precision.FLOAT32,
            skip_model_load=True,
        )
        made.save(str(folder / "model.mlpackage"))
