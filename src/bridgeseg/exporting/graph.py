"""Looking around in an ONNX graph: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
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


def shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Return tensor name -> its sides, None for one that is free or not known; tensors of unknown rank are left out."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, list[int | None]] = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            sides = value.type.tensor_type.shape.dim
            found[value.name] = [side.dim_value if side.HasField("dim_value") else None for side in sides]
    return found


def add_constant(graph: onnx.GraphProto, name: str, value: Any, kind: Any = np.int64) -> str:
    """Add an initializer and return its name."""
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
    return name


def read_instead(nodes: Iterable[onnx.NodeProto], old: str, new: str) -> None:
    """Let nodes read one tensor wherever they read another."""
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]


def replace(graph: onnx.GraphProto, old: Sequence[onnx.NodeProto], new: Iterable[onnx.NodeProto]) -> None:
    """Put new nodes where the first of the old ones is, and remove the old ones."""
    place = list(graph.node).index(old[0])
    for node in old:
        graph.node.remove(node)
    for offset, node in enumerate(new):
        graph.node.insert(place + offset, node)


def drop_dead(graph: onnx.GraphProto) -> None:
    """Drop nodes whose outputs nothing reads, and then initializers."""
    wanted = {output.name for output in graph.output}
    for node in reversed(graph.node):  # readers come after what they read
        if wanted & set(node.output):
            wanted |= _reads(node)
    for node in [node for node in graph.node if not wanted & set(node.output)]:
        graph.node.remove(node)
    drop_unread(graph)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Drop initializers that nothing reads: they make the file larger, and ONNX Runtime warns of them."""
    read = {output.name for output in graph.output}.union(*(_reads(node) for node in graph.node))
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that a node reads, those that its branches take from around them included."""
    inner = [one for item in node.attribute for one in (*([item.g] if item.HasField("g") else []), *item.graphs)]
    outputs = {output.name for graph in inner for output in graph.output}
    return set(node.input).union(outputs, *(_reads(one) for graph in inner for one in graph.node))
