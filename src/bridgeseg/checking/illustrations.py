"""Small images of a problem: the image, and beside it the mask with the offending pixels marked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from bridgeseg.checking.disputes import Region
from bridgeseg.classes import Colour
from bridgeseg.data.finding import Illustration
from bridgeseg.data.maskfile import FORMATS, pack
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.images import read_image
from bridgeseg.outlines import Area, areas
from bridgeseg.report.draw import UNKNOWN
from bridgeseg.report.html import data_url

SIDE = 280
"""Longest side of an illustration on the page, in pixels."""
MOST_PIXELS = 25_000_000
"""Larger files are not decoded only to be shown."""
MARK = (255, 0, 255)
_OUTSIDE = (0, 0, 0)
"""Colour around outlines, which they are seen by on any ground."""
_SURROUNDINGS = 0.35
"""Brightness that is left to what is not marked."""


def draw_illustration(shown: Illustration, palette: Sequence[Colour]) -> str:
    """Return it as a `data:` address of a JPEG; what cannot be shown is said in its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panels = [_panel(lambda: _image(shown.first))]
        if shown.second is not None:
            second = shown.second
            panels.append(_panel(lambda: _image(second) if shown.twin else _mask(second, shown.values, palette)))
    return _sheet(panels)


def draw_region(region: Region, spec: DataSpec) -> str:
    """Return the surroundings of disputed labels twice, as a `data:` address of a JPEG.

    At the left what has the label of the region is outlined, at the right the region; in the colours of the two
    classes.
    """
    colours = dict(zip(spec.classes.names, spec.classes.palette, strict=True))
    left, top, width, height = region.box
    margin = max(16, max(width, height) // 2)
    left, top, right, bottom = max(0, left - margin), max(0, top - margin), left + width + margin, top + height + margin
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def before() -> Image.Image:
            image = read_image(region.sample.image, MOST_PIXELS, how=spec.reading)
            ids = read_mask(region.sample.mask, spec, (image.shape[0], image.shape[1]))[top:bottom, left:right]
            found = [area for area in areas(ids, spec.classes.names) if area.name == region.labelled]
            return _outlined(image[top:bottom, left:right], found, colours.get(region.labelled, UNKNOWN), 0, 0)

        def after() -> Image.Image:
            image = read_image(region.sample.image, MOST_PIXELS, how=spec.reading)[top:bottom, left:right]
            return _outlined(image, [region.area], colours.get(region.predicted, UNKNOWN), left, top)

        return _sheet([_panel(before), _panel(after)])


def _outlined(part: NDArray[np.uint8], found: Sequence[Area], colour: Colour, left: int, top: int) -> Image.Image:
    """Draw a part of an image, and on it outlines from which `left` and `top` are taken."""
    scale = SIDE / max(part.shape)
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    panel = Image.fromarray(part).resize(size)
    draw = ImageDraw.Draw(panel)
    rings = [(ring - (left, top)) * scale for area in found for ring in (area.outline, *area.holes)]
    for line, width in ((_OUTSIDE, 5), (colour, 3)):
        for ring in rings:
            draw.line([(x, y) for x, y in (*ring.tolist(), ring[0].tolist())], fill=line, width=width)
    return panel


def _sheet(panels: Sequence[Image.Image]) -> str:
    """Put panels side by side."""
    width, height = sum(panel.width for panel in panels) + 4 * (len(panels) - 1), max(panel.height for panel in panels)
    sheet, left = Image.new("RGB", (width, height), "white"), 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + 4
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=85, subsampling=0)
    return data_url(stream.getvalue(), "image/jpeg")


def _panel(make: Any) -> Image.Image:
    try:
        panel: Image.Image = make()
    except Exception as error:  # the page is about files that cannot be read; the finding says why
        panel = Image.new("RGB", (SIDE // 2, SIDE // 3), (70, 70, 70))
        ImageDraw.Draw(panel).text((8, 8), f"not shown:\n{type(error).__name__}", fill="white")
    return panel


def _image(path: Path) -> Image.Image:
    image = Image.fromarray(read_image(path, MOST_PIXELS))
    image.thumbnail((SIDE, SIDE))
    return image


def _mask(path: Path, values: frozenset[int], palette: Sequence[Colour]) -> Image.Image:
    """Draw a mask in the colours of its classes, and if `values` are given, those bright and the rest dark."""
    if not path.is_file():
        raise ValueError("no regular file")
    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError("too large to be shown")
        image.load()
    found, colours = _numbers(ImageOps.exif_transpose(image), palette)
    drawn = Image.fromarray(colours)
    size = ImageOps.contain(drawn, (SIDE, SIDE)).size if max(drawn.size) > SIDE else drawn.size
    drawn = drawn.resize(size, Image.Resampling.NEAREST)
    marked = np.isin(found, np.array(sorted(values) or [-1]))
    if not marked.any() or marked.all():
        return drawn
    # A single pixel still shows: every spot of the small image that holds one is marked.
    spots = (
        Image.fromarray(marked.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX).point(lambda v: 255 * (v > 0))
    )
    dark = drawn.point(lambda value: int(value * _SURROUNDINGS))
    dark.paste(Image.new("RGB", size, MARK), mask=spots)
    return dark


def _numbers(image: Image.Image, palette: Sequence[Colour]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return a mask's values, or packed colours, and its pixels as RGB."""
    if image.mode in ("L", "P", "1", "LA", "PA") or image.mode.startswith("I"):
        first = image.getchannel(0) if image.mode in ("LA", "PA") else image
        values = np.asarray(first).astype(np.int64)
    else:
        rgb = np.asarray(image.convert("RGB"))
        if not (rgb == rgb[..., :1]).all():
            return pack(rgb), rgb
        values = rgb[..., 0].astype(np.int64)
    table = np.array([*palette, (225, 225, 225)], np.uint8)  # the last one: ignored, or no class
    known = (values >= 0) & (values < len(palette))
    return values, table[np.where(known, values, len(palette))]
