"""A method and a loss for bridgeseg in one file: `bridgeseg train --method gather --set loss.focal.weight=1`."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import Settings, register_loss, register_method
from bridgeseg.models.base import Guidance, Guided, Parts, Site, Visual
from bridgeseg.training.losses import Labelled


class GatherConfig(Settings):
    """What `--set model.gather.KEY=VALUE` takes."""

    dim: Annotated[int, Field(ge=8, le=1024)] = 32


@register_method("gather", about="every pixel gathers what the classes that it resembles say", settings=GatherConfig)
def gather(settings: GatherConfig, site: Site) -> Parts:
    """Build the method for a backbone, a number of classes and a width of class embeddings."""
    return Parts(Gather(site.backbone.channels[3], site.text_dim, settings.dim))


class Gather(Guidance):
    """Join to the last features, at every pixel, the mean of the classes weighted by their similarity to it."""

    def __init__(self, channels: int, text_dim: int, dim: int) -> None:
        super().__init__()
        self.added = (0, 0, 0, dim)  # channels that come to the features at strides 4, 8, 16, 32
        self.token_dim = dim
        self.pixels = nn.Conv2d(channels, dim, 1)
        self.classes = nn.Linear(text_dim, dim)

    def forward(self, features: list[Tensor], class_embeddings: Tensor, visual: Visual | None = None) -> Guided:
        """Map features [(B, C_i, h_i, w_i)], finest first, and class embeddings (K, D) to what the decoder reads."""
        pixels, classes = self.pixels(features[3]), self.classes(class_embeddings)
        size = pixels.shape[-2:]
        scores = F.normalize(classes, dim=-1) @ F.normalize(pixels, dim=1).flatten(2) / 0.07  # (B, K, h*w)
        gathered = (classes.T @ scores.softmax(dim=1)).reshape(pixels.shape)
        joined = torch.cat([features[3], gathered], dim=1)
        tokens = classes.expand(len(pixels), -1, -1)
        return Guided([*features[:3], joined], tokens, scores.reshape(*scores.shape[:2], *size))

    def fold(self, class_embeddings: Tensor, keep_tokens: bool = True) -> Tensor:
        """Replace the projection of the text by what it gives: the exported file needs no more."""
        with torch.no_grad():
            classes: Tensor = self.classes(class_embeddings)
        self.classes = nn.Identity()
        return classes


class FocalConfig(Settings):
    """What `--set loss.focal.KEY=VALUE` takes; `weight` is its share of the loss."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    gamma: Annotated[float, Field(ge=0)] = 2.0


@register_loss("focal", settings=FocalConfig)
def focal(pixels: Labelled, settings: FocalConfig) -> Tensor:
    """Return the focal loss (Lin et al., arXiv 1708.02002), the mean over all labelled pixels of the batch."""
    right = pixels.probabilities.gather(1, pixels.labels[:, None]).clamp(min=1e-6)
    losses = -((1 - right) ** settings.gamma) * right.log()
    count = pixels.total(torch.tensor(float(losses.numel()), device=losses.device))
    return pixels.total(losses.sum()) / count.clamp(min=1)
