"""Pixels of any mode, depth and number of bands -> uint8 RGB, and what was dropped or reinterpreted on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.errors import ConfigError, DataError

Pixels = NDArray[np.uint8]
"""uint8 RGB (H, W, 3), 0..255."""
STRIPE = 128_000
"""Pixels that are converted at a time: copies of so many stay in a processor's cache."""
DEPTHS = (10, 12, 14)
"""Bits of cameras and scanners whose values come in 16."""


@dataclass(frozen=True)
class Note:
    """Something of an image that was dropped or reinterpreted, though nothing is wrong with its file.

    Attributes:
        code: the kind: `range`, `bands`, `alpha` or `pages`.
        message: what was found, and how it was read.
        fix: how to read it otherwise.
    """

    code: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}"


@dataclass(frozen=True)
class Reading:
    """How to read images whose files do not say what their values mean; images of 8 bits have no range to choose.

    Attributes:
        image_range: the values that stand for black and for white, in images of more than 8 bits. By default 0..65535
            of integers and 0..1 of floats.
        bands: the bands that are red, green and blue, from 0, or the one that is grey; no other is looked at. By
            default the first three, on white where the file says that it is transparent.
    """

    image_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None

    @classmethod
    def of(cls, image_range: float | Sequence[float] | None = None, bands: Sequence[int] | None = None) -> Reading:
        """Check what a user wrote: `4095` stands for `[0, 4095]`.

        Raises:
            ConfigError: no two growing numbers, or no one or three numbers of bands.
        """
        ends: Any = [image_range] if isinstance(image_range, Real) else _as_listed(image_range)
        bands = _as_listed(bands)
        if ends is not None:
            numbers = _are(ends, Real) and len(ends) in (1, 2)
            ends = (0, *ends) if numbers and len(ends) == 1 else ends
            if not numbers or not -math.inf < ends[0] < ends[1] < math.inf:
                found = f"the values of black and of white are needed, found {image_range!r}"
                raise ConfigError(found, where="image_range", fix="`image_range: 4095`, or `image_range: [100, 4095]`")
            ends = (float(ends[0]), float(ends[1]))
        if bands is not None:
            if not _are(bands, Integral) or len(bands) not in (1, 3) or min(bands) < 0:
                found = f"the numbers of the bands of red, green and blue are needed, found {bands!r}"
                raise ConfigError(found, where="bands", fix="`bands: [0, 1, 2]`, or `bands: [0]` for grey")
            bands = tuple(map(int, bands))
        return cls(ends, bands)

    def over(self, other: Reading) -> Reading:
        """Return this reading, with what it leaves open taken from another."""
        return Reading(self.image_range or other.image_range, self.bands or other.bands)

    def to_dict(self) -> dict[str, list[float] | list[int]]:
        """Return what is not left open, JSON-ready: `{"image_range": [0, 4095]}`; `of` takes it as arguments."""
        found = {"image_range": self.image_range, "bands": self.bands}
        return {key: list(value) for key, value in found.items() if value is not None}


AS_STORED = Reading()


