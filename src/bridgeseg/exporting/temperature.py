"""The temperature of a network's logits, fitted on labelled images (Guo et al., arXiv 1706.04599, section 4.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from bridgeseg.confusion import CalibrationError
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError, ModelFileError
from bridgeseg.evaluating.matching import match
from bridgeseg.exporting.agreement import SIZES, check_same_ids
from bridgeseg.exporting.calibration import Calibration, find_calibration, read_small
from bridgeseg.exporting.confidence import NAME, decision, drop_confidence, give_confidence
from bridgeseg.exporting.graph import constant
from bridgeseg.exporting.labelled import IMAGES, dataset_of, labelled_samples
from bridgeseg.exporting.modelfile import save
from bridgeseg.exporting.tail import everywhere
from bridgeseg.runtime.metadata import read_metadata
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.open_file import INPUT
from bridgeseg.runtime.runtimes import FileRuntime

Floats = NDArray[np.float64]
PIXELS = 2000
"""Labelled pixels that are taken of each image, at random."""
RANGE = (-2.5, 2.5)
"""Natural logarithms of the coldest and the warmest temperature."""
STEPS = 40


def fit_temperature(source: Path, calibration: Calibration) -> dict[str, Any]:
    """Fit the temperature with which the labels are most likely.

    Args:
        source: an ordinary .onnx file; one that takes any names is asked for those of the images' dataset.
        calibration: labelled images, with the dataset that they are from.

    Returns:
        JSON-ready: `temperature`, expected calibration error `ece_before` (temperature 1) and `ece` (0..1), `images`,
        `from`.

    Raises:
        DataError: the images have no labels, or not those of the file's names; see `labelled_samples`.
        ModelFileError: the file has no logits that are upsampled.
    """
    model, spec = Model.load(source), dataset_of(calibration)
    if model.takes_names and not spec.partial:
        matched = match(model, spec)
        model, spec = matched.model, matched.spec
    calibration = replace(calibration, spec=spec)
    calibration = replace(calibration, samples=labelled_samples(model.classes, calibration))
    found = list(_sampled(source, model, spec, calibration))
    corners, shares, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not len(labels):
        raise DataError("no pixel of these images is labelled", where=calibration.name, fix="choose another split")
    low, high = RANGE
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _unlikely(corners, shares, labels, left) <= _unlikely(corners, shares, labels, right):
            high = right
        else:
            low = left
    chosen = np.einsum("nc,nck->nk", shares, corners).argmax(axis=1)
    errors = []
    for logarithm in (0.0, (low + high) / 2):
        error = CalibrationError()
        error.update_shares(_means(corners, shares, logarithm).max(axis=1), chosen == labels)
        errors.append(round(error.value, 5))
    return {
        "temperature": round(float(np.exp((low + high) / 2)), 4),
        "ece_before": errors[0],
        "ece": errors[1],
        "images": len(calibration.samples),
        "from": calibration.name,
    }


def _means(corners: Floats, shares: Floats, logarithm: float) -> Floats:
    """Return the bilinear means of the probabilities (N, K), of logits (N, 4, K) and their shares (N, 4)."""
    scaled = corners * np.exp(-logarithm)
    scaled -= scaled.max(axis=2, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=2, keepdims=True)
    means: Floats = np.einsum("nc,nck->nk", shares, scaled)
    return means


def _unlikely(corners: Floats, shares: Floats, labels: NDArray[np.int64], logarithm: float) -> float:
    means = _means(corners, shares, logarithm)
    return float(-np.log(np.maximum(means[np.arange(len(labels)), labels], 1e-12)).mean())


def _sampled(
    source: Path, known: Model, spec: DataSpec, calibration: Calibration
) -> Iterator[tuple[Floats, Floats, NDArray[np.int64]]]:
    """Yield of each image the four logits (N, 4, K) around some labelled pixels, their shares (N, 4), labels (N)."""
    model, runtime, names = onnx.load(source), known.runtime, known.classes.names
    ids = np.full(spec.classes.ignore_index + 1, -1)
    ids[: len(spec.classes)] = [names.index(name) if name in names else -1 for name in spec.classes.names]
    drop_confidence(model)
    everywhere(model)
    resize = decision(model.graph).resize
    side = (constant(model.graph, resize.input[2]) or [4])[-1]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(resize.input[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    vectors = runtime.class_embeddings if isinstance(runtime, FileRuntime) else None
    own = {} if vectors is None else {INPUT: vectors}
    random = np.random.default_rng(0)
    for sample in calibration.samples:
        image = read_small(sample.image, calibration.how)
        truth = ids[read_mask(sample.mask, spec)]
        logits = session.run(None, {"image": image[None], **own})[0][0].astype(np.float64)  # (K, h, w)
        rows, columns = np.nonzero(truth >= 0)
        some = random.permutation(len(rows))[:PIXELS]
        rows, columns = rows[some], columns[some]
        y, x = (
            np.clip((place + 0.5) * (seen / true) / side - 0.5, 0, last - 1)
            for place, seen, true, last in zip(
                (rows, columns), image.shape, truth.shape, logits.shape[1:], strict=False
            )
        )
        top, start = y.astype(np.int64), x.astype(np.int64)
        below, right = np.minimum(top + 1, logits.shape[1] - 1), np.minimum(start + 1, logits.shape[2] - 1)
        down, along = y - top, x - start
        corners = np.stack(
            [logits[:, a, b].T for a, b in ((top, start), (top, right), (below, start), (below, right))], axis=1
        )
        shares = np.stack([(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along], axis=1)
        yield corners, shares, truth[rows, columns].astype(np.int64)


def add_confidence(source: Path, out: Path, data: str | Path | Calibration | None) -> dict[str, Any]:
    """Write an ordinary file again, with the output `confidence`.

    Args:
        source: the file.
        out: the one to write.
        data: labelled images to fit the temperature on, as `find_calibration` takes them (the split val by default);
            None for a temperature of 1, which is said in the file.

    Returns:
        What `fit_temperature` returns, which the file's provenance holds too.

    Raises:
        DataError, ModelFileError: as of `fit_temperature`; or the file gives other ids with it than without.
        InputError: the file cannot be written.
    """
    before = OnnxRuntime(source)
    _, provenance = read_metadata(before)
    if "plain" in provenance:
        raise ModelFileError("this file is plain already", where=source, fix="give the file it was made from")
    facts: dict[str, Any] = {"temperature": 1.0}
    if data is not None:
        chosen = data if isinstance(data, Calibration) else find_calibration(data, IMAGES, "val")
        facts = fit_temperature(source, chosen)
    model = give_confidence(onnx.load(source), facts["temperature"])
    entries = {entry.key: entry.value for entry in model.metadata_props}
    entries["bridgeseg.provenance"] = json.dumps({**provenance, NAME: facts})
    onnx.helper.set_model_props(model, entries)
    save(model, out)
    check_same_ids(before, OnnxRuntime(out), SIZES)
    return facts
