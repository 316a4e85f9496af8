"""A split of a dataset -> scores: one loop for a checkpoint folder, an exported .onnx file and a bare predictor."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.evaluating.modes import EvalMode, Predictor, predict_classes
from bridgeseg.evaluating.plots import Example, save_confusion, save_examples, save_iou
from bridgeseg.files import write
from bridgeseg.images import read_image
from bridgeseg.metrics import ConfusionMatrix, Scores
from bridgeseg.report.figures import require_matplotlib

if TYPE_CHECKING:
    from rich.progress import Progress

    from bridgeseg.runtime.model import Model

Ids = NDArray[np.integer[Any]]
OnImage = Callable[[Sample, NDArray[np.uint8], Ids, Ids], None]
"""Called with each sample, its image (H, W, 3), truth (H, W) and prediction (H, W)."""

AHEAD = 4
"""Samples decoded while the network works: enough to never wait for one slow file, few enough for large pictures."""
PICTURES = 4
"""Rows of the side-by-side picture."""


def evaluate(
    model: str | Path | Model | None = None,
    data: str | Path | DataSpec | None = None,
    split: str = "val",
    mode: str = "whole",
    window: int | Sequence[int] | None = None,
    scales: Sequence[float] | None = None,
    flip: bool = False,
    out: str | Path | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    quiet: bool = False,
) -> Scores:
    """Score a model on a split at native resolution.

    Args:
        model: a checkpoint or run folder, an .onnx file, a loaded `Model`; None is the bundled model.
        data: the data.yaml, its folder, or a loaded `DataSpec`; its names must be the model's, in the same order.
        split: `train`, `val` or `test`.
        mode: `whole`, `slide` or `multiscale` (see `modes.EvalMode.named` for this and the next three).
        window: (height, width) of sliding windows; by default the size that the model was trained at, if it states one.
        scales: factors by which pictures are resized; by default those of the mode.
        flip: predict mirrored pictures as well.
        out: folder for `scores.json`, `confusion.png`, `iou.png` and `pictures.png`; nothing is written by default.
        threads: processor threads of the model; by default as many as there are cores.
        runtime, compile: as in `bridgeseg.load`.
        quiet: show no progress bar.

    Raises:
        InputError: the model, the data or an argument cannot be used, model and data differ in their classes, a file
            cannot be read, or no pixel of the split is labelled. The text says which and what to do.

    >>> bridgeseg.evaluate(model="street.onnx", data="camvid/data.yaml", split="test").miou  # doctest: +SKIP
    0.703
    """
    if data is None:
        raise ConfigError("no dataset to evaluate on", where="data", fix="give a data.yaml: --data FOLDER/data.yaml")
    loaded = _loaded(model, threads, runtime, compile)
    if mode == "slide" and window is None:
        window = _training_size(loaded)
    eval_mode = EvalMode.named(mode, window, scales, flip)
    spec = data if isinstance(data, DataSpec) else DataSpec.load(data)
    check_same_classes(loaded.classes, spec)
    samples = spec.samples(split)
    folder = None if out is None else _output_folder(Path(out))
    examples: list[Example] = []
    chosen = {samples[index] for index in np.linspace(0, len(samples) - 1, PICTURES).round().astype(int)}

    def keep(sample: Sample, image: NDArray[np.uint8], truth: Ids, prediction: Ids) -> None:
        if folder is not None and sample in chosen:
            examples.append(Example(sample.image.name, image, truth, prediction))

    scores = evaluate_split(loaded.runtime, samples, spec, mode=eval_mode, progress=not quiet, on_image=keep)
    if folder is not None:
        report = json.dumps(scores.to_dict(), indent=2, ensure_ascii=False) + "\n"
        write(folder / "scores.json", report)
        save_confusion(folder / "confusion.png", scores.confusion, spec.classes.names)
        save_iou(folder / "iou.png", scores)
        save_examples(folder / "pictures.png", examples, spec.classes)
    return scores


def evaluate_split(
    predictor: Predictor,
    samples: Sequence[Sample],
    spec: DataSpec,
    *,
    mode: EvalMode | None = None,
    progress: bool = True,
    on_image: OnImage | None = None,
) -> Scores:
    """Score a predictor on samples at native resolution.

    Args:
        predictor: network with `classes`, `logits` or both; its class ids must be those of `spec`.
        samples: the pairs to score, e.g. `spec.samples("val")`.
        spec: the dataset's description.
        mode: how pictures are predicted; by default whole.
        progress: show a progress bar on stderr.
        on_image: called after each picture, in the order of the samples.

    Raises:
        DataError: there are no samples, a file cannot be used, or no pixel is labelled.
        ModelFileError: the predictor cannot do what the mode needs.
    """
    counts = count_split(predictor, samples, spec, mode=mode, progress=progress, on_image=on_image)
    if not counts.images:
        raise DataError("no samples to evaluate on", where=spec.path, fix="choose a split that has images")
    if not counts.matrix.any():
        raise DataError(
            f"all pixels of the {counts.images} masks are ignored, so there is nothing to score",
            where=spec.path,
            fix="choose a labelled split, or correct `label_map`",
        )
    return Scores.from_confusion(counts, spec.classes.names)


def count_split(
    predictor: Predictor,
    samples: Sequence[Sample],
    spec: DataSpec,
    *,
    mode: EvalMode | None = None,
    progress: bool = True,
    on_image: OnImage | None = None,
) -> ConfusionMatrix:
    """Count a predictor's hits and misses on samples; arguments and errors are those of `evaluate_split`.

    The counts of shards add up exactly, so a split may be divided among processes in any way:
    `count_split(p, samples[0::2], spec) + count_split(p, samples[1::2], spec)`.
    """
    counts = ConfusionMatrix(len(spec.classes), spec.classes.ignore_index)
    with _progress_bar(progress) as bar, closing(_read_ahead(samples, spec)) as pairs:
        task = bar.add_task("evaluate", total=len(samples), miou="")
        for sample, image, truth in pairs:
            prediction = predict_classes(predictor, image, mode)
            counts.update(prediction, truth, where=sample.mask)
            if on_image is not None:
                on_image(sample, image, truth, prediction)
            so_far = Scores.from_confusion(counts, spec.classes.names).miou if progress else 0.0
            bar.update(task, advance=1, miou=f"mIoU {so_far:.3f}")
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


def _loaded(model: str | Path | Model | None, threads: int | None, runtime: str | None, compile: bool) -> Model:
    if model is not None and not isinstance(model, str | Path):
        return model
    from bridgeseg.runtime.model import Model

    return Model.load(model, threads, runtime, compile)


def _training_size(model: Model) -> list[int] | None:
    """Return (height, width) of the model's training pictures; None if it does not say, or not in two numbers."""
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


def _read_ahead(samples: Sequence[Sample], spec: DataSpec) -> Generator[tuple[Sample, NDArray[np.uint8], Ids]]:
    """Yield samples with image and truth, in order, decoding the next few in a background thread."""
    waiting: deque[Future[tuple[Sample, NDArray[np.uint8], Ids]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        for sample in samples:
            waiting.append(pool.submit(_read, sample, spec))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(sample: Sample, spec: DataSpec) -> tuple[Sample, NDArray[np.uint8], Ids]:
    image = read_image(sample.image)
    return sample, image, read_mask(sample.mask, spec, (image.shape[0], image.shape[1]))


def _progress_bar(show: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[miou]}"), console=Console(stderr=True), disable=not show)
