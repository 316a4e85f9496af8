"""Raw pixels into the first convolution: an 8-bit network starts from the image's own 8 bits.

A network exported by this package turns pixels into floats, subtracts the mean colour, divides by the deviation and
pads with zeros before its first convolution. An 8-bit file would then quantise those floats again. Both steps are
linear, so the convolution's weights can do them: `W/std` and `b - sum(W*mean/std)`. What is padded must then have the
mean colour, which is zero after the normalisation; it is written into the image, rounded to a whole grey level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bridgeseg.exporting.graph import add_constant, attribute, drop_unread, read_instead, readers

Floats = NDArray[np.float64]
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
PIXELS, FLOATS = "pixels_nchw", "pixels_float"
"""The padded image (B, 3, H, W) as uint8, and the same as float32: what the first convolution reads."""


@dataclass
class _Chain:
    """What lies between the image and the first convolution: `(x * gain + shift)`, then padding with zeros."""

    nodes: list[onnx.NodeProto]
    gain: Floats
    shift: Floats
    pads: str | None
    conv: onnx.NodeProto


def fold_normalisation(model: onnx.ModelProto) -> bool:
    """Let the first convolution take raw pixels, in place, if the graph begins as this package exports it.

    Returns:
        Whether it was rewritten. The network's answers are the same to float precision, but for the rounding of the
        padding's colour (at most half a grey level).
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    chain = _find(model.graph, constants)
    if chain is None:
        return False
    conv = chain.conv
    weight = constants[conv.input[1]].astype(np.float64)
    bias = constants[conv.input[2]].astype(np.float64) if len(conv.input) > 2 else np.zeros(len(weight))
    folded = weight * chain.gain.reshape(1, -1, 1, 1)
    moved = bias + (weight * chain.shift.reshape(1, -1, 1, 1)).sum(axis=(1, 2, 3))
    colour = np.clip(np.round(-chain.shift / chain.gain), 0, 255).astype(np.uint8)
    rim = list(next(item.ints for item in conv.attribute if item.name == "pads"))
    before = _padded(model.graph, colour, rim, chain.pads)
    before += [
        helper.make_node("Transpose", [before[-1].output[0]], [PIXELS], perm=[0, 3, 1, 2], name="pixels_layout"),
        helper.make_node("Cast", [PIXELS], [FLOATS], to=FLOAT, name="pixels_cast"),
    ]
    names = (f"{conv.input[1]}_pixels", f"{conv.input[1]}_pixels_bias")
    for name, value in zip(names, (folded, moved), strict=True):
        add_constant(model.graph, name, value, np.float32)
    del conv.input[:]
    conv.input.extend([FLOATS, *names])
    next(item for item in conv.attribute if item.name == "pads").ints[:] = [0, 0, 0, 0]
    for node in chain.nodes:
        model.graph.node.remove(node)
    place = list(model.graph.node).index(conv)
    for offset, node in enumerate(before):
        model.graph.node.insert(place + offset, node)
    return True


