"""A split of a dataset -> scores: every image is read, predicted as `predict` does it, and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.confusion import CalibrationError, ConfusionMatrix
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.evaluating.answers import Answer, answer_all
from bridgeseg.evaluating.examples import SideBySide, save_examples
from bridgeseg.evaluating.matching import match
from bridgeseg.evaluating.modes import EvalMode
from bridgeseg.evaluating.partial import partial_of, scored_names
from bridgeseg.evaluating.plots import save_confusion, save_iou
from bridgeseg.evaluating.predictors import Predictor, as_model
from bridgeseg.evaluating.splits import with_val
from bridgeseg.files import write
from bridgeseg.images import Pixels
from bridgeseg.metrics import Scores
from bridgeseg.report.figures import require_matplotlib
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.tiling import DEFAULT_MEMORY
from bridgeseg.settings.evaluate import Evaluate

Ids = NDArray[np.integer[Any]]
OnImage = Callable[[Sample, Pixels, Ids, Ids], None]
"""Called with each sample, its image (H, W, 3), truth (H, W) and prediction (H, W)."""

EXAMPLES = 4
"""Rows of the side-by-side figure."""


def evaluate(asked: Evaluate) -> Scores:
    """Score a model on a split at native resolution; see `bridgeseg.evaluate`.

    The folder `out` gets `scores.json`, `confusion.png`, `iou.png` and `pictures.png`.
    """
    model, data = asked.model, asked.data
    if data is None:
        raise ConfigError("no dataset to evaluate on", where="data", fix="give a data.yaml: `data=FOLDER/data.yaml`")
    if isinstance(data, list | tuple):
        fix = "give a data.yaml: `data=FOLDER/data.yaml`"
        raise ConfigError(f"one dataset is evaluated on at a time, found {len(data)}", where="data", fix=fix)
    model = Model.of(model, asked.threads, asked.runtime, asked.compile, asked.names, asked.embeddings)
    window = asked.window
    only: tuple[int, int] | None = getattr(model.runtime, "size", None)
    if window is None and (asked.mode == "slide" or (asked.mode == "multiscale" and only is not None)):
        window = only or _training_size(model)
    eval_mode = EvalMode.named(asked.mode, window, asked.scales, asked.flip)
    spec = data if isinstance(data, DataSpec) else DataSpec.load(data)
    spec = with_val(spec, asked.split, [model], quiet=asked.quiet)
    matched = match(model, spec, asked.names, asked.embeddings)
    model, spec, scored, left = matched.model, matched.spec, matched.classes, matched.left
    samples = spec.samples(asked.split)
    folder = None if asked.out is None else _output_folder(Path(asked.out))
    examples: list[SideBySide] = []
    chosen = {samples[index] for index in np.linspace(0, len(samples) - 1, EXAMPLES).round().astype(int)}

    def keep(sample: Sample, image: Pixels, truth: Ids, prediction: Ids) -> None:
        if folder is not None and sample in chosen:
            examples.append(SideBySide.of(sample.image.name, image, truth, prediction, scored))

    calibration = CalibrationError() if model.confident else None
    scores = evaluate_split(
        model, samples, spec, mode=eval_mode, memory=asked.memory, progress=not asked.quiet, on_image=keep,
        calibration=calibration,
    )  # fmt: skip
    if left is not None:
        scores = scores.without(left.unlabelled, left)
    if folder is not None:
        write(folder / "scores.json", json.dumps(scores.to_dict(), indent=2, ensure_ascii=False) + "\n")
        save_confusion(folder / "confusion.png", scores.confusion, scored.names)
        save_iou(folder / "iou.png", scores)
        save_examples(folder / "pictures.png", examples, scored)
    return scores


def evaluate_split(
    predictor: Model | Predictor,
    samples: Sequence[Sample],
    spec: DataSpec,
    *,
    mode: EvalMode | None = None,
    memory: int = DEFAULT_MEMORY,
    progress: bool = True,
    on_image: OnImage | None = None,
    calibration: CalibrationError | None = None,
) -> Scores:
    """Score a model, or any predictor, on samples at native resolution.

    Args:
        predictor: a `Model`, or a network with `classes`, `logits` or both; its class ids must be those of `spec`.
        samples: the pairs to score, e.g. `spec.samples("val")`.
        spec: the dataset's description.
        mode: how images are predicted; by default whole.
        memory: MB that the network may use at a time; an image that needs more is done in tiles.
        progress: show a progress bar on stderr.
        on_image: called after each image, in the order of the samples.
        calibration: counts how sure the predictor is and whether it is right; for a `Model` that gives confidence.

    Raises:
        DataError: there are no samples, a file cannot be used, or no pixel is labelled.
        ModelFileError: the predictor cannot do what the mode needs.
        InputError: an image needs more memory than there is.
    """
    more: dict[str, Any] = {"on_image": on_image, "calibration": calibration}
    counts = count_split(predictor, samples, spec, mode=mode, memory=memory, progress=progress, **more)
    if not counts.images:
        raise DataError("no samples to evaluate on", where=spec.path, fix="choose a split that has images")
    if not counts.matrix.any():
        raise DataError(
            f"all pixels of the {counts.images} masks are ignored, so there is nothing to score",
            where=spec.path,
            fix="choose a labelled split, or correct `label_map`",
        )
    ece = None if calibration is None else calibration.value
    names = scored_names(spec, as_model(predictor, spec.classes).classes.names)
    return replace(Scores.from_confusion(counts, names), ece=ece)


def count_split(
    predictor: Model | Predictor,
    samples: Sequence[Sample],
    spec: DataSpec,
    *,
    mode: EvalMode | None = None,
    memory: int = DEFAULT_MEMORY,
    progress: bool = True,
    on_image: OnImage | None = None,
    calibration: CalibrationError | None = None,
) -> ConfusionMatrix:
    """Count a predictor's hits and misses on samples; arguments and errors are those of `evaluate_split`.

    The counts of shards add up exactly, so a split may be divided among processes in any way:
    `count_split(p, samples[0::2], spec) + count_split(p, samples[1::2], spec)`.
    """
    model = as_model(predictor, spec.classes)
    partial = partial_of(spec, model.classes.names)
    scored, names = (spec.classes, spec.classes.names) if partial is None else (partial.classes, partial.own)
    counts = ConfusionMatrix(len(scored), scored.ignore_index)

    def score() -> str:
        return f"mIoU {Scores.from_confusion(counts, names).miou:.3f}"

    def count(answer: Answer) -> None:
        sample, image, truth, prediction, sure = answer
        counts.update(prediction, truth, where=sample.mask)
        if calibration is not None and sure is not None:
            labelled = truth != scored.ignore_index
            calibration.update(sure[labelled], prediction[labelled] == truth[labelled])
        if on_image is not None:
            on_image(sample, image, truth, prediction)

    more: dict[str, Any] = {"sure": calibration is not None, "mode": mode, "memory": memory, "progress": progress}
    answer_all(model, samples, spec, count, title="evaluate", note=score, **more)
    return counts


def _training_size(model: Model) -> list[int] | None:
    """Return (height, width) of the model's training images; None if it does not say, or not in two numbers."""
    size = model.provenance.get("image_size")
    return size if isinstance(size, list) and len(size) == 2 else None


def _output_folder(folder: Path) -> Path:
    """Make the folder and check for the plotting library now: not after an hour of evaluation."""
    require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder cannot be made: {error.strerror}", where=folder, fix="name another") from error
    return folder
