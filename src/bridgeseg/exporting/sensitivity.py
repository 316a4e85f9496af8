"""Accuracy-aware quantisation: leave in float what 8 bits harm most, until the loss is within a budget.

How much a layer suffers is told by ONNX Runtime's own debugging tools (`qdq_loss_debug`): the noise of its rounded
weights and of its rounded input, relative to the signal. Layers are then given back to float, the noisiest first, twice
as many at every step, so that a handful of attempts decides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_activation_error,
    compute_weight_error,
    create_activation_matching,
    create_weight_matching,
    modify_model_output_intermediate_tensors,
)

from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.calibration import OneImage, read_small
from bridgeseg.exporting.qdq import products
from bridgeseg.pixels import AS_STORED, Reading

FIRST = 16
"""The first step gives back one layer in so many."""


def rank(prepared: Path, quantised: Path, image: Path, how: Reading = AS_STORED) -> list[str]:
    """Return the names of the layers, the one that 8 bits harm most first.

    Args:
        prepared: the float file that was quantised.
        quantised: the 8-bit file.
        image: activations are compared on this one; all tensors of both networks are in memory for it.
        how: how the image is read.
    """
    pixels = read_small(image, how)
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for index, path in enumerate((prepared, quantised)):
            augmented = str(Path(folder) / f"{index}.onnx")
            modify_model_output_intermediate_tensors(str(path), augmented)
            found.append(collect_activations(augmented, OneImage(pixels)))
    matching = create_activation_matching(found[1], found[0])
    compared = {name: pair for name, pair in matching.items() if "float" in pair}
    inputs = {name: error["qdq_err"] for name, error in compute_activation_error(compared).items()}
    layers = products(onnx.load(prepared))
    matched = create_weight_matching(str(prepared), str(quantised))
    names = {node.input[1] for node in layers}  # the tool compares scalars too, and fails on them
    weights = compute_weight_error({name: pair for name, pair in matched.items() if name in names})

    def noise(node: onnx.NodeProto) -> float:
        return _noise(weights.get(node.input[1])) + _noise(inputs.get(node.input[0]))

    return [node.name for node in sorted(layers, key=noise, reverse=True)]


def _noise(decibels: float | None) -> float:
    """Turn a signal-to-noise ratio into noise power over signal power; what was not compared has none."""
    return 0.0 if decibels is None else 10 ** (-decibels / 10)


def attempts(names: list[str]) -> Iterator[list[str]]:
    """Yield the layers to leave float: a sixteenth of them, an eighth, a quarter, half.

    >>> [len(tried) for tried in attempts([str(number) for number in range(40)])]
    [3, 5, 10, 20]
    """
    divisor = FIRST
    while divisor > 1:
        yield names[: -(-len(names) // divisor)]
        divisor //= 2


def within_budget(
    budget: float,
    loss: float,
    ranked: Callable[[], list[str]],
    attempt: Callable[[list[str]], float],
) -> tuple[list[str], float]:
    """Give layers back to float until the loss is within the budget.

    Args:
        budget: mIoU points that may be lost.
        loss: points that are lost with none given back.
        ranked: gives the layers' names, the most harmful first; called only if needed.
        attempt: quantises with these left in float and returns the points lost.

    Returns:
        The layers that were left in float, and the points lost.

    Raises:
        ModelFileError: even with half of them in float, more than the budget is lost.
    """
    if loss <= budget:
        return [], loss
    least = loss
    for names in attempts(ranked()):
        loss = attempt(names)
        if loss <= budget:
            return names, loss
        least = min(least, loss)
    raise ModelFileError(
        f"8 bits lose {least:.2f} points of mIoU or more with up to half of the layers in float, "
        f"the budget is {budget:g}",
        fix="allow more (`budget`), calibrate on more images, or try `method=entropy`",
    )
