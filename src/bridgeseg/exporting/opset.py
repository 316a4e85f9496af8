"""The lowest ONNX operator set in which a graph means the same: older runtimes, and those that lag behind, read it.

An operator that was extended is the one of before if it makes no use of the extension. What is known of that is in
`SAME`; for anything else the declared set stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import onnx
from onnx import defs, helper, version_converter

from bridgeseg.exporting.graph import attribute, constant, drop_dead

OPSET = 18
"""What networks are exported in, and what the texts of `tail_text` are written in."""
LOWEST = 13
"""Scales for each channel of 8-bit weights, and axes of ReduceSum and Squeeze as inputs, are not older."""


class Before(NamedTuple):
    """When an operator is the one of an older set.

    Attributes:
        since: that set.
        without: attributes that it must not have, or have at this value only, the extension's default.
        inputs: how many inputs it may have.
    """

    since: int
    without: Mapping[str, Any] = MappingProxyType({})
    inputs: int = 9


TYPES_ONLY = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Relu",
    "Identity",
    "LeakyRelu",
    "Where",
    "PRelu",
    "GreaterOrEqual",
    "LessOrEqual",
)
SAME: dict[str, Before] = {
    **dict.fromkeys(TYPES_ONLY, Before(LOWEST)),
    "Reshape": Before(LOWEST, {"allowzero": 0}),
    "Resize": Before(LOWEST, {"antialias": 0, "keep_aspect_ratio_policy": b"stretch", "axes": None}),
    "Pad": Before(LOWEST, {}, 3),
    "ScatterND": Before(LOWEST, {"reduction": b"none"}),
    "Split": Before(LOWEST, {"num_outputs": ...}),
    "Shape": Before(LOWEST, {"start": 0, "end": None}),
    "BatchNormalization": Before(LOWEST + 1, {"training_mode": 0}),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceProd"), Before(LOWEST)),
}
"""Operator -> when it is an older one; the value `...` may be dropped whatever it is."""


def at_least(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a model whose nodes are of an operator set, or of a later one that it declares already."""
    imported = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    return model if imported >= opset else version_converter.convert_version(model, opset)


def lower_opset(model: onnx.ModelProto) -> None:
    """Declare the lowest set of ONNX's operators that the nodes allow, in place; attributes at a default may go.

    Args:
        model: without functions or nested graphs of its own, otherwise it stays as it is.
    """
    imported = next((entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    nested = any(item.HasField("g") or item.graphs for node in model.graph.node for item in node.attribute)
    if imported is None or model.functions or nested or imported.version <= LOWEST:
        return
    own = [node for node in model.graph.node if node.domain in ("", "ai.onnx")]
    lowest = max((_since(model.graph, node, imported.version) for node in own), default=LOWEST)
    if lowest >= imported.version:
        return
    for node in own:
        if (before := SAME.get(node.op_type)) and before.since <= lowest < _declared(node, imported.version):
            _write_as_before(model.graph, node, before)
    imported.version = lowest
    drop_dead(model.graph)


def _declared(node: onnx.NodeProto, version: int) -> int:
    since: int = defs.get_schema(node.op_type, version, "").since_version
    return since


def _since(graph: onnx.GraphProto, node: onnx.NodeProto, version: int) -> int:
    """Return the oldest set, `LOWEST` at least, in which a node means the same."""
    declared, before = _declared(node, version), SAME.get(node.op_type)
    if declared <= LOWEST or before is None or before.since >= declared or len(node.input) > before.inputs:
        return max(declared, LOWEST)
    for name, value in before.without.items():
        if value is not ... and attribute(node, name, value) != value:
            return declared
    if node.op_type.startswith("Reduce") and len(node.input) > 1 and constant(graph, node.input[1]) is None:
        return declared
    return before.since


def _write_as_before(graph: onnx.GraphProto, node: onnx.NodeProto, before: Before) -> None:
    for item in [item for item in node.attribute if item.name in before.without]:
        node.attribute.remove(item)
    if node.op_type.startswith("Reduce"):
        axes = constant(graph, node.input[1]) if len(node.input) > 1 and node.input[1] else None
        del node.input[1:]
        for item in [item for item in node.attribute if item.name == "noop_with_empty_axes"]:
            node.attribute.remove(item)
        if axes is not None:
            node.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes]))
