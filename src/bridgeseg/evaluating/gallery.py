"""A split and one or two models -> the score of every image, and one page that shows the worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.description import title
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.evaluating.answers import Answer, answer_all
from bridgeseg.evaluating.gallery_page import Pictures, write_gallery
from bridgeseg.evaluating.matching import Matched, match
from bridgeseg.evaluating.partial import scored_names
from bridgeseg.evaluating.splits import with_val
from bridgeseg.metrics import Scores
from bridgeseg.runtime.model import Model
from bridgeseg.settings.gallery import Gallery

MOST_MODELS = 2


@dataclass(frozen=True)
class ScoredImage:
    """An image of a gallery.

    Attributes:
        image: its path below the dataset's root.
        miou: its own mIoU for each model, over the classes found in its truth or prediction; None without a label.
        iou: for each model, class -> IoU; None for a class found in neither.
    """

    image: str
    miou: tuple[float | None, ...]
    iou: tuple[dict[str, float | None], ...]

    @property
    def worst(self) -> float:
        """What images are sorted by: the lower mIoU; infinite without a label."""
        return min((math.inf if value is None else value) for value in self.miou)

    @property
    def difference(self) -> float | None:
        """The mIoU of the second model minus that of the first; None for one model, and without a label."""
        first, *rest = self.miou
        return None if not rest or first is None or rest[0] is None else rest[0] - first

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {"image": self.image, "miou": list(self.miou)}


@dataclass(frozen=True)
class GalleryReport:
    """What a gallery shows.

    Attributes:
        path: the HTML file.
        split: the split.
        models: what the models are called on the page.
        scores: of the whole split, for each model.
        images: of the whole split, worst first.
        shown: how many of them are on the page.
    """

    path: Path
    split: str
    models: tuple[str, ...]
    scores: tuple[Scores, ...]
    images: tuple[ScoredImage, ...]
    shown: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        means = [score.to_dict()["miou"] for score in self.scores]
        models = [{"model": name, "miou": mean} for name, mean in zip(self.models, means, strict=True)]
        images = [image.to_dict() for image in self.images]
        return {"out": str(self.path), "split": self.split, "models": models, "shown": self.shown, "images": images}


def gallery(asked: Gallery) -> GalleryReport:
    """Score every image of a split, and write the page; see `bridgeseg.gallery`."""
    if asked.data is None:
        raise ConfigError("no dataset to show", where="data", fix="give a data.yaml: `data=FOLDER/data.yaml`")
    given = list(asked.model) if isinstance(asked.model, list | tuple) else [asked.model]
    if not 1 <= len(given) <= MOST_MODELS:
        raise ConfigError(f"one model is shown, or two side by side; found {len(given)}", where="model", fix="give two")
    models = [Model.of(one, asked.threads, asked.runtime, False, asked.names, asked.embeddings) for one in given]
    spec = asked.data if isinstance(asked.data, DataSpec) else DataSpec.load(asked.data)
    spec = with_val(spec, asked.split, models, quiet=asked.quiet)
    matched = [match(model, spec, asked.names, asked.embeddings) for model in models]
    samples = spec.samples(asked.split)
    if not samples:
        raise DataError("there is no image to show", where=spec.path, fix="choose a split that has images")
    runs = [_Run(one, asked, place, len(matched)) for place, one in enumerate(matched)]
    for run in runs:
        run.go(samples, draw=len(samples) <= asked.limit)
    keys = {sample: spec.key(sample) for sample in samples}
    ranked = sorted(samples, key=lambda sample: (_image(keys[sample], sample, runs).worst, keys[sample]))
    chosen = ranked[: asked.limit]
    if len(samples) > asked.limit:
        for run in runs:
            run.go(chosen, draw=True)
    shown = [(_image(keys[one], one, runs), [run.pictures[one] for run in runs]) for one in chosen]
    names = _titles([model.path for model in models])
    scores = tuple(Scores.from_confusion(run.counts, run.names) for run in runs)
    write_gallery(asked.out, names, scores, shown, matched[0].classes, asked.split, len(samples))
    images = tuple(_image(keys[one], one, runs) for one in ranked)
    return GalleryReport(Path(asked.out), asked.split, names, scores, images, len(chosen))


def _titles(paths: Sequence[Path | None]) -> tuple[str, ...]:
    """Return what models are called; by their paths where they would be called alike, as a run and its file are."""
    short = [title(path) for path in paths]
    alike = len(set(short)) < len(short)
    return tuple(str(path) if alike and path is not None else name for path, name in zip(paths, short, strict=True))


class _Run:
    """One model over the split: counts, scores of images, and pictures of those that are shown."""

    def __init__(self, matched: Matched, asked: Gallery, place: int, of: int) -> None:
        self.matched, self.asked, self.names = matched, asked, scored_names(matched.spec, matched.model.classes.names)
        self.title = "gallery" if of == 1 else f"gallery, model {place + 1} of {of}"
        self.counts = ConfusionMatrix(len(matched.classes), matched.classes.ignore_index)
        self.scores: dict[Sample, Scores] = {}
        self.pictures: dict[Sample, Pictures] = {}

    def go(self, samples: Sequence[Sample], *, draw: bool) -> None:
        """Score what is not scored yet, and draw."""
        classes = self.matched.classes

        def take(answer: Answer) -> None:
            sample, _, truth, prediction, _ = answer
            if sample not in self.scores:
                own = ConfusionMatrix(len(classes), classes.ignore_index)
                own.update(prediction, truth, where=sample.mask)
                self.counts += own
                self.scores[sample] = Scores.from_confusion(own, self.names)
            if draw:
                self.pictures[sample] = Pictures.of(answer, classes, self.asked.side)

        answer_all(
            self.matched.model, samples, self.matched.spec, take, title=self.title, sure=draw,
            memory=self.asked.memory, progress=not self.asked.quiet,
        )  # fmt: skip


def _image(name: str, sample: Sample, runs: Sequence[_Run]) -> ScoredImage:
    scores = [run.scores[sample] for run in runs]
    miou = tuple(None if math.isnan(score.miou) else score.miou for score in scores)
    return ScoredImage(name, miou, tuple(score.iou for score in scores))
