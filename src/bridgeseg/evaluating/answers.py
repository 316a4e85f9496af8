"""The pairs of a split, one after the other: image, truth, and what a model says; a thread reads ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.errors import DataError, InputError
from bridgeseg.evaluating.modes import EvalMode, segment
from bridgeseg.evaluating.partial import partial_of
from bridgeseg.images import DEFAULT_MAX_PIXELS, Pixels, read_image
from bridgeseg.reading.pipeline import Pipeline
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.runtimes import Greys
from bridgeseg.runtime.tiling import DEFAULT_MEMORY, half

Ids = NDArray[np.integer[Any]]


class Answer(NamedTuple):
    """What a model says of a pair.

    Attributes:
        sample: the pair.
        image: uint8 RGB (H, W, 3).
        truth: class ids (H, W), the ignore index where nothing is labelled.
        prediction: class ids (H, W).
        confidence: (H, W), 0 to 255; None if it was not asked for, or the model does not say.
    """

    sample: Sample
    image: Pixels
    truth: Ids
    prediction: Ids
    confidence: Greys | None


def answer_all(
    model: Model,
    samples: Sequence[Sample],
    spec: DataSpec,
    take: Callable[[Answer], None],
    *,
    title: str,
    sure: bool = False,
    mode: EvalMode | None = None,
    memory: int = DEFAULT_MEMORY,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: bool = True,
    note: Callable[[], str] | None = None,
    passed_over: list[Sample] | None = None,
) -> None:
    """Let a model answer every pair, in their order.

    Args:
        model: its ids must be those of `spec`, or the data partial (see `Partial`).
        samples: the pairs.
        spec: the dataset's description.
        take: called with each answer, before the next one is made; an image must not outlive the call.
        title: of the progress bar.
        sure: ask how sure the model is, too.
        mode: how images are predicted; by default whole.
        memory: MB that the network may use at a time; an image that needs more is done in tiles.
        max_pixels: images with more are refused.
        progress: show a progress bar on stderr.
        note: makes the text at the end of the bar.
        passed_over: pairs that cannot be read are added here, instead of raising.

    Raises:
        DataError: a file cannot be used.
        InputError: an image needs more memory than there is.
        ModelFileError: the model cannot do what the mode needs.
    """
    from bridgeseg.report.progress import ProgressBar  # brings Rich, which whoever only draws figures does not need

    partial = partial_of(spec, model.classes.names)

    def pairs(pipeline: Pipeline) -> Iterator[tuple[Sample, Pixels | None, Ids]]:
        """Yield samples with image and truth; each waits until there is room for its pixels."""
        for sample in samples:
            taken: list[int] = []

            def admit(pixels: int, taken: list[int] = taken) -> None:
                pipeline.take(pixels)
                taken.append(pixels)

            image: Pixels | None
            truth: Ids = np.zeros((0, 0), np.uint8)
            try:
                image = read_image(sample.image, max_pixels, admit=admit, how=spec.reading)
                truth = read_mask(sample.mask, spec, (image.shape[0], image.shape[1]))
            except DataError:
                if passed_over is None:
                    raise
                image = None
                pipeline.give(sum(taken))
            yield sample, image, truth
            del image, truth

    with ProgressBar(title, len(samples), show=progress, note=note) as bar, Pipeline() as pipeline:
        for sample, image, truth in pipeline.ahead(pairs(pipeline)):
            if image is None:
                if passed_over is not None:
                    passed_over.append(sample)
                bar.advance()
                continue
            try:
                prediction: Ids
                prediction, confidence = segment(model, image, mode, memory, sure=sure)
                if partial is not None:
                    truth, prediction = partial.of(sample, truth, prediction)
                take(Answer(sample, image, truth, prediction, confidence))
            except MemoryError as error:
                raise _too_large(model, sample, image, mode, memory) from error
            pipeline.give(truth.size)
            del image, truth, prediction, confidence  # a large image must not outlive its turn
            bar.advance()


def _too_large(model: Model, sample: Sample, image: Pixels, mode: EvalMode | None, memory: int) -> InputError:
    """Say which image needs more memory than there is, and what can be done about it."""
    size = f"{image.shape[1]}x{image.shape[0]}"
    less = half(image.shape[:2], len(model.classes), memory)
    fix = "scale the images of this split down" if less is None else f"let the network use less: `memory={less}`"
    if mode is not None and (mode.scales != (1.0,) or mode.flip):
        fix = "leave out what averages several views: `mode=whole` or `mode=slide`, without `scales` and `flip`"
    return InputError(f"an image of {size} needs more memory than there is", where=sample.image, fix=fix)
