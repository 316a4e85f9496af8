"""The images of a finished run: learning curves, IoU per class, confusions, a few validation images side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from bridgeseg.data.dataset import read_sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import InputError
from bridgeseg.evaluating.examples import SideBySide, save_examples
from bridgeseg.evaluating.plots import read_history, save_confusion, save_curves, save_iou
from bridgeseg.metrics import Scores
from bridgeseg.runtime.model import Model
from bridgeseg.training.folder import TABLE

EXAMPLES = 4


def write_images(out: Path, spec: DataSpec, split: str, scores: Scores | None) -> None:
    """Write `curves.png`, `iou.png`, `confusion.png` and `examples.png` into a run folder.

    An image that cannot be made is reported on standard error; the run itself is complete without it.

    Args:
        out: a finished run folder.
        spec: its dataset.
        split: where the example images come from, evenly spaced.
        scores: of the best checkpoint; without them there are no `iou.png` and `confusion.png`.
    """
    try:
        history = read_history(out / TABLE)
        save_curves(out / "curves.png", {name: history[name] for name in history if not name.startswith("iou ")})
        if scores is not None:
            save_iou(out / "iou.png", scores)
            save_confusion(out / "confusion.png", scores.confusion, spec.classes.names)
        save_examples(out / "examples.png", _examples(out, spec, split), spec.classes)
    except InputError as error:
        print(f"warning: not all images of the run were drawn: {error}", file=sys.stderr)


def _examples(out: Path, spec: DataSpec, split: str) -> list[SideBySide]:
    samples, model = spec.samples(split), Model.load(out)
    examples = []
    for sample in samples[:: max(1, len(samples) // EXAMPLES)][:EXAMPLES]:
        image, mask = read_sample(sample, spec)
        examples.append(SideBySide.of(sample.image.name, image, mask, model.mask(image), spec.classes))
    return examples
