"""A split of a dataset -> scores: every image is read, predicted as `predict` does it, and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.data.labels import labelled_names
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.evaluating.examples import SideBySide, save_examples
from bridgeseg.evaluating.modes import EvalMode, segment
from bridgeseg.evaluating.names import by_names, told
from bridgeseg.evaluating.partial import Partial
from bridgeseg.evaluating.plots import save_confusion, save_iou
from bridgeseg.evaluating.predictors import Predictor, as_model
from bridgeseg.files import write
from bridgeseg.images import Pixels, read_image
from bridgeseg.metrics import CalibrationError, ConfusionMatrix, Scores
from bridgeseg.reading.pipeline import Pipeline
from bridgeseg.report.figures import require_matplotlib
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.tiling import DEFAULT_MEMORY, half
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
    model = Model.of(model, asked.threads, asked.runtime, asked.compile, asked.names, asked.embeddings)
    window = _training_size(model) if asked.mode == "slide" and asked.window is None else asked.window
    eval_mode = EvalMode.named(asked.mode, window, asked.scales, asked.flip)
    spec = data if isinstance(data, DataSpec) else DataSpec.load(data)
    left = None
    if spec.partial:
        scored = Partial(spec, model.classes.names).classes
    else:
        if asked.names is not None or (model.classes.names != spec.classes.names and model.takes_names):
            if asked.names is None:
                model = model.with_names(spec.classes, asked.embeddings)
            spec, left = by_names(spec, model.classes)
        check_same_classes(model.classes, spec)
        scored = spec.classes
    spec = replace(spec, reading=spec.reading.over(model.reading))
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
        scores = told(scores, left, model.trained_names)
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
    return replace(Scores.from_confusion(counts, labelled_names(spec)), ece=ece)


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
    from bridgeseg.report.progress import ProgressBar  # brings Rich, which whoever only draws figures does not need

    model = as_model(predictor, spec.classes)
    partial = Partial(spec, model.classes.names) if spec.partial else None
    scored = spec.classes if partial is None else partial.classes
    counts, names = ConfusionMatrix(len(scored), scored.ignore_index), labelled_names(spec)

    def score() -> str:
        return f"mIoU {Scores.from_confusion(counts, names).miou:.3f}"

    with ProgressBar("evaluate", len(samples), show=progress, note=score) as bar, Pipeline() as pipeline:
        for sample, image, truth in pipeline.ahead(_pairs(samples, spec, pipeline)):
            try:
                prediction: Ids
                prediction, sure = segment(model, image, mode, memory, sure=calibration is not None)
                if partial is not None:
                    truth, prediction = partial.of(sample, truth, prediction)
                counts.update(prediction, truth, where=sample.mask)
                if calibration is not None and sure is not None:
                    labelled = truth != scored.ignore_index
                    calibration.update(sure[labelled], prediction[labelled] == truth[labelled])
            except MemoryError as error:
                raise _too_large(model, sample, image, mode, memory) from error
            if on_image is not None:
                on_image(sample, image, truth, prediction)
            pipeline.give(truth.size)
            del image, truth, prediction, sure  # a large image must not outlive its turn
            bar.advance()
    return counts


def check_same_classes(classes: ClassSet, spec: DataSpec) -> None:
    """Refuse a model whose class ids mean something else than the dataset's.

    Raises:
        DataError: names differ, in spelling, number or order; the text shows where.
    """
    model, data = classes.names, spec.classes.names
    if model == data:
        return
    differences = []
    if missing := [name for name in data if name not in model]:
        differences.append(f"only in the data: {_listed(missing)}")
    if extra := [name for name in model if name not in data]:
        differences.append(f"only in the model: {_listed(extra)}")
    if not differences:
        moved = [f"{index} is {a!r} in the model, {b!r} in the data" for index, a, b in _moved(model, data)]
        differences.append(f"same names in another order: class {_listed(moved, quote=False)}")
    raise DataError(
        f"the model has {len(model)} classes and the data {len(data)}, and they differ; {'; '.join(differences)}",
        where=spec.path,
        fix=f"train a model on this data, or write the model's `names` in their order: {_listed(model)}; masks that "
        "hold other ids are brought to it by `label_map`",
    )


def _moved(model: Sequence[str], data: Sequence[str]) -> list[tuple[int, str, str]]:
    return [(index, a, b) for index, (a, b) in enumerate(zip(model, data, strict=True)) if a != b]


def _listed(items: Sequence[str], limit: int = 12, quote: bool = True) -> str:
    shown = ", ".join(repr(item) if quote else item for item in items[:limit])
    return shown + (f", ... ({len(items) - limit} more)" if len(items) > limit else "")


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


def _pairs(samples: Sequence[Sample], spec: DataSpec, pipeline: Pipeline) -> Iterator[tuple[Sample, Pixels, Ids]]:
    """Yield samples with image and truth, in order; each waits until there is room for its pixels."""
    for sample in samples:
        image = read_image(sample.image, admit=pipeline.take, how=spec.reading)
        yield sample, image, read_mask(sample.mask, spec, (image.shape[0], image.shape[1]))
        del image


def _too_large(model: Model, sample: Sample, image: Pixels, mode: EvalMode | None, memory: int) -> InputError:
    """Say which image needs more memory than there is, and what can be done about it."""
    size = f"{image.shape[1]}x{image.shape[0]}"
    less = half(image.shape[:2], len(model.classes), memory)
    fix = "scale the images of this split down" if less is None else f"let the network use less: `memory={less}`"
    if mode is not None and (mode.scales != (1.0,) or mode.flip):
        fix = "leave out what averages several views: `mode=whole` or `mode=slide`, without `scales` and `flip`"
    return InputError(f"an image of {size} needs more memory than there is", where=sample.image, fix=fix)