def _as_listed(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _are(values: Any, kind: Any) -> bool:
    """Whether this is a sequence of numbers of a kind; True and False are none."""
    known = isinstance(values, Sequence) and not isinstance(values, str)
    return known and all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def to_pixels(
    image: Image.Image, how: Reading = AS_STORED, notes: list[Note] | None = None, *, deep: bool = False
) -> Pixels:
    """Convert a loaded image, in stripes, because every step of it makes a copy.

    Args:
        image: of any mode.
        how: how to read it.
        notes: what was dropped or reinterpreted is added here.
        deep: whether its file has more than 8 bits a band, of which the lower ones are dropped; see `is_deep`.

    Raises:
        DataError: values whose black and white are not known, or bands that are not there.
    """
    seen = _Seen(deep)
    if image.mode.startswith(("I", "F")):
        seen.ends = _ends(image, how)
    elif how.bands is not None and image.mode in ("P", "PA", "LA"):
        image = image.convert("RGBA")
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows in _stripes(image):
        pixels[rows] = _convert(image.crop((0, rows.start, image.width, rows.stop)), how, seen)
    if notes is not None:
        notes += seen.notes(image, how)
    return pixels


def scaled(values: NDArray[Any], ends: tuple[float, float]) -> Pixels:
    """Scale values so that the first of `ends` is 0 and the second 255; what lies outside is cut, NaN is 0."""
    low, high = ends
    shares = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    return (np.nan_to_num(shares) * 255 + 0.5).astype(np.uint8)


def is_deep(image: Image.Image) -> bool:
    """Whether an image in 8 bits a band has more in its file; only before it is loaded."""
    return not image.mode.startswith(("I", "F")) and any(";16" in str(part[3]) for part in getattr(image, "tile", []))


@dataclass
class _Seen:
    """What the stripes of an image showed."""

    deep: bool
    ends: tuple[float, float] = (0, 255)
    high: float = 0
    outside: int = 0
    nan: int = 0
    transparent: int = 0
    under: Pixels | None = None
    hides: bool = False

    def notes(self, image: Image.Image, how: Reading) -> list[Note]:
        """Say what a user would want to know."""
        notes, pixels = [], image.width * image.height
        if how.image_range is None and (note := self._dark(image)):
            notes.append(note)
        if self.outside:
            notes.append(cut_note(self.outside / pixels, self.ends))
        if self.nan:
            notes.append(nan_note(self.nan / pixels))
        if self.hides:
            share = max(self.transparent / pixels, 0.001)
            found = f"{share:.1%} of it is transparent, with an image below: that is read as white"
            notes.append(Note("alpha", found, "if it is no transparency, read the colours alone: `bands: [0, 1, 2]`"))
        return notes

    def _dark(self, image: Image.Image) -> Note | None:
        """Notice values of 10, 12 or 14 bits that are stored in 16."""
        grey = image.mode.startswith("I") and self.ends == (0, 65535)
        high = self.high if grey else self.high * 256 + 255 if self.deep and self.high else 0
        return dark_note(high)


def dark_note(high: float) -> Note | None:
    """Notice values of 10, 12 or 14 bits that are stored in 16, by the highest."""
    depth = next((depth for depth in DEPTHS if high < 2**depth), None)
    if depth is None or not high > 255:
        return None
    found = f"16 bits, but no value above {2**depth - 1} ({depth} bits): read as 0..65535 it is nearly black"
    return Note("range", found, f"say what is white: `image_range: {2**depth - 1}`")


def cut_note(share: float, ends: tuple[float, float]) -> Note:
    """Say that values lie outside of the range that was given."""
    found = f"{share:.1%} of its values lie outside of {ends[0]:g}..{ends[1]:g} and are cut"
    return Note("range", found, "widen `image_range`")


def nan_note(share: float) -> Note:
    """Say that values are no numbers."""
    return Note("range", f"{share:.1%} of its values are NaN: read as black", "write values for them, if that is wrong")


def _ends(image: Image.Image, how: Reading) -> tuple[float, float]:
    """Return what is black and what is white in an image of integers or floats."""
    if how.image_range is not None:
        return how.image_range
    parts = [np.asarray(image.crop((0, rows.start, image.width, rows.stop))) for rows in _stripes(image)]
    low, high = finite_range(np.array([finite_range(part) for part in parts]))
    return ends_of(low, high, image.mode.startswith("F"), how)


def finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest of values, NaN and infinite ones aside; NaN if there are no others."""
    finite = values if values.dtype.kind != "f" else values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)


def ends_of(low: float, high: float, floats: bool, how: Reading) -> tuple[float, float]:
    """Return what is black and what is white of values between `low` and `high`.

    Raises:
        DataError: nothing was said, and they do not lie in 0..65535, or of floats in 0..1.
    """
    if how.image_range is not None:
        return how.image_range
    kind, white = ("floats", 1) if floats else ("integers", 65535)
    if math.isnan(low):  # there is no finite value
        return (0, white)
    if not 0 <= low <= high <= white:
        ends = (low, high) if low < high else (min(low, 0), max(high, 0))  # of one value: from it to 0
        top = 255 if 0 <= low <= high <= 255 else f"[{ends[0]:g}, {ends[1]:g}]"
        raise DataError(
            f"an image of {kind} is read as 0..{white}, found {low:g}..{high:g}",
            fix=f"say what is black and white: `image_range: {top}`, or save it with 8 bits",
        )
    return (0, white)


def _stripes(image: Image.Image) -> list[slice]:
    rows = max(1, STRIPE // image.width)
    return [slice(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]


def _convert(image: Image.Image, how: Reading, seen: _Seen) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        seen.high = max(seen.high, float(values.max()))
        seen.nan += int(np.count_nonzero(np.isnan(values)))
        seen.outside += int(np.count_nonzero((values < seen.ends[0]) | (values > seen.ends[1])))
        return scaled(values, seen.ends)[..., None]
    if how.bands is not None and len(image.getbands()) > 1:
        values = np.asarray(image)
        if max(how.bands) >= values.shape[2]:
            found = f"there is no band {max(how.bands)}, it has {values.shape[2]} ({image.mode})"
            raise DataError(found, fix=f"name `bands` of 0..{values.shape[2] - 1}")
        chosen = values[..., list(how.bands)]
    else:
        chosen = np.asarray(_on_white(image, seen))
    if seen.deep:
        seen.high = max(seen.high, float(chosen.max()))
    return chosen


def _on_white(image: Image.Image, seen: _Seen) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    values = np.asarray(image)
    below = values[values[..., 3] < 255, :3]
    if below.size:
        seen.transparent += len(below)
        seen.under = below[0] if seen.under is None else seen.under
        seen.hides = seen.hides or bool((below != seen.under).any())
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
