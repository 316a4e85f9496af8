"""The classes of a segmentation task: names, phrases for the text encoder, colours, ignore index."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bridgeseg.errors import DataError, nearest

IGNORE_INDEX = 255
"""Mask value that is never trained on nor scored (masks of more than 255 classes use 65535)."""

MOST = 65535
"""Classes of a mask of 16 bits, which needs a value to ignore."""

Colour = tuple[int, int, int]


def colour_of(code: int) -> Colour:
    """Return a colour that is written as a number 0xRRGGBB."""
    return code >> 16, code >> 8 & 255, code & 255


def hexadecimal(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"


def default_palette(count: int) -> tuple[Colour, ...]:
    """Return `count` distinct RGB colours (0..255), far apart in hue for neighbouring ids."""
    golden = 0.61803398875
    colours = []
    for index in range(count):
        value = (0.95, 0.70, 0.85)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(
            (0.58 + index * golden) % 1.0, (0.75, 0.95, 0.55)[(index // 3) % 3], value
        )
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colours)


@dataclass(frozen=True)
class ClassSet:
    """Names, prompts and palette of K classes; class id = position.

    Attributes:
        names: K distinct names.
        prompts: for each class the phrases given to the text encoder (at least one; the name by default).
        palette: K RGB colours, 0..255.
        ignore_index: mask value left out of losses and scores.
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    palette: tuple[Colour, ...]
    ignore_index: int = IGNORE_INDEX

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        prompts: Mapping[str, Sequence[str]] | None = None,
        palette: Sequence[Sequence[int]] | Mapping[str, Sequence[int]] | None = None,
    ) -> ClassSet:
        """Make a class set, checked once.

        Raises:
            DataError: no names, names that repeat or are empty, prompts or colours of no class, colours out of 0..255.
        """
        names = tuple(str(name).strip() for name in names)
        if not names:
            raise DataError("no class names given", fix="list at least one name under `names`")
        if len(names) > MOST:
            raise DataError(f"{len(names)} classes; a mask can tell {MOST} apart", fix="merge classes")
        if "" in names or len(set(names)) != len(names):
            twice = sorted(name for name, count in Counter(names).items() if count > 1 or not name)
            text = ", ".join(repr(name[:80]) for name in twice[:8]) + (", ..." if len(twice) > 8 else "")
            raise DataError(f"class names must be distinct and not empty, found {text}", fix="rename them")
        phrases: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
        for name, given in (prompts or {}).items():
            if name not in phrases:
                raise DataError(f"`prompts` names {name!r}, which is no class; {nearest(str(name), names)}")
            listed = (given,) if isinstance(given, str) else tuple(str(phrase).strip() for phrase in given)
            if not listed or "" in listed:
                raise DataError(f"`prompts` of {name!r} is empty", fix="give a phrase or remove the entry")
            phrases[name] = listed
        for phrase in chain(names, *phrases.values()):
            if not is_unicode(phrase):
                raise DataError(f"{phrase[:80]!r} holds half a character", fix="write names and `prompts` in UTF-8")
        colours = list(default_palette(len(names)))
        if isinstance(palette, Mapping):
            places = {name: index for index, name in enumerate(names)}
            for name, colour in palette.items():
                if name not in phrases:
                    raise DataError(f"`palette` names {name!r}, which is no class; {nearest(str(name), names)}")
                colours[places[name]] = _colour(colour)
        elif palette is not None:
            if len(palette) != len(names):
                raise DataError(
                    f"`palette` has {len(palette)} colours for {len(names)} classes", fix="give one per class"
                )
            colours = [_colour(colour) for colour in palette]
        ignore = IGNORE_INDEX if len(names) <= IGNORE_INDEX else 65535
        return cls(names, tuple(phrases[name] for name in names), tuple(colours), ignore)

    def __len__(self) -> int:
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, read back by `from_dict`."""
        return {
            "names": list(self.names),
            "prompts": {name: list(phrases) for name, phrases in zip(self.names, self.prompts, strict=True)},
            "palette": [list(colour) for colour in self.palette],
            "ignore_index": self.ignore_index,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassSet:
        """Read what `to_dict` wrote.

        Raises:
            DataError: a key is missing or of the wrong kind.
        """
        try:
            if not isinstance(data["names"], list):
                raise TypeError("`names` is no list")
            return cls.build(data["names"], data.get("prompts"), data.get("palette"))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a description of classes: {error!r}") from error


def is_unicode(text: str) -> bool:
    """Say whether a text can be written to a file: YAML and JSON can also name halves of characters (surrogates)."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _colour(value: Sequence[int]) -> Colour:
    try:
        red, green, blue = (int(channel) for channel in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"a colour is three numbers of 0..255, found {str(value)[:100]}") from error
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise DataError(f"a colour is three numbers of 0..255, found {str(value)[:100]}")
    return red, green, blue
