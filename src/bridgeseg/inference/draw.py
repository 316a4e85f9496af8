"""Class ids made visible: palette pictures, overlays, legends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridgeseg.classes import ClassSet, Colour
from bridgeseg.inference.images import Pixels

Ids = NDArray[np.integer[Any]]

BACKGROUND: Colour = (24, 26, 30)
TEXT: Colour = (236, 238, 242)
FAINT: Colour = (150, 156, 166)
MOST_ENTRIES = 40
"""A legend names at most this many classes, the largest; the last entry then counts the rest."""


def area_shares(mask: Ids, classes: ClassSet) -> dict[str, float]:
    """Return the share of the picture that each class covers, largest first, absent classes left out; they sum to 1.

    >>> area_shares(np.array([[0, 0], [0, 1]], np.uint8), ClassSet.build(["road", "sky", "car"]))
    {'road': 0.75, 'sky': 0.25}
    """
    counts = np.zeros(len(classes), np.int64)
    rows = max(1, 1_000_000 // mask.shape[1])  # bincount widens what it counts to 8 bytes a pixel: not all at once
    for top in range(0, mask.shape[0], rows):
        counts += np.bincount(mask[top : top + rows].ravel(), minlength=len(classes))
    order = np.argsort(-counts, kind="stable")
    return {classes.names[index]: float(counts[index] / mask.size) for index in order if counts[index]}


def palette_image(mask: Ids, classes: ClassSet) -> Image.Image:
    """Return class ids (H, W) as a picture whose pixel values are the ids.

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
) -> Image.Image:
    """Lay the colours of the classes over a picture, with outlines, and a legend in a strip below it.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: class ids (H, W).
        classes: names and palette.
        alpha: weight of the colours, 0 (the picture alone) to 1 (the colours alone).
        legend: add the strip with name, colour and area share of the classes present.
        min_share: classes that cover less than this share of the picture are not in the legend.

    Returns:
        An RGB picture; with a legend it is higher than the original, and wider if that is very narrow.
    """
    blended = Image.blend(Image.fromarray(image), _coloured(mask, classes), alpha)
    if alpha > 0:
        blended.paste(_lighter(blended), mask=_outlines(mask))
    return _with_legend(blended, area_shares(mask, classes), classes, min_share) if legend else blended


def _coloured(mask: Ids, classes: ClassSet) -> Image.Image:
    if len(classes) <= 256:
        return palette_image(mask, classes).convert("RGB")
    return Image.fromarray(np.asarray(classes.palette, np.uint8)[mask])


def _outlines(mask: Ids) -> Image.Image:
    """Mark the pixels left of and above a change of class, thicker on large pictures."""
    height, width = mask.shape
    edges = np.zeros((height, width), np.uint8)
    step = 1 + max(height, width) // 1600
    for shift in range(1, step + 1):
        edges[:, :-shift][mask[:, :-shift] != mask[:, shift:]] = 255
        edges[:-shift][mask[:-shift] != mask[shift:]] = 255
    return Image.fromarray(edges)


def _lighter(image: Image.Image) -> Image.Image:
    return Image.blend(image, Image.new("RGB", image.size, "white"), 0.6)


def _with_legend(picture: Image.Image, areas: dict[str, float], classes: ClassSet, min_share: float) -> Image.Image:
    size = max(12, round((picture.width * picture.height) ** 0.5 / 38))
    font = ImageFont.load_default(size)
    gap, line = round(size * 0.7), round(size * 1.75)
    width = max(picture.width, size * 16)
    rows = _rows(_entries(areas, classes, min_share), font, width - 2 * gap, size)
    sheet = Image.new("RGB", (width, picture.height + 2 * gap + line * len(rows)), BACKGROUND)
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        middle, left = picture.height + gap + line * index + line // 2, gap
        for name, share, colour in row:
            if colour is not None:
                box = (left, middle - size // 2, left + size, middle - size // 2 + size)
                draw.rounded_rectangle(box, radius=max(2, size // 5), fill=colour)
                left += round(size * 1.45)
            draw.text((left, middle), name, fill=TEXT if colour else FAINT, font=font, anchor="lm")
            left += round(font.getlength(name) + size * 0.45)
            draw.text((left, middle), share, fill=FAINT, font=font, anchor="lm")
            left += round(font.getlength(share) + size * 1.4)
    return sheet


Entry = tuple[str, str, Colour | None]
"""Name, share and colour of a legend entry; the one that counts the rest has no colour."""


def _entries(areas: dict[str, float], classes: ClassSet, min_share: float) -> list[Entry]:
    colours = dict(zip(classes.names, classes.palette, strict=True))
    shown = [(name, share) for name, share in areas.items() if share >= min_share]
    entries: list[Entry] = [(" ".join(name.split()), percent(share), colours[name]) for name, share in shown]
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
