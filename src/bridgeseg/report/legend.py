"""Legends: strips with the names of classes in any script, their colours and their shares."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from bridgeseg.classes import ClassSet, Colour

BACKGROUND: Colour = (24, 26, 30)
TEXT: Colour = (236, 238, 242)
FAINT: Colour = (150, 156, 166)
MOST_ENTRIES = 40
"""A legend names at most this many classes, the largest; the last entry then counts the rest."""
FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "YuGothR.ttc", "malgun.ttf",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "NotoSansArabic-Regular.ttf",
    "NotoNaskhArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf",
    "NotoSansBengali-Regular.ttf", "NotoSansTamil-Regular.ttf", "NotoSansThai-Regular.ttf", "Nirmala.ttf",
    "leelawui.ttf", "Arial.ttf", "unifont.ttf", "NotoEmoji-Regular.ttf", "seguisym.ttf", "Symbola.ttf",
)  # fmt: skip
"""Files that systems have, by the scripts they hold; asked for where Pillow's own font lacks a letter."""
LARGEST_KEPT = 48
"""Size of letters, in pixels, up to which drawn texts are kept for the next image."""
UNKNOWN = "\U0010ffff"
"""No font has it: what is drawn for it stands for a missing letter."""

Entry = tuple[str, str, Colour | None]
"""Name, share and colour of a legend entry; the one that counts the rest has no colour."""


def entries(shares: dict[str, str], classes: ClassSet) -> list[Entry]:
    """Make the entries of a legend.

    Args:
        shares: name of a class -> its share as it is shown, in the order of the legend.
        classes: where the colours come from.
    """
    places = {name: index for index, name in enumerate(classes.names)}
    made: list[Entry] = []
    unseen = []
    for name, share in list(shares.items())[:MOST_ENTRIES]:
        text = " ".join(name.split())
        if _font_file(text) is None:
            unseen.append(name)
            text = f"class {places[name]}"
        made.append((text, share, classes.palette[places[name]]))
    if unseen:
        _tell(tuple(unseen))
    more = len(shares) - len(made)
    return made if more <= 0 else [*made, (f"and {more} more", "", None)]


def draw_legend(size: tuple[int, int], entries: list[Entry]) -> Image.Image:
    """Draw the strip that goes below an image of `size` (width, height); wider than it if that is very narrow."""
    font_size = max(12, round((size[0] * size[1]) ** 0.5 / 38))
    gap, line = round(font_size * 0.7), round(font_size * 1.75)
    width = max(size[0], font_size * 16)
    rows = _rows(entries, width - 2 * gap, font_size)
    strip = Image.new("RGB", (width, 2 * gap + line * len(rows)), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for index, row in enumerate(rows):
        middle, left = gap + line * index + line // 2, gap
        for name, share, colour in row:
            if colour is not None:
                box = (left, middle - font_size // 2, left + font_size, middle - font_size // 2 + font_size)
                draw.rounded_rectangle(box, radius=max(2, font_size // 5), fill=colour)
                left += round(font_size * 1.45)
            _write(strip, (left, middle), font_size, name, TEXT if colour else FAINT)
            left += round(_length(font_size, name) + font_size * 0.45)
            _write(strip, (left, middle), font_size, share, FAINT)
            left += round(_length(font_size, share) + font_size * 1.4)
    return strip


def _write(strip: Image.Image, place: tuple[int, int], size: int, text: str, fill: Colour) -> None:
    """Draw a text whose left end and middle are at a place, as `ImageDraw.text` does with the anchor `lm`."""
    left, middle = place
    if not text:
        return
    if size > LARGEST_KEPT:
        ImageDraw.Draw(strip).text(place, text, fill=fill, font=_font(size, text), anchor="lm")
        return
    letters = _letters(size, text)
    strip.paste(fill, (left - size, middle - letters.height // 2), letters)


@lru_cache(maxsize=256)
def _letters(size: int, text: str) -> Image.Image:
    """Return a text as a mask, with room around it; the same texts are on image after image, and cost most of it."""
    mask = Image.new("L", (round(_length(size, text)) + 2 * size, 4 * size))
    ImageDraw.Draw(mask).text((size, 2 * size), text, fill=255, font=_font(size, text), anchor="lm")
    return mask


@lru_cache(maxsize=4096)
def _length(size: int, text: str) -> float:
    return float(_font(size, text).getlength(text))


def _font(size: int, text: str) -> Any:
    """Return a font that has the letters of a text; the plain one if none does."""
    return _opened(_font_file(text) or "", size)


@lru_cache(maxsize=64)
def _opened(file: str, size: int) -> Any:
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _font_file(text: str) -> str | None:
    """Return the first font that has all letters of a text, "" for Pillow's own; None if there is none here."""
    for file in ("", *FONTS):
        try:
            if all(_has(file, letter) for letter in set(text) if not letter.isspace()):
                return file
        except OSError:  # not on this system
            continue
    return None


@lru_cache(maxsize=65_536)
def _has(file: str, letter: str) -> bool:
    font = _opened(file, 16)
    drawn, unknown = font.getmask(letter), font.getmask(UNKNOWN)
    return drawn.size != unknown.size or bytes(drawn) != bytes(unknown)


@lru_cache(maxsize=64)
def _tell(names: tuple[str, ...]) -> None:
    """Warn once of names that cannot be drawn."""
    some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    warnings.warn(
        f"no font on this system has the letters of {some}: legends show the numbers of these classes\n"
        "  fix: install a font that has them, for instance: apt-get install fonts-noto",
        stacklevel=2,
    )


def _rows(entries: list[Entry], room: int, size: int) -> list[list[Entry]]:
    """Fill lines of `room` pixels with entries, names too long for a line of their own cut short."""
    rows: list[list[Entry]] = []
    used = room + 1.0
    for name, share, colour in entries:
        font = _font(size, name)
        rest, own = _length(size, share) + size * 3.3, _length(size, name)
        while len(name) > 1 and own + rest - size * 1.4 > room:
            name = name.removesuffix("…")[:-1] + "…"
            own = font.getlength(name)
        length = own + rest
        if used + length - size * 1.4 > room:
            rows.append([])
            used = 0.0
        rows[-1].append((name, share, colour))
        used += length
    return rows