def fold_scale(model: onnx.ModelProto) -> bool:
    """Let the first convolution divide by the deviation, in place, if the graph begins as this package exports it.

    Returns:
        Whether it was rewritten. Zeros that pad stay zeros, so the network's answers are the same to float precision.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    chain = _find(model.graph, constants)
    steps = [node for node in chain.nodes if node.op_type in ("Sub", "Add", "Mul", "Div")] if chain else []
    if chain is None or not steps or steps[-1].op_type not in ("Mul", "Div"):
        return False
    last, name = steps[-1], f"{chain.conv.input[1]}_scaled"
    constant = constants[last.input[1]].astype(np.float64).reshape(-1)
    factor, _ = _composed(last.op_type, np.ones(3), np.zeros(3), constant)
    weight = constants[chain.conv.input[1]] * factor.reshape(1, -1, 1, 1)
    add_constant(model.graph, name, weight, np.float32)
    chain.conv.input[1] = name
    model.graph.node.remove(last)
    read_instead(model.graph.node, last.output[0], last.input[0])
    drop_unread(model.graph)
    return True


def start_from_pixels(model: onnx.ModelProto) -> None:
    """After quantisation, let the first convolution's 8 bits be the image's: drop the way to float and back."""
    nodes = model.graph.node
    cast = next((node for node in nodes if node.output[0] == FLOATS), None)
    quantise = next((node for node in nodes if node.op_type == "QuantizeLinear" and node.input[0] == FLOATS), None)
    if cast is None or quantise is None:
        return
    for node in nodes:
        for index, name in enumerate(node.input):
            if name == quantise.output[0]:
                node.input[index] = PIXELS
    nodes.remove(quantise)
    if not any(FLOATS in node.input for node in nodes):
        nodes.remove(cast)


def _find(graph: onnx.GraphProto, constants: dict[str, NDArray[np.generic]]) -> _Chain | None:
    """Walk from the image: Transpose, Cast, arithmetic with a constant, at most one Pad, Conv; each read once."""
    read_by = readers(graph)
    gain, shift, pads = np.ones(3), np.zeros(3), None
    nodes: list[onnx.NodeProto] = []
    name = graph.input[0].name
    while True:
        following = [node for node in read_by.get(name, []) if node.op_type != "Shape"]
        if len(following) != 1:
            return None
        node = following[0]
        kind = node.op_type
        if kind == "Conv":
            whole = len(nodes) >= 2 and node.input[1] in constants and constants[node.input[1]].shape[1] == 3
            named = all(other in constants for other in node.input[2:])
            return _Chain(nodes, gain, shift, pads, node) if whole and named and (gain != 0).all() else None
        if kind in ("Sub", "Div", "Mul", "Add") and pads is None:
            if node.input[0] != name or node.input[1] not in constants:
                return None
            constant = constants[node.input[1]].astype(np.float64)
            if constant.size not in (1, 3) or (constant.size == 3 and constant.shape[-3:] != (3, 1, 1)):
                return None
            gain, shift = _composed(kind, gain, shift, np.broadcast_to(constant.reshape(-1), 3))
        elif kind == "Pad" and pads is None and _pads_with_zeros(node, constants):
            pads = node.input[1]
        elif (kind, len(nodes)) not in (("Transpose", 0), ("Cast", 1)):
            return None
        nodes.append(node)
        name = node.output[0]


def _composed(kind: str, gain: Floats, shift: Floats, constant: Floats) -> tuple[Floats, Floats]:
    if kind in ("Sub", "Add"):
        return gain, shift - constant if kind == "Sub" else shift + constant
    factor = constant if kind == "Mul" else 1 / constant
    return gain * factor, shift * factor


def _pads_with_zeros(node: onnx.NodeProto, constants: dict[str, NDArray[np.generic]]) -> bool:
    mode = attribute(node, "mode", b"constant")
    value = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(())
    return mode == b"constant" and len(node.input) < 4 and value is not None and not value.any()


def _padded(
    graph: onnx.GraphProto, colour: NDArray[np.uint8], rim: list[int], pads: str | None
) -> list[onnx.NodeProto]:
    """Return nodes that put rows, then columns of a colour around the image (B, H, W, 3).

    Args:
        graph: gets the constants.
        colour: (3,).
        rim: the convolution's own padding: top, left, bottom, right.
        pads: name of the int64 tensor of the ONNX operator Pad for (B, 3, H, W), if there was one.
    """
    image = graph.input[0].name
    constants: dict[str, NDArray[Any]] = {
        "pixels_colour": colour.reshape(1, 1, 1, 3),
        "pixels_rim": np.array([0, 0, rim[0], rim[1], 0, 0, rim[2], rim[3]], np.int64),
        "pixels_one": np.ones(1, np.int64),
        **{f"pixels_at_{place}": np.array([place], np.int64) for place in (0, 1, 2, 3, 6, 7)},
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = []

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    widths = "pixels_rim" if pads is None else add("Add", ["pixels_rim", pads], "pixels_widths")
    current = image
    for axis, (first, last) in ((1, (2, 6)), (2, (3, 7))):
        shape = add("Shape", [current], f"pixels_shape_{axis}")
        parts = [current]
        for place in (first, last):
            count = add("Gather", [widths, f"pixels_at_{place}"], f"pixels_width_{place}")
            sides = [add("Gather", [shape, f"pixels_at_{side}"], f"pixels_side_{place}_{side}") for side in (0, 1, 2)]
            sides[axis] = count
            size = add("Concat", [*sides, "pixels_one"], f"pixels_size_{place}", axis=0)
            band = add("Expand", ["pixels_colour", size], f"pixels_band_{place}")
            parts = [band, *parts] if place == first else [*parts, band]
        current = add("Concat", parts, f"pixels_padded_{axis}", axis=axis)
    return nodes
