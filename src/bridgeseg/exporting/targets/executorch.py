"""ExecuTorch: `model.pte`, read by onnx2torch and lowered to XNNPACK, the kernels of phones' and boards' CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.exporting.targets import Run, Target, register_target
from bridgeseg.exporting.targets._module import read_module


@register_target("executorch")
class ExecuTorch(Target):
    """Bytes (1, H, W, 3) to ids; weights stay float32."""

    title, packages, extra = "ExecuTorch", ("executorch", "onnx2torch"), "executorch"

    def convert(self, plain: Path, folder: Path) -> None:
        """Read the file as a PyTorch module, and lower that."""
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        module, image = read_module(plain)
        exported = torch.export.export(module, (image,))
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
        (folder / "model.pte").write_bytes(program.buffer)

    def open(self, folder: Path) -> Run:
        """Load it in ExecuTorch's own runtime."""
        import torch
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(str(folder / "model.pte")).load_method("forward")

        def run(image: NDArray[np.uint8]) -> NDArray[Any]:
            found: NDArray[Any] = method.execute([torch.tensor(image)])[0].numpy()
            return found

        return run
