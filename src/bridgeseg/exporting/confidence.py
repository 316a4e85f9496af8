"""How sure a network is of a pixel: a second output of the file, the probability of the likeliest class as a byte.

The probabilities are the softmax of the logits over a temperature, upsampled as the logits are. The temperature is
fitted on labelled images (`temperature`), so that of the pixels with 80 % about 80 % are right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.graph import add_constant, constant, drop_dead, makers
from bridgeseg.exporting.tail import borders_only, everywhere

NAME = "confidence"
WHITE = 255


class Decision(NamedTuple):
    """What makes the ids.

    Attributes:
        resize: upsamples the logits.
        argmax: decides.
        cuts: each Slice of the ids, and before it of the logits, from the first to the last: start, end, axes among
            those of (B, H, W), and where it comes after the decision.
    """

    resize: onnx.NodeProto
    argmax: onnx.NodeProto
    cuts: list[tuple[str, str, list[int], bool]]


def decision(graph: onnx.GraphProto) -> Decision:
    """Find what makes the ids.

    Args:
        graph: as `tail.everywhere` leaves it.

    Raises:
        ModelFileError: ids are not decided for every pixel, from upsampled logits.
    """
    made_by = makers(graph)
    node, argmax, cuts = made_by.get("classes"), None, list[tuple[str, str, list[int], bool]]()
    while node is not None and node.op_type in ("Cast", "Slice", "ArgMax"):
        if node.op_type == "Slice":
            axes = [int(axis) - (argmax is not None) for axis in constant(graph, node.input[3]) or ()]
            cuts.append((node.input[1], node.input[2], axes, argmax is None))
        argmax = node if node.op_type == "ArgMax" else argmax
        node = made_by.get(node.input[0])
    if argmax is None or node is None or node.op_type != "Resize":
        fix = "export it again from the run folder, without `approximate`"
        raise ModelFileError("its ids are not decided for every pixel from upsampled logits", fix=fix)
    return Decision(node, argmax, cuts[::-1])


def give_confidence(model: onnx.ModelProto, temperature: float) -> onnx.ModelProto:
    """Return a file's graph with the output `confidence`, uint8 (B, H, W); an older one is replaced.

    Args:
        model: may be changed in place.
        temperature: logits are divided by it; above 0.
    """
    drop_confidence(model)
    everywhere(model)
    confidence_everywhere(model, temperature)
    return borders_only(model)


def drop_confidence(model: onnx.ModelProto) -> None:
    """Take the output away again, in place, with all that only it needs."""
    for value in [value for value in model.graph.output if value.name == NAME]:
        model.graph.output.remove(value)
    drop_dead(model.graph)


def confidence_everywhere(model: onnx.ModelProto, temperature: float) -> None:
    """Add the output to a graph that upsamples all logits, in place, and let it upsample all probabilities too."""
    graph = model.graph
    resize, _, cuts = decision(graph)
    by = add_constant(graph, f"{NAME}_by", 1 / temperature, np.float32)
    white = add_constant(graph, f"{NAME}_white", WHITE, np.float32)
    half = add_constant(graph, f"{NAME}_half", 0.5, np.float32)
    shares = helper.make_node("Resize", [f"{NAME}_small", *resize.input[1:]], [f"{NAME}_large"])
    shares.attribute.extend(resize.attribute)
    nodes = [
        helper.make_node("Mul", [resize.input[0], by], [f"{NAME}_scaled"]),
        helper.make_node("Softmax", [f"{NAME}_scaled"], [f"{NAME}_small"], axis=1),
        shares,
        _largest(graph, model.opset_import[0].version),
        helper.make_node("Mul", [f"{NAME}_largest", white], [f"{NAME}_bright"]),
        helper.make_node("Add", [f"{NAME}_bright", half], [f"{NAME}_rounded"]),
        helper.make_node("Cast", [f"{NAME}_rounded"], [f"{NAME}_grey"], to=onnx.TensorProto.UINT8),
    ]
    for number, (start, end, axes, _) in enumerate(cuts):
        inputs = [nodes[-1].output[0], start, end, add_constant(graph, f"{NAME}_axes_{number}", axes)]
        nodes.append(helper.make_node("Slice", inputs, [f"{NAME}_cut_{number}"]))
    nodes[-1].output[0] = NAME
    for node in nodes:
        node.name = node.output[0]
    graph.node.extend(nodes)
    ids = next(value for value in graph.output if value.name == "classes")
    value = helper.make_tensor_value_info(NAME, onnx.TensorProto.UINT8, [None] * 3)
    value.type.tensor_type.shape.CopyFrom(ids.type.tensor_type.shape)
    graph.output.append(value)


def _largest(graph: onnx.GraphProto, opset: int) -> onnx.NodeProto:
    """Return a ReduceMax over the classes: its axes are an input from set 18 on, an attribute before."""
    names = ([f"{NAME}_large"], [f"{NAME}_largest"])
    if opset < 18:
        return helper.make_node("ReduceMax", *names, axes=[1], keepdims=0)
    names[0].append(add_constant(graph, f"{NAME}_axis", [1]))
    return helper.make_node("ReduceMax", *names, keepdims=0)
