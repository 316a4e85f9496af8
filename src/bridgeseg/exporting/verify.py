"""Does the exported file say what the network says? Asked before the file gets its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.torch_runtime import DeployNetwork

SIZES = ((1, 64, 96), (2, 33, 65), (1, 1, 1), (1, 101, 47), (3, 200, 31))
"""(batch, height, width): multiples of the stride, odd sizes, a single pixel, narrow strips."""
AGREEMENT = 0.999
TOLERANCE = 1e-3
FIX = "report this with the backbone's name; another backbone or torch version may export correctly"


def verify(path: Path, network: DeployNetwork, name: Path | None = None) -> float:
    """Compare an ONNX file with the network it was made from, on smooth random images of several sizes.

    Args:
        path: the file.
        network: in evaluation mode.
        name: what errors call the file; by default, `path`.

    Returns:
        The share of pixels with the same class id. Where two classes tie to within `TOLERANCE` in PyTorch's logits,
        either is counted as right: float arithmetic in another order decides such ties differently.

    Raises:
        ModelFileError: the file does not load, gives other ids on more than one pixel in a thousand, or gives logits
            that differ by more than `TOLERANCE` of the largest one.
    """
    runtime, name = OnnxRuntime(path), name or path
    own = None if runtime.class_embeddings is None else torch.from_numpy(runtime.class_embeddings)
    generator = torch.Generator().manual_seed(0)
    equal = total = 0
    for index, (batch, height, width) in enumerate(SIZES):
        text = None if own is None else _other(own, index)
        if text is not None:
            runtime.class_embeddings = text.numpy()
        coarse = torch.rand(batch, 3, max(1, height // 8), max(1, width // 8), generator=generator) * 255
        smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
        images = smooth.byte().permute(0, 2, 3, 1).contiguous().numpy()
        found = runtime.classes(images)
        if found.shape != images.shape[:3]:
            raise ModelFileError(f"gives ids of shape {found.shape} for images of {images.shape[:3]}", where=name)
        with torch.inference_mode():
            expected = network.logits(torch.from_numpy(images), text)
        if network.with_logits:
            _check_logits(name, runtime.logits(images), expected.numpy())
        chosen = expected.gather(1, torch.from_numpy(found.astype(np.int64))[:, None])[:, 0]
        equal += int((expected.amax(dim=1) - chosen <= TOLERANCE).sum())
        total += found.size
    if equal < AGREEMENT * total:
        raise ModelFileError(
            f"the exported graph agrees with PyTorch on {equal / total:.2%} of the pixels only",
            where=name,
            fix=FIX,
        )
    return equal / total


def _other(own: Tensor, index: int) -> Tensor:
    """Return other vocabularies than a file's own (K, D): itself, in another order, of more names, of fewer."""
    mixed = normalize(own + own.roll(1, dims=0), dim=-1)
    return (own, own.flip(0), torch.cat([own, mixed]), own[: (len(own) + 1) // 2], mixed)[index]


def _check_logits(name: Path, found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    if found.shape != expected.shape:
        raise ModelFileError(f"gives logits of shape {found.shape} in place of {expected.shape}", where=name, fix=FIX)
    worst = float(np.abs(found - expected).max())
    if not worst <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelFileError(f"the exported logits differ from PyTorch's by up to {worst:.3g}", where=name, fix=FIX)
