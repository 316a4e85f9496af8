"""What the parts of a network are to each other, what a method is built from, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bridgeseg.models.text_space import TextSpace

STRIDES = (4, 8, 16, 32)
"""Strides of the features that every backbone gives, finest first."""


class Visual(NamedTuple):
    """Embedding of images in the space of the class embeddings, of any length.

    Attributes:
        pooled: of the whole image, (B, 1, D).
        dense: of every position, (B, D, h, w).
        level: index in `STRIDES` of the features whose grid `dense` has.
    """

    pooled: Tensor
    dense: Tensor
    level: int


class Backbone(nn.Module):
    """Base of the backbones: images -> features at strides 4, 8, 16 and 32.

    Attributes:
        name: what it was built from.
        strides: of the features, finest first: those of `STRIDES`, unless the decoder asks for others.
        channels: widths of the last four features, finest first, which a method may guide.
        finer: widths of the features before them, which only the decoder reads.
        mean, std: normalisation of RGB in 0..1 that the weights expect.
        embed_dim: width D of its own embedding of images in the space of a text encoder; None if it has none.
        level: index in `STRIDES` of the features that this embedding lies on.
    """

    name: str
    strides: tuple[int, ...] = STRIDES
    channels: list[int]
    finer: Sequence[int] = ()
    mean: tuple[float, ...]
    std: tuple[float, ...]
    embed_dim: int | None = None
    level: int = 3

    def features(self, images: Tensor) -> tuple[list[Tensor], Visual | None]:
        """Return the features, as `forward` gives them, and the backbone's own embedding of the images, if it has one.

        Args:
            images: (B, 3, H, W) normalised, H and W multiples of 32.
        """
        return self(images), None

    def drop_pool(self) -> None:
        """Remove, in place and for good, the parameters that only `features` reads."""


class Guided(NamedTuple):
    """What guidance hands on.

    Attributes:
        features: features at strides 4, 8, 16, 32, some of them with more channels than before.
        tokens: class tokens, (B, K, d); None if the head does not read them.
        score_map: what the auxiliary loss trains, (B, K, h, w), a cosine over a temperature; None after `fold`.
        words: class tokens before they have looked at an image, (1, K, d); None of a method that has none.
    """

    features: list[Tensor]
    tokens: Tensor | None
    score_map: Tensor | None
    words: Tensor | None = None


class Guidance(nn.Module, ABC):
    """Base of the modules that stand between backbone and decoder.

    Attributes:
        added: channels that it adds to the features at the four strides.
        token_dim: width of its tokens.
        gives_words: whether it hands on tokens that have not looked at an image.
        reads_visual: whether it reads the backbone's own embedding of the images.
    """

    added: tuple[int, int, int, int]
    token_dim: int
    gives_words: bool = False
    reads_visual: bool = False

    @abstractmethod
    def forward(self, features: list[Tensor], class_embeddings: Tensor, visual: Visual | None = None) -> Guided:
        """Guide features [(B, C_i, H/s_i, W/s_i)], finest first, by class embeddings (K, D)."""

    @abstractmethod
    def fold(self, class_embeddings: Tensor, keep_tokens: bool = True) -> Tensor:
        """Drop, for good, what only text and training need; return what `forward` takes for the embeddings from now on.

        Args:
            class_embeddings: what `forward` was called with, (K, D).
            keep_tokens: whether the head reads the tokens.
        """

    def temperatures(self) -> list[nn.Parameter]:
        """Return the parameters that `model.temperature: fixed` keeps at their first value."""
        return []


def guided_channels(backbone: Backbone, guidance: Guidance | None) -> list[int]:
    """Return the widths of the last four features as the decoder reads them, with what a method adds to them."""
    added = (0, 0, 0, 0) if guidance is None else guidance.added
    return [width + more for width, more in zip(backbone.channels, added, strict=True)]


class Head(nn.Module):
    """Base of the heads.

    Attributes:
        reads_tokens: whether `forward` looks at class tokens that have looked at the image.
        reads_words: whether it looks at those that have not.
    """

    reads_tokens = True
    reads_words = False

    def fold(self, tokens: Tensor, keep_tokens: bool = True) -> Tensor:
        """Drop what only text needs; return the tokens that `forward` takes from now on."""
        return tokens

    def settle(self, words: Tensor) -> None:
        """Make constants of what depends on class tokens (K, d) that look at no image, for good."""

    def temperatures(self) -> list[nn.Parameter]:
        """Return the parameters that `model.temperature: fixed` keeps at their first value."""
        return []


class Site(NamedTuple):
    """What a method is built for.

    Attributes:
        backbone: gives the features.
        classes: number of classes K.
        text: the space of the class embeddings.
    """

    backbone: Backbone
    classes: int
    text: TextSpace

    @property
    def text_dim(self) -> int:
        """Width D of the class embeddings; 0 without language."""
        return self.text.width


class Parts(NamedTuple):
    """What a method brings.

    Attributes:
        guidance: stands between backbone and decoder, if anything does.
        head: makes the head from the width of the pixel features, if the method has one of its own. Without guidance
            the head is called with the class embeddings (K, D) for tokens.
    """

    guidance: Guidance | None = None
    head: Callable[[int], Head] | None = None


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return what ends mixed precision for a block; nothing where there is none, so that exported graphs are plain."""
    mixed = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if mixed else nullcontext()
