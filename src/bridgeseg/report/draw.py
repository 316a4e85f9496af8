"""Class ids made visible: palette images and overlays."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet, Colour
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.images import Pixels
from bridgeseg.report.legend import BACKGROUND, draw_legend, entries

Ids = NDArray[np.integer[Any]]

WHITE = 255  # the place of white in a palette of all classes
STRIPE = 128_000
"""Pixels of a stripe: large images are worked on in such pieces, which also fit into a processor's cache."""
UNKNOWN: Colour = (110, 110, 110)
"""What legends show for pixels without a class, which overlays show dark and hatched."""
OPACITY = 0.55
"""Weight of the colours of classes in overlays."""


@dataclass(frozen=True)
class Drawing:
    """How overlays are drawn.

    Attributes:
        opacity: weight of the colours, 0 (the image alone) to 1 (the colours alone).
        hide: names of classes that are left as they are, such as a background, and are not in the legend.

    Raises:
        ConfigError: an opacity outside of 0..1.
    """

    opacity: float = OPACITY
    hide: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            found = f"a weight of 0 to 1 is needed, found {self.opacity}"
            raise ConfigError(found, where="opacity", fix=f"`opacity={OPACITY}`")

    def check(self, classes: ClassSet) -> None:
        """Check that there are such classes.

        Raises:
            ConfigError: one to hide that there is not.
        """
        for name in self.hide:
            if name not in classes.names:
                raise ConfigError(f"no class {name!r}", where="hide", fix=nearest(name, classes.names))


PLAIN = Drawing()


def area_shares(mask: Ids, classes: ClassSet) -> dict[str, float]:
    """Return the share of the image that each class covers, largest first, absent classes left out.

    They sum to 1 unless pixels have no class.

    >>> area_shares(np.array([[0, 0], [0, 1]], np.uint8), ClassSet.build(["road", "sky", "car"]))
    {'road': 0.75, 'sky': 0.25}
    """
    return shares(count_pixels(mask, len(classes)), classes, mask.size)


def shares(counts: NDArray[np.int64], classes: ClassSet, total: int) -> dict[str, float]:
    """Return numbers of pixels by class as shares of `total` pixels, largest first, absent classes left out."""
    order = np.argsort(-counts, kind="stable")
    return {classes.names[index]: float(counts[index] / total) for index in order if counts[index]}


def count_pixels(mask: Ids, classes: int) -> NDArray[np.int64]:
    """Return how many pixels of a mask (H, W) each class has, (K,)."""
    counts = np.zeros(max(classes, 256), np.int64)
    for rows in stripes(mask.shape[0], mask.shape[1]):  # bincount widens what it counts to 8 bytes a pixel
        part = mask[rows]
        if part.dtype == np.uint8:
            counts[:256] += Image.fromarray(part).histogram()
        else:
            counts += np.bincount(part[part < len(counts)], minlength=len(counts))
    return counts[:classes]


