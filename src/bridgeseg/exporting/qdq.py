"""A float graph -> the same with 8-bit convolutions and matrix products, by ONNX Runtime's own tools.

What becomes 8-bit (see docs/int8.md for the measurements behind it): convolutions; matrix products with constant
weights; and what lies between them and would otherwise force a way to float and back: additions, ReLU and ReLU6,
concatenation, nearest upsampling, pooling. What stays float: softmax, layer norm and attention's products of two
activations; bilinear upsampling; and the layer that makes the logits, with all that follows it, because there 8 bits
cost accuracy and save no time.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quant_pre_process
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from bridgeseg.exporting.graph import attribute, drop_unread, makers, readers
from bridgeseg.exporting.int8_graph import quicken
from bridgeseg.exporting.pairs import LARGEST_PAIR, largest_pair, safe_scales
from bridgeseg.exporting.pixels import FLOATS, fold_normalisation, start_from_pixels
from bridgeseg.quiet import quiet

OP_TYPES = ("Conv", "MatMul", "Add", "Clip", "Relu", "Concat", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool")
PRODUCTS = ("Conv", "MatMul")
TAKERS = frozenset({"Conv", "MatMul", "Add", "Concat"})
"""What makes its inputs 8-bit by itself; the other types follow what they are given."""
AFTER_LOGITS = frozenset({"ArgMax", "Cast", "Slice", "Resize", "Transpose", "Reshape", "Identity"}) | frozenset(
    {"ScatterND", "Concat", "Pad"}
)
"""What may lie between the layer that makes the logits and the outputs."""


def prepare(source: Path, out: Path) -> None:
    """Write a float file as the quantiser needs it: raw pixels into the first convolution, types inferred."""
    model = onnx.load(source)
    fold_normalisation(model)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    drop_unread(model.graph)
    folded = out.with_suffix(".folded.onnx")  # the tool takes a model in memory too, and then loses its weights
    onnx.save(model, folded)
    with quiet(""):
        # The symbolic inference would need sympy and gives up on the exporter's arithmetic on heights and widths.
        quant_pre_process(str(folded), str(out), skip_symbolic_shape=True)


def float_nodes(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes that stay float whatever the budget.

    They are the layer that makes the logits, bilinear upsampling, products of two activations (attention), and products
    with ones, which are sums.
    """
    constants = {tensor.name for tensor in model.graph.initializer if not _all_ones(tensor)}
    made_by = makers(model.graph)
    names = set()
    for node in model.graph.node:
        if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
            names.add(node.name)
        if node.op_type in PRODUCTS and node.input[1] not in constants:
            names.add(node.name)
    for output in model.graph.output:
        maker = made_by.get(output.name)
        while maker is not None and maker.op_type in AFTER_LOGITS:
            maker = made_by.get(maker.input[0])
        if maker is not None and maker.op_type in PRODUCTS:
            names.add(maker.name)
    return names


def _all_ones(tensor: onnx.TensorProto) -> bool:
    return bool((numpy_helper.to_array(tensor) == 1).all())


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the convolutions and matrix products with constant weights that may become 8-bit."""
    kept = float_nodes(model)
    return [node for node in model.graph.node if node.op_type in PRODUCTS and node.name not in kept]


def quantise(prepared: Path, out: Path, ranges: TensorsData, excluded: Collection[str] = ()) -> None:
    """Write the 8-bit file: uint8 activations, int8 weights with a scale for each channel (`pairs`), QDQ format.

    Args:
        prepared: what `prepare` wrote.
        out: the file to write.
        ranges: of its tensors.
        excluded: names of more nodes that stay float.
    """
    model = onnx.load(prepared)
    # The exporter's shapes are partly unknown; types are what the quantiser needs of them.
    model = onnx.shape_inference.infer_shapes(model)
    exact = {"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8), "quant_type": QuantType.QUInt8}
    chosen: dict[str, list[dict[str, Any]]] = {FLOATS: [exact]} if _has_pixels(model) else {}
    for name, (axis, scales) in safe_scales(model, products(model)).items():
        zero = {"zero_point": np.array(0, np.int8), "quant_type": QuantType.QInt8}
        chosen[name] = [{"scale": scale, **zero} for scale in scales]
        chosen[name][0]["axis"] = axis
    kept = float_nodes(model) | set(excluded)
    kept |= _activations_before_float(model, kept)
    with quiet(""):
        quantiser = QDQQuantizer(
            model,
            True,
            False,
            QuantType.QInt8,
            QuantType.QUInt8,
            ranges,
            [],
            sorted(kept),
            list(OP_TYPES),
            {"TensorQuantOverrides": chosen},
        )
        quantiser.quantize_model()
        start_from_pixels(quantiser.model.model)
        quicken(quantiser.model.model)
        quantiser.model.topological_sort()
    result = quantiser.model.model
    drop_unread(result.graph)
    onnx.save(result, out)


def int8_products(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, NDArray[np.int8]]]:
    """Return the convolutions and matrix products of an 8-bit file that read 8-bit weights, and those weights."""
    made_by = makers(model.graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        before = [made_by.get(name) for name in node.input[:2]] if node.op_type in PRODUCTS else []
        if [one.op_type for one in before if one is not None] == ["DequantizeLinear"] * 2 and before[1] is not None:
            found.append((node, numpy_helper.to_array(constants[before[1].input[0]])))
    return found


def fits_16_bits(model: onnx.ModelProto) -> bool:
    """Return whether no sum of two products can exceed 16 bits, so that every processor gives the same ids."""
    return all(largest_pair(node, weights) <= LARGEST_PAIR for node, weights in int8_products(model))


def _activations_before_float(model: onnx.ModelProto, kept: Collection[str]) -> set[str]:
    """Return the ReLUs that no 8-bit node reads.

    The quantiser drops ReLUs because the range of the 8-bit numbers after them cuts just the same; where nothing after
    them becomes 8-bit (onnxruntime 1.32) they would be lost.
    """
    read_by = readers(model.graph)
    takers = {node.name for node in model.graph.node if node.op_type in TAKERS and node.name not in kept}
    relus = [node for node in model.graph.node if node.op_type in ("Relu", "Clip")]
    return {node.name for node in relus if not any(one.name in takers for one in read_by.get(node.output[0], []))}


def _has_pixels(model: onnx.ModelProto) -> bool:
    return any(FLOATS in node.output for node in model.graph.node)
