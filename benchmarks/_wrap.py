"""What puts any network behind the interface of our files: uint8 pixels in, class ids out. Needs PyTorch only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of RGB in 0..1."""


class FromPixels(nn.Module):
    """Puts a peer behind the interface of our own files.

    Args:
        network: takes normalised images (B, 3, H, W).
        mean, std: of RGB in 0..1.
        finish: what the network returns -> what the file returns.
    """

    with_logits = takes_names = False

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        finish: Callable[[Any], Tensor],
    ) -> None:
        super().__init__()
        self.network, self.finish, self.shifted = network, finish, any(mean)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise uint8 RGB (B, H, W, 3), run the network, finish."""
        pixels = image.permute(0, 3, 1, 2).float()
        return self.finish(self.network((pixels - self.mean if self.shifted else pixels) / self.std))


def to_ids(logits: Tensor, stride: int) -> Tensor:
    """Turn logits (B, K, H/stride, W/stride) into class ids (B, H, W) uint8, with our own upsampling and argmax."""
    if stride > 1:
        logits = F.interpolate(logits, scale_factor=float(stride), mode="bilinear")
    return logits.argmax(dim=1).to(torch.uint8)


def from_pixels(
    network: nn.Module, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> FromPixels:
    """Wrap a network that returns logits (B, K, h, w); their stride is found by trying."""
    with torch.no_grad():
        stride = 128 // network.eval()(torch.zeros(1, 3, 128, 128)).shape[-1]
    return FromPixels(network, mean, std, partial(to_ids, stride=stride))


def settle(network: nn.Module) -> Any:
    """Set the batch norms from two random images.

    Without it, activations of random weights shrink layer by layer, and a CPU slows down on numbers close to zero.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 128, 128))
    return network.eval()