def stripes(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of stripes from top to bottom, `STRIPE` pixels or one row each: copies of them stay small."""
    rows = max(1, STRIPE // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def palette_image(mask: Ids, classes: ClassSet) -> Image.Image:
    """Return class ids (H, W) as an image whose pixel values are the ids.

    Up to 256 classes: mode "P" with the palette embedded, so viewers show the colours; what is ignored is white. Ids of
    16 bits: greyscale.
    """
    if len(classes) > 256 or mask.dtype == np.uint16:
        return Image.fromarray(mask.astype(np.uint16))
    image = Image.fromarray(mask.astype(np.uint8, copy=False))
    palette = [channel for colour in classes.palette for channel in colour]
    if _has_unknown(mask, classes):  # with fewer colours a PNG has fewer bits than such a value needs
        palette += [WHITE] * (768 - len(palette))
    image.putpalette(palette)
    return image


def _has_unknown(mask: Ids, classes: ClassSet) -> bool:
    """Return whether pixels have no class: `ClassSet.ignore_index` in place of an id."""
    return bool(mask.size) and int(mask.max()) >= len(classes)


def overlay(
    image: Pixels,
    mask: Ids,
    classes: ClassSet,
    *,
    alpha: float | None = None,
    hide: Sequence[str] | None = None,
    drawing: Drawing = PLAIN,
    legend: bool = True,
    areas: dict[str, float] | None = None,
) -> Image.Image:
    """Lay the colours of the classes over an image, with outlines, and a legend in a strip below it.

    It is drawn in stripes: of a large image no more than the overlay itself is added to what is in memory.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: class ids (H, W).
        classes: names and palette.
        alpha: weight of the colours, 0 (the image alone) to 1 (the colours alone); by default as `drawing` says.
        hide: names of classes that are left as they are; by default as `drawing` says.
        drawing: both of these.
        legend: add the strip with name, colour and area share of the classes present, the largest first.
        areas: what `area_shares` gives, if that is known already.

    Returns:
        An RGB image; with a legend it is higher than the original, and wider if that is very narrow.

    Raises:
        ConfigError: an opacity out of range, or a class to hide that there is not.
    """
    drawing = Drawing(drawing.opacity if alpha is None else alpha, drawing.hide if hide is None else tuple(hide))
    drawing.check(classes)
    if legend and areas is None:
        areas = area_shares(mask, classes)
    sheet, left = _sheet(image, areas if legend else None, classes, drawing)
    seen, unsure = np.array([name not in drawing.hide for name in classes.names]), _has_unknown(mask, classes)
    step = 1 + max(mask.shape) // 1600  # outlines are thicker on large images
    for rows in stripes(*mask.shape):
        edges = _edges(mask[rows.start : rows.stop + step], step)
        covered = Image.blend(Image.fromarray(image[rows]), _coloured(mask[rows], classes, edges), drawing.opacity)
        inside = ~edges[: rows.stop - rows.start]
        if unsure:
            without = mask[rows] >= len(classes)
            covered.paste(_hatched(image[rows], rows.start, step), (0, 0), Image.fromarray(without & inside))
            inside &= ~without
        if not seen.all():
            plain = ~seen[np.minimum(mask[rows], len(classes) - 1)] & inside
            covered.paste(Image.fromarray(image[rows]), (0, 0), Image.fromarray(plain))
        sheet.paste(covered, (left, rows.start))
    return sheet


def _coloured(mask: Ids, classes: ClassSet, edges: NDArray[np.bool_]) -> Image.Image:
    """Return the colours of class ids, and white on edges; these may have more rows."""
    edges = edges[: len(mask)]
    if len(classes) > WHITE:
        colours = np.asarray([*classes.palette, UNKNOWN], np.uint8)[np.minimum(mask, len(classes))]
        colours[edges] = 255
        return Image.fromarray(colours)
    ids = mask.astype(np.uint8)
    ids[edges] = WHITE
    image = Image.fromarray(ids)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(classes)] = classes.palette
    image.putpalette(palette.tobytes())
    return image.convert("RGB")


def _hatched(image: Pixels, top: int, step: int) -> Image.Image:
    """Return rows of an image, the first of them row `top`, darkened and under brighter lines from corner to corner."""
    dark = image // 3
    across = np.arange(image.shape[1]) + (np.arange(image.shape[0]) + top)[:, None]
    dark[across % (8 * step) < 2 * step] += 80
    return Image.fromarray(dark)


def _edges(mask: Ids, step: int) -> NDArray[np.bool_]:
    """Mark `step` pixels left of and above a change of class."""
    edges = np.zeros(mask.shape, bool)
    for shift in range(1, step + 1):
        edges[:, :-shift] |= mask[:, :-shift] != mask[:, shift:]
        edges[:-shift] |= mask[:-shift] != mask[shift:]
    return edges


def _sheet(
    image: Pixels, areas: dict[str, float] | None, classes: ClassSet, drawing: Drawing
) -> tuple[Image.Image, int]:
    """Return an empty image with the legend drawn, and how far from the left the overlay goes."""
    height, width = image.shape[:2]
    if areas is None:
        return Image.new("RGB", (width, height)), 0
    shown = {name: percent(share) for name, share in areas.items() if name not in drawing.hide}
    named = entries(shown, classes)
    if (rest := 1 - sum(areas.values())) > 1e-9:
        named.append(("unknown", percent(rest), UNKNOWN))
    strip = draw_legend((width, height), named)
    sheet = Image.new("RGB", (strip.width, height + strip.height), BACKGROUND)
    sheet.paste(strip, (0, height))
    return sheet, (strip.width - width) // 2


def key(size: tuple[int, int], classes: ClassSet, drawing: Drawing = PLAIN, *, unknown: bool = False) -> Image.Image:
    """Return a strip with the names and colours of all classes, to go below images of `size` (width, height).

    With `unknown` it names what has no class, too.
    """
    named = entries({name: "" for name in classes.names if name not in drawing.hide}, classes)
    return draw_legend(size, [*named, ("unknown", "", UNKNOWN)] if unknown else named)


def picture(image: Image.Image, form: str) -> bytes:
    """Return an image as the bytes of a small file, `JPEG` or `PNG`, to be put into a page."""
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 80} if form == "JPEG" else {"optimize": True}))
    return stream.getvalue()


def percent(share: float) -> str:
    """0.314 -> "31 %", 0.031 -> "3.1 %", 0.0004 -> "< 0.1 %"."""
    if share < 0.001:
        return "< 0.1 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.0995 else f"{share:.1%}".replace("%", " %")
