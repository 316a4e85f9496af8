"""LiteRT (TensorFlow Lite): `model.tflite`, read by onnx2torch and written by litert-torch."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.exporting.targets import Run, Target, image_shape, register_target

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments."""


@register_target("litert")
class LiteRt(Target):
    """Bytes (1, H, W, 3) to ids; weights stay float32."""

    title, packages, extra = "LiteRT", ("litert_torch", "onnx2torch", "ai_edge_litert"), "litert"

    def convert(self, plain: Path, folder: Path) -> None:
        """Read the file as a PyTorch module without sizes in tensors, and convert that."""
        import litert_torch
        import onnx
        import torch
        from onnx2torch import convert

        model = onnx.load(plain)
        image = torch.zeros(image_shape(model), dtype=torch.uint8)
        module = convert(model).eval().requires_grad_(False)
        _settle(module, image)
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


def _settle(module: Any, image: Any) -> None:
    """Make sizes and places that onnx2torch reads from tensors plain numbers: torch.export takes those for data.

    Args:
        module: a `torch.fx.GraphModule` of onnx2torch, changed in place.
        image: what it takes.
    """
    from torch.fx import Interpreter

    values: dict[Any, Any] = {}

    class Noting(Interpreter):
        def run_node(self, node: Any) -> Any:
            values[node] = super().run_node(node)
            return values[node]

    Noting(module).run(image)
    for node in [node for node in module.graph.nodes if node.op == "call_module"]:
        layer = module.get_submodule(node.target)
        if (settle := SETTLED.get(type(layer).__name__)) is not None:
            function, arguments = settle(layer, node, values)
            with module.graph.inserting_before(node):
                fresh = module.graph.call_function(function, arguments)
            node.replace_all_uses_with(fresh)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def _reshaped(layer: Any, node: Any, values: dict[Any, Any]) -> Call:
    import torch

    return torch.reshape, (node.args[0], tuple(values[node].shape))


def _sliced(layer: Any, node: Any, values: dict[Any, Any]) -> Call:
    starts, ends, axes = (values[given].tolist() for given in node.args[1:4])
    shape = values[node.args[0]].shape
    places = [slice(None)] * len(shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        places[axis] = slice(start, min(end, shape[axis]))
    return getitem, (node.args[0], tuple(places))


def _resized(layer: Any, node: Any, values: dict[Any, Any]) -> Call:
    from torch.nn.functional import interpolate

    mode = {"nearest": "nearest", "linear": "bilinear"}[layer.onnx_mode]
    return interpolate, (node.args[0], tuple(values[node].shape[2:]), None, mode, layer.align_corners)


SETTLED: dict[str, Callable[[Any, Any, dict[Any, Any]], Call]] = {
    "OnnxReshape": _reshaped,
    "OnnxSlice": _sliced,
    "OnnxResize": _resized,
}
"""Module of onnx2torch -> the same without tensors of numbers."""
