"""Arrays and tensors of any library, and how they become images."""

from __future__ import annotations

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
    return values.ndim == 3 and values.shape[0] < min(values.shape[1:]) and values.shape[2] not in (3, 4)


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


def conversion(values: NDArray[Any]) -> str:
    """Say what makes an image of an array that is none: an expression that works."""
    if values.size == 0:
        return "give an array with pixels"
    if values.ndim == 4 and values.shape[3] in (1, 3, 4):
        return f"give its {values.shape[0]} images one by one: bridgeseg.predict(list(images))"
    if channels_first(values):
        return "put the channels last: np.moveaxis(image, 0, 2)"
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        many = values.ndim == 3 and values.shape[2] > 4
        return "choose three channels, by `bands=0,1,2` or here: image[:, :, :3]" if many else "give (H, W, 3)"
    if values.dtype == bool:
        return "convert it: image.astype('uint8') * 255"
    if values.dtype.kind in "iuf" and values.min() >= 0 and values.max() <= 1 and values.dtype.kind == "f":
        return "convert it: (image * 255).round().astype('uint8')"
    if values.dtype.kind in "iuf" and values.min() >= 0 and values.max() <= 255:
        return "convert it: image.astype('uint8')"
    if values.dtype.kind in "iuf":
        return f"say what is black and white: image_range=({values.min():g}, {values.max():g})"
    return "scale it to 0..255 and convert it with .astype('uint8')"
