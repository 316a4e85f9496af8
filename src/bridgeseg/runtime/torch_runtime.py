"""The network as it ships: raw pixels in, class ids out. What is exported to ONNX is this module, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import ConfigError
from bridgeseg.models.segmentor import Segmentor, cut, upsample
from bridgeseg.renaming import renamed, takes_names
from bridgeseg.runtime.runtimes import FolderRuntime, Greys, Ids, register_runtime
from bridgeseg.vocabulary.asked import Names


class DeployNetwork(nn.Module):
    """Normalisation, padding, network, upsampling and argmax in one graph.

    Args:
        segmentor: the network; put into evaluation mode and, unless it stays open, folded.
        with_logits: also return the logits at full size.
        approximate: decide once for every 2x2 pixels, at a quarter of the cost of upsampling and argmax.
        takes_names: let the class embeddings be a second input, with the text projection in the graph.

    Raises:
        ConfigError: both: logits at full size cost what `approximate` saves; or `approximate` of a network whose
            logits have that size.
    """

    def __init__(
        self, segmentor: Segmentor, with_logits: bool = False, approximate: bool = False, takes_names: bool = False
    ) -> None:
        super().__init__()
        if with_logits and approximate:
            raise ConfigError("approximate class ids have no logits at full size", fix="choose one of the two")
        if approximate and segmentor.stride == 1:
            fix = "leave `approximate` out"
            raise ConfigError("this network's logits have full size, so approximate class ids save nothing", fix=fix)
        self.segmentor, self.with_logits, self.takes_names = segmentor.eval(), with_logits, takes_names
        if not takes_names:
            segmentor.fold()
        self.side = 2 if approximate else 1  # of the square that one decision is for, in pixels

    def forward(
        self, image: Tensor, class_embeddings: Tensor | None = None, confidence: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """uint8 RGB (B, H, W, 3) -> class ids (B, H, W), uint8 (int32 above 256 classes), and logits (B, K, H, W).

        Class embeddings (K, D), if it takes names, are those of the names that the ids stand for; the type of the ids
        is that of its own names. With `confidence` this, uint8 (B, H, W), takes the place of logits.
        """
        pixels = self.segmentor.normalise(image.permute(0, 3, 1, 2))
        small = self.segmentor(pixels, class_embeddings).logits
        logits = upsample(small, self.segmentor.stride // self.side)
        own = self.segmentor.class_embeddings
        count = own.shape[0] if self.takes_names and own is not None else logits.shape[1]
        # the padding is cut from the ids, one number a pixel, not from K logits
        ids = cut(repeat(logits.argmax(dim=1).to(torch.uint8 if count <= 256 else torch.int32), self.side), pixels)
        if confidence:
            return ids, self._confidence(small, pixels)
        return (ids, cut(logits, pixels)) if self.with_logits else ids

    def logits(self, image: Tensor, class_embeddings: Tensor | None = None) -> Tensor:
        """uint8 RGB (B, H, W, 3) -> float32 logits (B, K, H, W) that the class ids are the argmax of."""
        pixels = self.segmentor.normalise(image.permute(0, 3, 1, 2))
        return self._large(self.segmentor(pixels, class_embeddings).logits, pixels)

    def logits_with_confidence(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 RGB (B, H, W, 3) -> logits as of `logits`, and confidence (B, H, W) uint8."""
        pixels = self.segmentor.normalise(image.permute(0, 3, 1, 2))
        small = self.segmentor(pixels).logits
        return self._large(small, pixels), self._confidence(small, pixels)

    def _large(self, maps: Tensor, pixels: Tensor) -> Tensor:
        return cut(repeat(upsample(maps, self.segmentor.stride // self.side), self.side), pixels)

    def _confidence(self, logits: Tensor, pixels: Tensor) -> Tensor:
        """Return the largest of the bilinear means of the probabilities as bytes, as exported files give it."""
        shares = self._large(logits.float().softmax(dim=1), pixels).amax(dim=1)
        return (shares * 255 + 0.5).to(torch.uint8)


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
            return _ids(ids)

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 (B, H, W, 3) -> float32 logits (B, K, H, W)."""
        with _threads(self.threads):
            result: NDArray[np.float32] = self.network.logits(self._on_device(images)).float().cpu().numpy()
        return result

    @property
    def confident(self) -> bool:
        """Whether it says how sure the network is: always."""
        return True

    @torch.inference_mode()
    def with_confidence(self, output: str, images: NDArray[np.uint8], /) -> tuple[Any, Greys]:
        """Return `classes` or `logits` of images as the methods of these names do, and confidence (B, H, W) uint8."""
        with _threads(self.threads):
            pixels = self._on_device(images)
            if output == "classes":
                ids, sure = self.network(pixels, confidence=True)
                return _ids(ids), sure.cpu().numpy()
            logits, sure = self.network.logits_with_confidence(pixels)
            return logits.float().cpu().numpy(), sure.cpu().numpy()

    def _on_device(self, images: NDArray[np.uint8]) -> Tensor:
        # PyTorch warns of arrays that may not be written to, such as Pillow's
        return torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)


@register_runtime("torch")
class TorchFolder(TorchRuntime, FolderRuntime):
    """A checkpoint or run folder in PyTorch, on the CPU; arguments as of `TorchRuntime` and `renaming.renamed`.

    Raises:
        ModelFileError: it is no checkpoint, or cannot be used.
        ConfigError: names that it cannot take.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int | None = None,
        *,
        compile: bool = False,
        names: Names | None = None,
        embeddings: str | Path | None = None,
    ) -> None:
        checkpoint = load_checkpoint(path)
        self.takes_names = takes_names(checkpoint)
        if names is not None or embeddings is not None:
            checkpoint = renamed(checkpoint, names, embeddings)
        super().__init__(checkpoint.segmentor, compile=compile, threads=threads)
        self.path, self.class_set, self.provenance = checkpoint.path, checkpoint.classes, checkpoint.provenance


def _ids(found: Tensor) -> Ids:
    array: Ids = found.cpu().numpy()
    return array if array.dtype == np.uint8 else array.astype(np.uint16)


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
