"""Small networks for tests: a backbone of 80,000 parameters, random class embeddings, warmed-up batch norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import ModelConfig

BACKBONE = "test_efficientnet"
TEXT_DIM = 37
"""Width of the class embeddings: a size that no layer of the tiny networks has of its own."""


def embeddings(classes: int, dim: int = TEXT_DIM, seed: int = 0) -> Tensor:
    """Random class embeddings (K, D) of unit length."""
    return F.normalize(torch.randn(classes, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settle(network: nn.Module, *inputs: Any) -> None:
    """Give the batch norms the statistics of the inputs, then switch to evaluation.

    Fresh batch norms let signals of a deep network fade in evaluation mode, and a test on faded signals proves little.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def make_network(config: ModelConfig, classes: int = 5, seed: int = 0) -> Segmentor:
    """A settled network in evaluation mode."""
    torch.manual_seed(seed)
    network = build(config, classes, None if config.method == "none" else embeddings(classes))
    settle(network, noise(4, 3, 64, 64))
    return network
