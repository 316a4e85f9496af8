"""What guidance is, to the network around it: levels and class embeddings in, levels that know of language out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Visual(NamedTuple):
    """Embedding of images in the space of the class embeddings, of any length.

    Attributes:
        pooled: of the whole image, (B, 1, D).
        dense: of every position, (B, D, h, w).
        level: index among the strides 4, 8, 16, 32 of the level whose grid `dense` has.
    """

    pooled: Tensor
    dense: Tensor
    level: int


class Guided(NamedTuple):
    """What guidance hands on.

    Attributes:
        levels: feature levels at strides 4, 8, 16, 32, some of them with more channels than before.
        tokens: class tokens, (B, K, d); None if the head does not read them.
        score_map: what the auxiliary loss trains, (B, K, h, w), a cosine over a temperature; None after `fold`.
    """

    levels: list[Tensor]
    tokens: Tensor | None
    score_map: Tensor | None


class Guidance(nn.Module, ABC):
    """Base of the methods that work between backbone and decoder.

    Attributes:
        added: channels that it adds to the four levels.
        token_dim: width of its tokens.
        reads_visual: whether it reads the visual embeddings of a CLIP backbone.
    """

    added: tuple[int, int, int, int]
    token_dim: int
    reads_visual: bool = False

    @abstractmethod
    def forward(self, levels: list[Tensor], class_embeddings: Tensor, visual: Visual | None = None) -> Guided:
        """Guide levels [(B, C_i, H/s_i, W/s_i)], finest first, by class embeddings (K, D)."""

    @abstractmethod
    def fold(self, class_embeddings: Tensor, keep_tokens: bool = True) -> Tensor:
        """Drop, for good, what only text and training need; return what `forward` takes for the embeddings from now on.

        Args:
            class_embeddings: what `forward` was called with, (K, D).
            keep_tokens: whether the head reads the tokens.
        """
