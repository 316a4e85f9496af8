"""Class ids made visible: palette images, overlays, legends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridgeseg.classes import ClassSet, Colour
from bridgeseg.images import Pixels

Ids = NDArray[np.integer[Any]]

BACKGROUND: Colour = (24, 26, 30)
TEXT: Colour = (236, 238, 242)
FAINT: Colour = (150, 156, 166)
WHITE = 255  # the place of white in a palette of all classes
STRIPE = 250_000
"""Pixels of a stripe: large images are worked on in such pieces, which also fit into a processor's cache."""
MOST_ENTRIES = 40
"""A legend names at most this many classes, the largest; the last entry then counts the rest."""


def area_shares(mask: Ids, classes: ClassSet) -> dict[str, float]:
    """Return the share of the image that each class covers, largest first, absent classes left out; they sum to 1.

    >>> area_shares(np.array([[0, 0], [0, 1]], np.uint8), ClassSet.build(["road", "sky", "car"]))
    {'road': 0.75, 'sky': 0.25}
    """
    return shares(count_pixels(mask, len(classes)), classes)


def shares(counts: NDArray[np.int64], classes: ClassSet) -> dict[str, float]:
    """Return numbers of pixels by class as shares of their sum, largest first, absent classes left out."""
    order, total = np.argsort(-counts, kind="stable"), counts.sum()
    return {classes.names[index]: float(counts[index] / total) for index in order if counts[index]}


def count_pixels(mask: Ids, classes: int) -> NDArray[np.int64]:
    """Return how many pixels of a mask (H, W) each class has, (K,)."""
    counts = np.zeros(max(classes, 256), np.int64)
    for rows in stripes(mask.shape[0], mask.shape[1]):  # bincount widens what it counts to 8 bytes a pixel
        part = mask[rows]
        if part.dtype == np.uint8:
            counts[:256] += Image.fromarray(part).histogram()
        else:
            counts += np.bincount(part.ravel(), minlength=len(counts))
    return counts[:classes]


