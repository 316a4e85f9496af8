"""Labels that a trained model disputes: regions and images, those first that are most likely wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bridgeseg.data.finding import MOST_FILES, Finding, number
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.outlines import Area
from bridgeseg.report.tables import Table
from bridgeseg.wording import printable


@dataclass(frozen=True)
class Region:
    """Pixels of a mask that hang together, have one label, and of which a model says another.

    Attributes:
        split: of the image.
        image: path of the image, below the dataset's root.
        mask: path of the mask.
        labelled: the class in the mask.
        predicted: the class that the model gives.
        pixels: how many the model is sure of.
        share: the same as a share of the image (0..1).
        confidence: mean confidence of these pixels (0..1); None if the model does not say.
        box: left, top, width and height of the region, in pixels.
        sample: the files.
        area: the region's outline.
    """

    split: str
    image: str
    mask: str
    labelled: str
    predicted: str
    pixels: int
    share: float
    confidence: float | None
    box: tuple[int, int, int, int]
    sample: Sample = field(repr=False, compare=False)
    area: Area = field(repr=False, compare=False)

    @property
    def weight(self) -> float:
        """What regions are ranked by: share of the image, times confidence."""
        return self.share * (1.0 if self.confidence is None else self.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; its image is named around it."""
        return {
            "labelled": self.labelled,
            "predicted": self.predicted,
            "pixels": self.pixels,
            "share": round(self.share, 6),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "box": list(self.box),
        }


@dataclass(frozen=True)
class DisputedImage:
    """An image with labels that a model disputes.

    Attributes:
        split: of the image.
        image: its path below the dataset's root.
        mask: that of its mask.
        share: share of the image (0..1) that is disputed.
        regions: those that weigh most first.
    """

    split: str
    image: str
    mask: str
    share: float
    regions: tuple[Region, ...]

    @property
    def weight(self) -> float:
        """What images are ranked by: the weights of their regions together."""
        return sum(region.weight for region in self.regions)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        known = {"split": self.split, "image": self.image, "mask": self.mask, "share": round(self.share, 6)}
        return {**known, "regions": [region.to_dict() for region in self.regions]}


@dataclass(frozen=True)
class Disputes:
    """What a model disputes of the labels of a dataset.

    Attributes:
        images: with disputed labels, the most disputed first.
        regions: of all images, those that weigh most first.
        compared: how many images the model was asked about.
        passed_over: how many it was not, because a file cannot be used; the findings say why.
        confident: whether the model says how sure it is. Else every disagreement counts, however unsure.
        left_out: regions that are not listed, for there are too many.
        spec: the dataset, as it was read.
    """

    images: tuple[DisputedImage, ...]
    regions: tuple[Region, ...]
    compared: int
    passed_over: int
    confident: bool
    left_out: int
    spec: DataSpec = field(repr=False, compare=False)

    @classmethod
    def of(cls, regions: Iterable[Region], **facts: Any) -> Disputes:
        """Rank regions, and the images that they are in."""
        ranked = sorted(regions, key=lambda one: (-one.weight, one.split, one.image, one.box))
        by_image: dict[tuple[str, str, str], list[Region]] = {}
        for region in ranked:
            by_image.setdefault((region.split, region.image, region.mask), []).append(region)
        images = [DisputedImage(*key, sum(one.share for one in own), tuple(own)) for key, own in by_image.items()]
        images.sort(key=lambda one: -one.weight)
        return cls(tuple(images), tuple(ranked), **facts)

    def finding(self) -> Finding | None:
        """Return them as a finding; None if nothing is disputed."""
        if not self.regions:
            return None
        first, names = self.regions[0], list(dict.fromkeys(one.mask for one in self.images))
        count = number(len(self.regions) + self.left_out, "region")
        how = "is sure of another class in" if self.confident else "(which does not say how sure it is) disagrees with"
        what = f"the model {how} {count} of {number(len(names), 'mask')}"
        where = f"most of all {first.mask}: {number(first.pixels, 'pixel')} labelled {first.labelled!r}"
        return Finding(
            "labels-disputed",
            "note",
            f"{what}; {where}, which it takes for {first.predicted!r}",
            "look at them, the first ones first (`html=report.html` shows them), and correct the masks that are wrong",
            tuple(names[:MOST_FILES]),
            len(names),
            {"regions": len(self.regions) + self.left_out, "confident": self.confident},
            what=what,
        )

    def table(self, most: int) -> Table:
        """Return the regions that weigh most as a table."""
        title = f"labels that the model disputes, in {self.compared:,} masks compared"
        title += f", {self.passed_over:,} passed over" if self.passed_over else ""
        title += f": the first {most:,} of {len(self.regions) + self.left_out:,}" if len(self.regions) > most else ""
        rows = [
            (
                printable(one.image),
                printable(one.labelled),
                printable(one.predicted),
                f"{one.pixels:,}",
                "–" if one.confidence is None else f"{one.confidence:.0%}",
                f"{one.box[0]}, {one.box[1]}",
            )
            for one in self.regions[:most]
        ]
        return Table(("image", "labelled", "the model says", "pixels", "sure", "at x, y"), rows, title, 3)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "confident": self.confident,
            "compared": self.compared,
            "passed_over": self.passed_over,
            "left_out": self.left_out,
            "images": [image.to_dict() for image in self.images],
        }
