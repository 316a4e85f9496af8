"""A plain file as a PyTorch module that torch.export takes: read by onnx2torch, sizes in tensors made plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from pathlib import Path
from typing import Any

from bridgeseg.exporting.targets import image_shape

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments."""


def read_module(plain: Path) -> tuple[Any, Any]:
    """Return a `torch.fx.GraphModule` for evaluation, and an image of zeros as it takes it.

    Args:
        plain: a plain file of one size and one output.
    """
    import onnx
    import torch
    from onnx2torch import convert

    model = onnx.load(plain)
    bytes_ = model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    image = torch.zeros(image_shape(model), dtype=torch.uint8 if bytes_ else torch.float32)
    module = convert(model).eval().requires_grad_(False)
    _settle(module, image)
    return module, image


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
