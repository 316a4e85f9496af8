"""An exported file -> the same network in 8 bits, in one file of the same format. Needs onnx, no PyTorch."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import helper

from bridgeseg import __version__
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, ModelFileError, advising
from bridgeseg.evaluating.evaluate import evaluate_split
from bridgeseg.evaluating.matching import check_same_classes
from bridgeseg.exporting.agreement import same_ids
from bridgeseg.exporting.calibration import Calibration, find_calibration, measure_ranges, read_small
from bridgeseg.exporting.modelfile import check_name, refuse_names, save
from bridgeseg.exporting.qdq import OP_TYPES, fits_16_bits, int8_products, prepare, products, quantise
from bridgeseg.exporting.sensitivity import rank, within_budget
from bridgeseg.naming import named
from bridgeseg.runtime.metadata import read_metadata, trained_reading
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.settings.export import Quantize

CHECKED = 4
"""Calibration images on which the 8-bit file is compared with the float one before it gets its name."""


@dataclass(frozen=True)
class Quantized:
    """What was written.

    Attributes:
        path: the file.
        bytes: its size.
        bytes_before: the float file's size.
        facts: what its metadata says of the quantisation, JSON-ready.
    """

    path: Path
    bytes: int
    bytes_before: int
    facts: dict[str, Any]


@advising("calibrate on smaller images")
def quantize(asked: Quantize) -> Quantized:
    """Quantise an exported file; see `bridgeseg.quantize`. `calibrate` may be a `Calibration` too."""
    source, target, budget = named(asked.model), Path(asked.out), asked.budget
    check_name(target)
    before = OnnxRuntime(source)
    classes, provenance = read_metadata(before)
    refuse_names(before, "an 8-bit file")
    if "quantisation" in provenance:
        raise ModelFileError("this file is 8-bit already", where=source, fix="give the float file it was made from")
    if "plain" in provenance:
        raise ModelFileError("this file is plain already", where=source, fix="give the file it was made from")
    if before.confident:
        fix = "export its run with both: bridgeseg export --model RUN --out FILE.onnx --int8 --confidence"
        message = "this file gives confidence, which is added after its network got 8 bits"
        raise ModelFileError(message, where=source, fix=fix)
    chosen = asked.calibrate
    calibration = chosen if isinstance(chosen, Calibration) else find_calibration(chosen, asked.images)
    if budget is not None and calibration.spec is None:
        fix = "`calibrate=FOLDER/data.yaml:train`"
        raise ConfigError("a budget needs labelled images to calibrate on", where="budget", fix=fix)
    if budget is not None and calibration.spec is not None:
        check_same_classes(classes, calibration.spec)
    how = calibration.how.over(trained_reading(provenance, source))
    spec = None if calibration.spec is None else replace(calibration.spec, reading=how)
    calibration = replace(calibration, spec=spec, how=how)
    with tempfile.TemporaryDirectory() as folder:
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        prepare(source, prepared)
        if not products(onnx.load(prepared)):
            raise ModelFileError("there is no convolution in it that could become 8-bit", where=source)
        step = asked.on_step or (lambda: None)
        ranges = measure_ranges(prepared, calibration.images, asked.method, OP_TYPES, step, calibration.how)
        quantise(prepared, result, ranges)
        lost = None
        left: list[str] = []
        if budget is not None and calibration.spec is not None:
            reference = _miou(before, calibration, calibration.spec)

            def attempt(names: list[str]) -> float:
                quantise(prepared, result, ranges, names)
                return 100 * (reference - _miou(OnnxRuntime(result), calibration, calibration.spec))

            left, lost = within_budget(
                budget, attempt([]), lambda: rank(prepared, result, calibration.images[0], calibration.how), attempt
            )
        quantised = onnx.load(result)
        facts = {
            "weights": "int8, per channel",
            "activations": "uint8",
            "calibration": {"method": asked.method, "pictures": len(calibration.images), "from": calibration.name},
            "int8_layers": len(int8_products(quantised)),
            "any_processor": fits_16_bits(quantised),
            "float_layers": left,
            "budget": budget,
            "lost_on_calibration": None if lost is None else round(lost, 3),
            "agreement": round(_agreement(before, OnnxRuntime(result), calibration), 4),
            "onnxruntime": onnxruntime.__version__,
        }
        _describe(quantised, source, provenance, facts)
        save(quantised, target)
    return Quantized(target, target.stat().st_size, source.stat().st_size, facts)


def _miou(runtime: OnnxRuntime, calibration: Calibration, spec: DataSpec | None) -> float:
    if spec is None:
        raise ConfigError("scores need labelled images", where="calibrate", fix="`calibrate=FOLDER/data.yaml:train`")
    return evaluate_split(runtime, calibration.samples, spec, progress=False).miou


def _agreement(before: OnnxRuntime, after: OnnxRuntime, calibration: Calibration) -> float:
    """Return the share of pixels with the same class id on a few calibration images, also cut to an odd size."""
    images = (read_small(path, calibration.how) for path in calibration.images[:CHECKED])
    cuts = ((image, image[: -(-image.shape[0] // 2), : -(-image.shape[1] // 3)]) for image in images)
    return same_ids(before, after, (one[None] for pair in cuts for one in pair), "8-bit network")


def _describe(model: onnx.ModelProto, source: Path, provenance: dict[str, Any], facts: dict[str, Any]) -> None:
    """Carry the float file's metadata over; its scores are the float network's, and are called so."""
    original = onnx.load(source, load_external_data=False)
    entries = {entry.key: entry.value for entry in original.metadata_props}
    known = {key: value for key, value in provenance.items() if key != "scores"}
    if "scores" in provenance:
        facts["float_scores"] = provenance["scores"]
    known["quantisation"] = facts
    entries["bridgeseg.provenance"] = json.dumps({**known, "bridgeseg": __version__})
    helper.set_model_props(model, entries)
