"""The images of a finished run: learning curves, IoU per class, confusions, a few validation images side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.dataset import read_sample
from bridgeseg.data.joining import Joined, Member
from bridgeseg.data.labels import UNKNOWN, set_of
from bridgeseg.data.listing import Sample
from bridgeseg.errors import InputError
from bridgeseg.evaluating.examples import SideBySide, save_examples
from bridgeseg.evaluating.plots import read_history, save_confusion, save_curves, save_iou
from bridgeseg.metrics import Scores
from bridgeseg.runtime.model import Model
from bridgeseg.training.folder import TABLE

EXAMPLES = 4


def write_images(out: Path, joined: Joined, split: str, scores: Scores | None) -> None:
    """Write `curves.png`, `iou.png`, `confusion.png` and `examples.png` into a run folder.

    An image that cannot be made is reported on standard error; the run itself is complete without it.

    Args:
        out: a finished run folder.
        joined: its datasets.
        split: where the example images come from, evenly spaced; of several datasets in turn.
        scores: of the best checkpoint; without them there are no `iou.png` and `confusion.png`.
    """
    try:
        history = read_history(out / TABLE)
        save_curves(out / "curves.png", {name: history[name] for name in history if not name.startswith("iou ")})
        if scores is not None:
            save_iou(out / "iou.png", scores)
            names = [*scores.iou, *(["other"] if len(scores.confusion) > len(scores.iou) else [])]
            if not scores.parts:
                save_confusion(out / "confusion.png", scores.confusion, names)
        save_examples(out / "examples.png", _examples(out, joined, split), joined.classes)
    except InputError as error:
        print(f"warning: not all images of the run were drawn: {error}", file=sys.stderr)


def _examples(out: Path, joined: Joined, split: str) -> list[SideBySide]:
    model, examples = Model.load(out), []
    each = max(1, EXAMPLES // len(joined.members))
    for member in joined.members:
        samples = member.spec.samples(split)
        for sample in samples[:: max(1, len(samples) // each)][:each]:
            image, mask = read_sample(sample, member.spec)
            truth = mask if joined.plain else _in_vocabulary(mask, sample, member, joined)
            examples.append(SideBySide.of(sample.image.name, image, truth, model.mask(image), joined.classes))
    return examples


def _in_vocabulary(mask: NDArray[Any], sample: Sample, member: Member, joined: Joined) -> NDArray[Any]:
    """Return the ids of the vocabulary of a mask (H, W) of one dataset; ignored where it says no single name."""
    labels, spec = member.labels, member.spec
    ids = np.array([*labels.rows, *(joined.classes.ignore_index for _ in (*labels.groups, UNKNOWN))])
    found: NDArray[Any] = ids[labels.table[set_of(spec, labels.sets, spec.key(sample))][mask]]
    return found
