"""Looking around in an ONNX graph: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper


def makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Return tensor name -> the node that makes it."""
    return {name: node for node in graph.node for name in node.output}


def readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Return tensor name -> the nodes that read it, one entry for each time."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute: a number, bytes, a list of numbers, a tensor."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def constant(graph: onnx.GraphProto, name: str) -> list[float] | None:
    """Return the numbers of an initializer or a Constant node, None if the tensor is neither."""
    for tensor in graph.initializer:
        if tensor.name == name:
            return [float(value) for value in numpy_helper.to_array(tensor).ravel()]
    node = makers(graph).get(name)
    if node is not None and node.op_type == "Constant":
        return [float(value) for value in numpy_helper.to_array(node.attribute[0].t).ravel()]
    return None


def drop_unread(graph: onnx.GraphProto) -> None:
    """Drop initializers that nothing reads: they make the file larger, and ONNX Runtime warns of them."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
