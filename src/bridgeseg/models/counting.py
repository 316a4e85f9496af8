"""Which parts of a network depend on the number of classes: those that do not serve any names."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from bridgeseg.hub.access import hub_access
from bridgeseg.models.build import build
from bridgeseg.settings.model import ModelConfig

TEXT_DIM = 16
"""Width of the class embeddings of the two networks that are compared."""
COUNTS = (5, 6)
"""Their numbers of classes."""


def class_dimensions(config: ModelConfig, text_dim: int = TEXT_DIM) -> dict[str, int]:
    """Return tensor of a network's state -> the dimension of it that is the number of classes.

    Two networks that differ in this number alone are built without memory, and their shapes compared. The class
    embeddings themselves are left out. For methods that take class embeddings of any number of classes nothing is left.

    Args:
        config: the architecture.
        text_dim: width D of the class embeddings, for methods that want a certain one.

    Raises:
        ConfigError: see `build`.
    """
    shapes = []
    with hub_access(needed=False) if ":" in config.backbone else nullcontext(), torch.device("meta"):
        for count in COUNTS:
            network = build(config, count, torch.zeros(count, text_dim))
            shapes.append({key: tuple(value.shape) for key, value in network.state_dict().items()})
    few, many = shapes
    return {
        key: next(place for place, (a, b) in enumerate(zip(few[key], many[key], strict=True)) if a != b)
        for key in few
        if key != "class_embeddings" and few[key] != many[key]
    }


def takes_any_names(config: ModelConfig, text_dim: int = TEXT_DIM) -> bool:
    """Say whether a network of this architecture takes the class embeddings of any names, in any number.

    Arguments and errors are those of `class_dimensions`.
    """
    return not class_dimensions(config, text_dim)
