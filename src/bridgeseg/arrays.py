"""Arrays and tensors of any library, and how they become images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import DataError


def as_array(image: Any) -> NDArray[Any]:
    """Return an array or a tensor, wherever it lies and whatever gradients it has, as numpy's.

    Raises:
        DataError: it is neither, or of a type that numpy lacks.
    """
    if isinstance(image, str | Path) or not (hasattr(image, "__array__") or hasattr(image, "__array_interface__")):
        found = f"a list of {len(image)}" if isinstance(image, list | tuple) else type(image).__name__
        fix = "give one image, or all to bridgeseg.predict([...])" if isinstance(image, list | tuple) else "name a file"
        raise DataError(f"an image is a file, a Pillow image or a uint8 array; found {found}", fix=fix)
    for step in ("detach", "cpu"):
        if callable(method := getattr(image, step, None)):
            image = method()
    try:
        return np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        fix = "convert it, if its values are 0 to 255: image.byte()"
        raise DataError(f"an image is a uint8 array; this {type(image).__name__} is none: {error}", fix=fix) from error


def channels_first(values: NDArray[Any]) -> bool:
    """Whether this looks like an image whose channels come first, as PyTorch and rasterio have them."""
    if values.ndim != 3 or values.shape[2] in (3, 4):
        return False
    return values.shape[0] in (1, 3, 4) or values.shape[0] < min(values.shape[1:])


def chosen(values: NDArray[Any], bands: Sequence[int]) -> NDArray[Any]:
    """Return some channels of an image (H, W, C), one of them as (H, W).

    Raises:
        DataError: there is no such channel, or they do not come last.
    """
    if channels_first(values):
        raise DataError(f"bands are chosen of the last axis; found shape {values.shape}", fix=conversion(values))
    if max(bands) >= values.shape[2]:
        found = f"there is no band {max(bands)}, it has {values.shape[2]}"
        raise DataError(found, fix=f"name `bands` of 0..{values.shape[2] - 1}")
    return values[..., bands[0]] if len(bands) == 1 else values[..., list(bands)]


def conversion(values: NDArray[Any], image: Any = None) -> str:
    """Say what makes an image of an array that is none: an expression that works.

    Args:
        values: the array.
        image: what it was made of: numpy's, which is the default, or a tensor of another library.
    """
    if values.size == 0:
        return "give an array with pixels"
    if values.ndim == 4 and values.shape[3] in (1, 3, 4):
        return f"give its {values.shape[0]} images one by one: bridgeseg.predict(list(images))"
    name = "image" if image is None or isinstance(image, np.ndarray) else _as_numpy(image)
    first = channels_first(values)
    if not first and (values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4))):
        many = values.ndim == 3 and values.shape[2] > 4
        return f"choose three channels, by `bands=0,1,2` or here: {name}[:, :, :3]" if many else "give (H, W, 3)"
    name = f"np.moveaxis({name}, 0, 2)" if first else name
    how = _to_bytes(values, name)
    if not first or (how is not None and how.startswith("convert")):
        return how or "give (H, W, 3)"
    return f"put the channels last: {name}" if how is None else f"put the channels last, {name}, and {how}"


def _to_bytes(values: NDArray[Any], name: str) -> str | None:
    """Say how values of another type become uint8; None if they have it."""
    if values.dtype == np.uint8:
        return None
    if values.dtype == bool:
        return f"convert it: {name}.astype('uint8') * 255"
    if values.dtype.kind not in "iuf":
        return "scale it to 0..255 and convert it with .astype('uint8')"
    finite = values if values.dtype.kind != "f" else values[np.isfinite(values)]
    low, high = (finite.min().item(), finite.max().item()) if finite.size else (math.nan, math.nan)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return f"convert it: ({name} * 255).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return f"convert it: {name}.astype('uint8')"
    if not low < high:
        return "say what is black and white: image_range=(BLACK, WHITE)"
    return f"say what is black and white: image_range=({low!r}, {high!r})"


def _as_numpy(image: Any) -> str:
    """Return an expression for a tensor as numpy's array."""
    steps = "".join(f".{step}()" for step in ("detach", "cpu") if callable(getattr(image, step, None)))
    return f"np.asarray(image{steps})"
