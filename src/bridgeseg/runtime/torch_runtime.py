"""The network as it ships: raw pixels in, class ids out. What is exported to ONNX is this module, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import ConfigError
from bridgeseg.models.segmentor import STRIDE, Segmentor, cut, upsample
from bridgeseg.runtime.runtimes import FolderRuntime, Ids, register_runtime


class DeployNetwork(nn.Module):
    """Normalisation, padding, network, upsampling and argmax in one graph.

    Args:
        segmentor: the network; put into evaluation mode and folded.
        with_logits: also return the logits at full size.
        approximate: decide once for every 2x2 pixels, at a quarter of the cost of upsampling and argmax.

    Raises:
        ConfigError: both: logits at full size cost what `approximate` saves.
    """

    def __init__(self, segmentor: Segmentor, with_logits: bool = False, approximate: bool = False) -> None:
        super().__init__()
        if with_logits and approximate:
            raise ConfigError("approximate class ids have no logits at full size", fix="choose one of the two")
        self.segmentor, self.with_logits = segmentor.eval().fold(), with_logits
        self.side = 2 if approximate else 1  # of the square that one decision is for, in pixels

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """uint8 RGB (B, H, W, 3) -> class ids (B, H, W), uint8 (int32 above 256 classes), and logits (B, K, H, W)."""
        pixels = self.segmentor.normalise(image.permute(0, 3, 1, 2))
        logits = upsample(self.segmentor(pixels).logits, STRIDE // self.side)
        # the padding is cut from the ids, one number a pixel, not from K logits
        ids = cut(
            repeat(logits.argmax(dim=1).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32), self.side), pixels
        )
        return (ids, cut(logits, pixels)) if self.with_logits else ids

    def logits(self, image: Tensor) -> Tensor:
        """uint8 RGB (B, H, W, 3) -> float32 logits (B, K, H, W) that the class ids are the argmax of."""
        pixels = self.segmentor.normalise(image.permute(0, 3, 1, 2))
        return cut(repeat(upsample(self.segmentor(pixels).logits, STRIDE // self.side), self.side), pixels)


def repeat(maps: Tensor, side: int) -> Tensor:
    """Make `side` x `side` pixels of each: (..., h, w) -> (..., side * h, side * w)."""
    if side == 1:
        return maps
    *front, height, width = maps.shape
    spread = maps[..., :, None, :, None].expand(*front, height, side, width, side)
    return spread.reshape(*front, height * side, width * side)


class TorchRuntime:
    """Runs a network in PyTorch behind the interface of the other runtimes.

    Args:
        segmentor: the network.
        device: where it runs.
        compile: let `torch.compile` translate it, once more for every size of image, which takes tens of seconds each
            and needs a C++ compiler; it pays for many images of few sizes. (One translation for all sizes fails in
            PyTorch 2.15: its inductor cannot do the remainder by 32 that the padding needs.)
        threads: CPU threads, set for the time of each call; None leaves PyTorch's own number.
    """

    def __init__(
        self,
        segmentor: Segmentor,
        device: str | torch.device = "cpu",
        compile: bool = False,
        threads: int | None = None,
    ) -> None:
        self.device, self.threads = torch.device(device), threads
        self.network = DeployNetwork(segmentor).to(self.device)
        if compile:
            self.network.compile(dynamic=False)

    @torch.inference_mode()
    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """uint8 (B, H, W, 3) -> class ids (B, H, W), uint8 (uint16 above 256 classes)."""
        with _threads(self.threads):
            ids: Tensor = self.network(self._on_device(images))
            array = ids.cpu().numpy()
        return array if array.dtype == np.uint8 else array.astype(np.uint16)

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 (B, H, W, 3) -> float32 logits (B, K, H, W)."""
        with _threads(self.threads):
            result: NDArray[np.float32] = self.network.logits(self._on_device(images)).float().cpu().numpy()
        return result

    def _on_device(self, images: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.device)


@register_runtime("torch")
class TorchFolder(TorchRuntime, FolderRuntime):
    """A checkpoint or run folder in PyTorch, on the CPU; arguments as of `TorchRuntime`.

    Raises:
        ModelFileError: it is no checkpoint, or cannot be used.
    """

    def __init__(self, path: str | Path, threads: int | None = None, *, compile: bool = False) -> None:
        checkpoint = load_checkpoint(path)
        super().__init__(checkpoint.segmentor, compile=compile, threads=threads)
        self.path, self.class_set, self.provenance = checkpoint.path, checkpoint.classes, checkpoint.provenance


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use so many threads; its number belongs to the whole process, so it is put back afterwards."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