def stripes(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of stripes from top to bottom, `STRIPE` pixels or one row each: copies of them stay small."""
    rows = max(1, STRIPE // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def palette_image(mask: Ids, classes: ClassSet) -> Image.Image:
    """Return class ids (H, W) as an image whose pixel values are the ids.

    Up to 256 classes: mode "P" with the palette embedded, so viewers show the colours. Above: 16-bit greyscale.
    """
    if len(classes) > 256:
        return Image.fromarray(mask.astype(np.uint16))
    image = Image.fromarray(mask.astype(np.uint8, copy=False))
    image.putpalette([channel for colour in classes.palette for channel in colour])
    return image


def overlay(
    image: Pixels,
    mask: Ids,
    classes: ClassSet,
    *,
    alpha: float = 0.55,
    legend: bool = True,
    min_share: float = 0.001,
    areas: dict[str, float] | None = None,
) -> Image.Image:
    """Lay the colours of the classes over an image, with outlines, and a legend in a strip below it.

    It is drawn in stripes: of a large image no more than the overlay itself is added to what is in memory.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: class ids (H, W).
        classes: names and palette.
        alpha: weight of the colours, 0 (the image alone) to 1 (the colours alone).
        legend: add the strip with name, colour and area share of the classes present.
        min_share: classes that cover less than this share of the image are not in the legend.
        areas: what `area_shares` gives, if that is known already.

    Returns:
        An RGB image; with a legend it is higher than the original, and wider if that is very narrow.
    """
    if legend and areas is None:
        areas = area_shares(mask, classes)
    sheet, left = _sheet(image, areas if legend else None, classes, min_share)
    step = 1 + max(mask.shape) // 1600  # outlines are thicker on large images
    for rows in stripes(*mask.shape):
        colours = _coloured(mask[rows], classes, _edges(mask[rows.start : rows.stop + step], step))
        sheet.paste(Image.blend(Image.fromarray(image[rows]), colours, alpha), (left, rows.start))
    return sheet


def _coloured(mask: Ids, classes: ClassSet, edges: NDArray[np.bool_]) -> Image.Image:
    """Return the colours of class ids, and white on edges; these may have more rows."""
    edges = edges[: len(mask)]
    if len(classes) > WHITE:
        colours = np.asarray(classes.palette, np.uint8)[mask]
        colours[edges] = 255
        return Image.fromarray(colours)
    ids = mask.astype(np.uint8)
    ids[edges] = WHITE
    image = Image.fromarray(ids)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(classes)] = classes.palette
    image.putpalette(palette.tobytes())
    return image.convert("RGB")


def _edges(mask: Ids, step: int) -> NDArray[np.bool_]:
    """Mark `step` pixels left of and above a change of class."""
    edges = np.zeros(mask.shape, bool)
    for shift in range(1, step + 1):
        edges[:, :-shift] |= mask[:, :-shift] != mask[:, shift:]
        edges[:-shift] |= mask[:-shift] != mask[shift:]
    return edges


def _sheet(
    image: Pixels, areas: dict[str, float] | None, classes: ClassSet, min_share: float
) -> tuple[Image.Image, int]:
    """Return an empty image with the legend drawn, and how far from the left the overlay goes."""
    height, width = image.shape[:2]
    if areas is None:
        return Image.new("RGB", (width, height)), 0
    legend = draw_legend((width, height), _entries(areas, classes, min_share))
    sheet = Image.new("RGB", (legend.width, height + legend.height), BACKGROUND)
    sheet.paste(legend, (0, height))
    return sheet, (legend.width - width) // 2


def key(size: tuple[int, int], classes: ClassSet) -> Image.Image:
    """Return a strip with the names and colours of all classes, to go below images of `size` (width, height)."""
    return draw_legend(size, _entries(dict.fromkeys(classes.names, 1.0), classes, 0, shown=False))


def draw_legend(size: tuple[int, int], entries: list[Entry]) -> Image.Image:
    """Draw the strip that goes below an image of `size` (width, height); wider than it if that is very narrow."""
    font_size = max(12, round((size[0] * size[1]) ** 0.5 / 38))
    font = _font(font_size)
    gap, line = round(font_size * 0.7), round(font_size * 1.75)
    width = max(size[0], font_size * 16)
    rows = _rows(entries, font, width - 2 * gap, font_size)
    strip = Image.new("RGB", (width, 2 * gap + line * len(rows)), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for index, row in enumerate(rows):
        middle, left = gap + line * index + line // 2, gap
        for name, share, colour in row:
            if colour is not None:
                box = (left, middle - font_size // 2, left + font_size, middle - font_size // 2 + font_size)
                draw.rounded_rectangle(box, radius=max(2, font_size // 5), fill=colour)
                left += round(font_size * 1.45)
            draw.text((left, middle), name, fill=TEXT if colour else FAINT, font=font, anchor="lm")
            left += round(font.getlength(name) + font_size * 0.45)
            draw.text((left, middle), share, fill=FAINT, font=font, anchor="lm")
            left += round(font.getlength(share) + font_size * 1.4)
    return strip


Entry = tuple[str, str, Colour | None]
"""Name, share and colour of a legend entry; the one that counts the rest has no colour."""


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _entries(areas: dict[str, float], classes: ClassSet, min_share: float, shown: bool = True) -> list[Entry]:
    """Make the entries of a legend, with shares or (not `shown`) without."""
    colours = dict(zip(classes.names, classes.palette, strict=True))
    large = [(name, percent(share) if shown else "") for name, share in areas.items() if share >= min_share]
    entries: list[Entry] = [(" ".join(name.split()), share, colours[name]) for name, share in large]
    more = len(entries) - MOST_ENTRIES
    return entries if more <= 0 else [*entries[:MOST_ENTRIES], (f"and {more} more", "", None)]


def percent(share: float) -> str:
    """0.314 -> "31 %", 0.031 -> "3.1 %", 0.0004 -> "< 0.1 %"."""
    if share < 0.001:
        return "< 0.1 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.0995 else f"{share:.1%}".replace("%", " %")


def _rows(entries: list[Entry], font: Any, room: int, size: int) -> list[list[Entry]]:
    """Fill lines of `room` pixels with entries, names too long for a line of their own cut short."""
    rows: list[list[Entry]] = []
    used = room + 1.0
    for name, share, colour in entries:
        rest = font.getlength(share) + size * 3.3
        while len(name) > 1 and font.getlength(name) + rest - size * 1.4 > room:
            name = name.removesuffix("…")[:-1] + "…"
        length = font.getlength(name) + rest
        if used + length - size * 1.4 > room:
            rows.append([])
            used = 0.0
        rows[-1].append((name, share, colour))
        used += length
    return rows
