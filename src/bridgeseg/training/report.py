"""The pictures of a finished run: learning curves, IoU per class, a few validation images side by side."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.data.dataset import read_sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.deploy import load_model
from bridgeseg.evaluation.metrics import Scores
from bridgeseg.evaluation.pictures import Example, save_examples
from bridgeseg.evaluation.plots import read_history, save_curves, save_iou

EXAMPLES = 4


def write_pictures(out: Path, spec: DataSpec, split: str, scores: Scores | None) -> None:
    """Write `curves.png`, `iou.png` and `examples.png` into a run folder.

    Args:
        out: a finished run folder.
        spec: its dataset.
        split: where the example images come from, evenly spaced.
        scores: of the best checkpoint; without them there is no `iou.png`.
    """
    history = read_history(out / "logs" / "metrics.csv")
    if history:
        save_curves(out / "curves.png", history)
    if scores is not None:
        save_iou(out / "iou.png", scores)
    samples = spec.samples(split)
    model = load_model(out)
    examples = []
    for sample in samples[:: max(1, len(samples) // EXAMPLES)][:EXAMPLES]:
        image, mask = read_sample(sample, spec)
        examples.append(Example(sample.image.name, image, mask, model.runtime.classes(image[None])[0]))
    save_examples(out / "examples.png", examples, spec.classes)
