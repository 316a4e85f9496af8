"""The end that peers get: upsampling and argmax of every pixel, in the layout that ONNX Runtime is fastest at.

Both work on K numbers at every pixel of the image, and ONNX Runtime is faster when those of a pixel lie side by side;
transposing before the upsampling costs a sixteenth of what it would after it. Our own files do less than this:
`bridgeseg.exporting.tail`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bridgeseg.exporting.graph import attribute, constant, makers


def channels_last(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite `Resize -> ArgMax` over the channels of (B, K, h, w), in place, if nothing else reads what lies between.

    Returns:
        The model. The class ids are the same to the bit, but for exact ties of logits.
    """
    nodes = graph.graph.node
    made_by = makers(graph.graph)
    outputs = {value.name for value in graph.graph.output}
    for argmax in nodes:
        if argmax.op_type != "ArgMax" or attribute(argmax, "axis") != 1 or attribute(argmax, "keepdims") != 0:
            continue
        resize = made_by.get(argmax.input[0])
        if resize is None or resize.op_type != "Resize" or argmax.input[0] in outputs:
            continue
        readers = [node for node in nodes if argmax.input[0] in node.input]
        scales = constant(graph.graph, resize.input[2]) if len(resize.input) == 3 else None
        if len(readers) != 1 or scales is None or len(scales) != 4 or tuple(scales[:2]) != (1.0, 1.0):
            continue
        moved, name = f"{resize.input[0]}_channels_last", f"{resize.output[0]}_scales_channels_last"
        turned = np.array([1.0, scales[2], scales[3], 1.0], np.float32)
        graph.graph.initializer.append(numpy_helper.from_array(turned, name))
        transpose = helper.make_node(
            "Transpose", [resize.input[0]], [moved], perm=[0, 2, 3, 1], name=f"{resize.name}_layout"
        )
        nodes.insert(list(nodes).index(resize), transpose)
        _drop_if_unused(graph, resize.input[2], resize)
        resize.input[0], resize.input[2] = moved, name
        next(item for item in argmax.attribute if item.name == "axis").i = 3
        break
    return graph


def _drop_if_unused(graph: onnx.ModelProto, name: str, reader: onnx.NodeProto) -> None:
    """Drop an initializer that only `reader` reads; ONNX Runtime warns of those that nothing reads."""
    if not any(name in node.input for node in graph.graph.node if node is not reader):
        for tensor in [tensor for tensor in graph.graph.initializer if tensor.name == name]:
            graph.graph.initializer.remove(tensor)
