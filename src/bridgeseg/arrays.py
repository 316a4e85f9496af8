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


def chosen(values: NDArray[Any], bands: Sequence[int], image: Any) -> NDArray[Any]:
    """Return some channels of an image (H, W, C), which was made of `image`; one of them as (H, W).

    Raises:
        DataError: there is no such channel, or they do not come last.
    """
    if channels_first(values):
        fix = f"put the channels last: {_channels_last(_as_numpy(image, 'image'))}"
        raise DataError(f"bands are chosen of the last axis; found shape {values.shape}", fix=fix)
    if max(bands) >= values.shape[2]:
        found = f"there is no band {max(bands)}, it has {values.shape[2]}"
        raise DataError(found, fix=f"name `bands` of 0..{values.shape[2] - 1}")
    return values[..., bands[0]] if len(bands) == 1 else values[..., list(bands)]


def conversion(values: NDArray[Any], image: Any) -> str:
    """Say what makes an image of an array that is none: an expression that works, also on a batch that it is one of.

    Args:
        values: the array, without leading axes of one.
        image: what it was made of: numpy's, or a tensor of another library.
    """
    if values.size == 0:
        return "give an array with pixels"
    batch, one = values.ndim == 4, values[0] if values.ndim == 4 else values
    if one.ndim not in (2, 3):
        return "give (H, W, 3)"
    name, step, first = _as_numpy(image, "images" if batch else "image"), "", channels_first(one)
    count = 1 if one.ndim == 2 else one.shape[0 if first else 2]
    if first:
        name, step = _channels_last(name), "put the channels last"
    if count == 2 or count > 4:
        choice = "choose one channel" if count == 2 else "choose three channels"
        step = f"{step} and {choice}" if first else choice if count == 2 else f"{choice}, by `bands=0,1,2` or here"
        name += "[..., :1]" if count == 2 else "[..., :3]"
    how = _to_bytes(values, name)
    if how is not None and how.startswith("convert"):
        step, _, name = how.partition(": ")
        how = None
    if batch:
        step, name = f"give its {len(values)} images one by one", f"bridgeseg.predict(list({name}))"
    if how is None:
        return f"{step}: {name}"
    return f"{step}, {name}, and {how}" if step else how


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


def _channels_last(name: str) -> str:
    """Return an expression for an image, or a batch of images, of this name with its channels last."""
    return f"np.moveaxis({name}, -3, -1)"


def _as_numpy(image: Any, name: str) -> str:
    """Return an expression for an array or a tensor of this name as numpy's array."""
    if isinstance(image, np.ndarray):
        return name
    steps = "".join(f".{step}()" for step in ("detach", "cpu") if callable(getattr(image, step, None)))
    return f"np.asarray({name}{steps})"
