"""The page of a gallery: small pictures of every image that is shown, and what filters and sorts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from bridgeseg.classes import ClassSet, hexadecimal
from bridgeseg.evaluating.answers import Answer
from bridgeseg.evaluating.examples import ERROR, IGNORED, SideBySide, coloured, errors
from bridgeseg.metrics import Scores, percent
from bridgeseg.report import html
from bridgeseg.report.draw import picture
from bridgeseg.report.tables import Table
from bridgeseg.wording import printable

if TYPE_CHECKING:
    from bridgeseg.evaluating.gallery import ScoredImage


@dataclass(frozen=True)
class Pictures:
    """Pictures of an image and what a model says of it, as `data:` addresses.

    Attributes:
        image, truth, prediction, difference: they.
        confidence: the darker, the less sure; None if the model does not say.
        size: width and height of each, in pixels.
    """

    image: str
    truth: str
    prediction: str
    difference: str
    confidence: str | None
    size: tuple[int, int]

    @classmethod
    def of(cls, answer: Answer, classes: ClassSet, side: int) -> Pictures:
        """Draw an answer, the longer side at most `side` pixels."""
        small = SideBySide.of(answer.sample.image.name, answer.image, answer.truth, answer.prediction, classes, side)
        height, width = small.truth.shape
        confidence = None
        if answer.confidence is not None:
            sure = Image.fromarray(answer.confidence).resize((width, height), Image.Resampling.BOX)
            confidence = _address(sure, "JPEG")
        return cls(
            _address(Image.fromarray(small.image), "JPEG"),
            _address(Image.fromarray(coloured(small.truth, classes)), "PNG"),
            _address(Image.fromarray(coloured(small.prediction, classes)), "PNG"),
            _address(Image.fromarray(errors(small, classes)), "JPEG"),
            confidence,
            (width, height),
        )


def write_gallery(
    path: str | Path,
    names: Sequence[str],
    scores: Sequence[Scores],
    shown: Sequence[tuple[ScoredImage, Sequence[Pictures]]],
    classes: ClassSet,
    split: str,
    total: int,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file; its folder is made if there is none.
        names: of the models.
        scores: of the whole split, for each model.
        shown: images, worst first, with pictures for each model.
        classes: names and colours.
        split: name of the split.
        total: how many images it has.

    Raises:
        InputError: the file cannot be written.
    """
    count = f"{total:,} images of {split}"
    if len(shown) < total:
        count = f"the worst {len(shown):,} of {count}"
    means = ", ".join(_mean(*pair, len(names)) for pair in zip(names, scores, strict=True))
    colours = [*zip(classes.names, classes.palette, strict=True), ("not labelled", IGNORED), ("wrong", ERROR)]
    html.write_page(
        path,
        "gallery.html",
        title=f"bridgeseg gallery: {', '.join(map(printable, names))}",
        summary=f"{count}; mIoU of the split: {means}",
        models=[printable(name) for name in names],
        scores=_table(names, scores),
        colours=[(printable(name), hexadecimal(colour)) for name, colour in colours],
        classes=[printable(name) for name in scores[0].iou],
        rows=[_row(one, pictures, names) for one, pictures in shown],
        numbers=[_numbers(one) for one, _ in shown],
    )


def _mean(name: str, scores: Scores, models: int) -> str:
    return f"{percent(scores.miou)} %" + (f" ({printable(name)})" if models > 1 else "")


def _table(names: Sequence[str], scores: Sequence[Scores]) -> Table:
    """Return the IoU of every class in the whole split, in percent, and of two models the difference."""
    header = ["IoU, %", *map(printable, names), *(["difference"] if len(names) > 1 else [])]
    rows = []
    for name in (*scores[0].iou, None):
        values = [one.miou if name is None else one.iou[name] for one in scores]
        difference = [_signed(values[0], values[1])] if len(values) > 1 else []
        rows.append(["mean" if name is None else printable(name), *map(percent, values), *difference])
    return Table(header, rows)


def _signed(first: float | None, second: float | None) -> str:
    if first is None or second is None or first != first or second != second:
        return percent(None)
    return f"{100 * (second - first):+.1f}"


def _row(one: ScoredImage, pictures: Sequence[Pictures], names: Sequence[str]) -> dict[str, Any]:
    """Return name, scores and figures of an image."""
    first = pictures[0]
    figures = [("image", first.image), ("truth", first.truth)]
    for name, own in zip(names, pictures, strict=True):
        of = f", {printable(name)}" if len(names) > 1 else ""
        figures += [(f"prediction{of}", own.prediction), (f"difference{of}", own.difference)]
        if own.confidence is not None:
            figures.append((f"confidence{of}", own.confidence))
    scores = [f"mIoU {' → '.join(percent(value) for value in one.miou)}"]
    if len(one.miou) > 1:
        scores.append(f"difference {_signed(*one.miou[:2])}")
    return {"name": printable(one.image), "scores": "; ".join(scores), "figures": figures, "size": first.size}


def _numbers(one: ScoredImage) -> dict[str, Any]:
    """Return what the page sorts and filters by: name, mIoU, and the IoU of each class that occurs."""
    values = [list(own.values()) for own in one.iou]
    places = sorted({place for own in values for place, value in enumerate(own) if value is not None})
    iou = {place: [_rounded(own[place]) for own in values] for place in places}
    return {"name": printable(one.image), "miou": list(map(_rounded, one.miou)), "iou": iou}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _address(image: Image.Image, form: str) -> str:
    return html.data_url(picture(image, form), f"image/{form.lower()}")
