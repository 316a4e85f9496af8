"""The space of the class embeddings: what all names have in common taken off, and brought to a few dimensions.

Text encoders place all names in a narrow cone (CLIP's road scene names have cosines of 0.75 to 0.92). What names have
in common says nothing of which is which, so their mean is taken off first: of the classes at hand, which moves when a
name is added, or of a large fixed vocabulary, a constant of the text encoder.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError


class TextSpace(NamedTuple):
    """How a method is to see the class embeddings.

    Attributes:
        width: their width D; 0 without language.
        mean: whose mean is taken off: `classes`, those at hand, or `bank`.
        projection: `learned`, or `pca`, the principal directions of the bank.
        bank: (N, D) unit vectors of a large vocabulary; None where the constants will be loaded with the weights.
    """

    width: int
    mean: str = "classes"
    projection: str = "learned"
    bank: Tensor | None = None


class TextIn(nn.Module):
    """Class embeddings (K, D) -> class tokens (K, d): what sets the names apart, projected and normalised.

    What it knows of the bank are the buffers `centre` (D,) and `basis` (d, D), stored with the weights, so that a
    checkpoint does not need the bank.

    Args:
        space: see `TextSpace`.
        dim: width d of the tokens.

    Raises:
        ConfigError: a PCA of more dimensions than the bank has.
    """

    centre: Tensor | None
    basis: Tensor | None

    def __init__(self, space: TextSpace, dim: int) -> None:
        super().__init__()
        by_pca = space.projection == "pca"
        self.project = None if by_pca else nn.Linear(space.width, dim)
        self.norm = nn.LayerNorm(dim)
        self.register_buffer("centre", _centre(space) if space.mean == "bank" else None)
        self.register_buffer("basis", _basis(space, dim) if by_pca else None)

    def forward(self, class_embeddings: Tensor) -> Tensor:
        """(K, D) of unit length -> (K, d)."""
        mean = class_embeddings.mean(dim=0) if self.centre is None else self.centre
        apart = F.normalize(class_embeddings - mean, dim=-1)
        if self.basis is not None:
            apart = apart @ self.basis.T
        elif self.project is not None:
            apart = self.project(apart)
        tokens: Tensor = self.norm(apart)
        return tokens


def _centre(space: TextSpace) -> Tensor:
    return torch.zeros(space.width) if space.bank is None else space.bank.mean(dim=0)


def _basis(space: TextSpace, dim: int) -> Tensor:
    """Return the first principal directions of the bank around its mean, (d, D), long enough for tokens of unit scale.

    A direction and its opposite are the same; the sign is chosen that makes its largest number positive.
    """
    if space.bank is None:
        return torch.zeros(dim, space.width)
    apart = F.normalize(space.bank.double() - space.bank.double().mean(dim=0), dim=-1)
    most = min(len(apart) - 1, space.width)
    if dim > most:
        raise ConfigError(
            f"a PCA of {len(apart)} names in {space.width} dimensions has at most {most} directions, found {dim}",
            where="model.projection",
            fix=f"choose a width of at most {most}, an encoder with a bank, or `model.projection=learned`",
        )
    directions = torch.linalg.svd(apart, full_matrices=False).Vh[:dim]
    signs = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()
    basis: Tensor = (directions * signs * dim**0.5).float()
    return basis
