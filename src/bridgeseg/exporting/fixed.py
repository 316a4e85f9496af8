"""Sizes that are known before the network runs: what follows from them becomes constants; what does nothing goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from bridgeseg.exporting.graph import add_constant, attribute, drop_dead, makers, read_instead, readers, shapes

LARGEST = 1 << 20
"""Numbers of a tensor that is worked out beforehand; larger ones would make the file larger."""
KEPT = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Runtimes look for these around weights."""
COPIES = frozenset({"Slice", "Pad", "Expand", "Reshape", "Identity", "Concat"})
"""Operators that do nothing if what they give has the shape of what they are given."""


def fix_sizes(model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]]) -> None:
    """Give inputs these shapes, in place, and work out all that follows from them.

    Args:
        model: its network.
        sizes: name of an input -> its sides.
    """
    for value in model.graph.input:
        for side, length in zip(value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False):
            side.dim_value = length
    for value in model.graph.output:
        for side in value.type.tensor_type.shape.dim:
            side.ClearField("value")
    del model.graph.value_info[:]
    while fold(model):
        pass
    known = shapes(model)
    for value in model.graph.output:
        for side, inferred in zip(value.type.tensor_type.shape.dim, known.get(value.name, []), strict=False):
            if inferred is not None:
                side.dim_value = inferred
    drop_copies(model)


def fold(model: onnx.ModelProto) -> bool:
    """Replace nodes whose outputs are known by constants; return whether there were any."""
    graph, known, opset = model.graph, shapes(model), list(model.opset_import)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    done = []
    for node in graph.node:
        found: NDArray[Any] | None = None
        if node.op_type == "Constant":
            found = _evaluated(node, {}, opset)
        elif node.op_type == "Shape":
            sides = known.get(node.input[0], [None])[attribute(node, "start", 0) : attribute(node, "end")]
            found = np.array(sides, np.int64) if None not in sides else None
        elif _can_be_known(node, constants, known):
            given = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
            found = _evaluated(node, given, opset)
        if found is not None:
            add_constant(graph, node.output[0], found, found.dtype)
            constants[node.output[0]] = graph.initializer[-1]
            done.append(node)
    for node in done:
        graph.node.remove(node)
    drop_dead(graph)
    return bool(done)


def _can_be_known(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], known: Mapping[str, Sequence[int | None]]
) -> bool:
    if node.op_type in KEPT or len(node.output) != 1 or any(name and name not in constants for name in node.input):
        return False
    return math.prod(side or 0 for side in known.get(node.output[0], [LARGEST + 1])) <= LARGEST


def _evaluated(node: onnx.NodeProto, given: dict[str, NDArray[Any]], opset: list[onnx.OperatorSetIdProto]) -> Any:
    function = helper.make_function("bridgeseg", "one", list(given), list(node.output), [node], opset)
    return np.asarray(ReferenceEvaluator(function).run(None, given, attributes={})[0])  # type: ignore[index]


def drop_copies(model: onnx.ModelProto) -> None:
    """Remove operators that give what they are given, in place, and the permission of sides of zero from Reshape."""
    graph, known = model.graph, shapes(model)
    made_by, read_by = makers(graph), readers(graph)
    outputs, inputs = {value.name for value in graph.output}, {value.name for value in graph.input}
    for node in list(graph.node):
        if node.op_type == "Reshape":
            for item in [item for item in node.attribute if item.name == "allowzero"]:
                node.attribute.remove(item)
        before, after = node.input[0] if node.input else "", node.output[0]
        shape = known.get(before)
        same = shape is not None and None not in shape and known.get(after) == shape
        if node.op_type not in COPIES or not same or (node.op_type == "Concat" and len(node.input) > 1):
            continue
        if after not in outputs:
            read_instead(read_by.get(after, []), after, before)
            read_by.setdefault(before, []).extend(read_by.get(after, []))
        elif before in made_by and before not in outputs | inputs:
            maker = made_by[before]
            maker.output[:] = [after if name == before else name for name in maker.output]
            made_by[after] = maker
            read_instead(read_by.get(before, []), before, after)
        else:
            continue
        graph.node.remove(node)
    drop_dead(graph)
