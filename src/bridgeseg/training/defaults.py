"""Settings whose defaults depend on what is trained on."""

from __future__ import annotations

from typing import Any

from bridgeseg.data.joining import Joined
from bridgeseg.settings.train import TrainConfig

SHARE = 0.5
"""Share of the weights of `init` in a network that keeps its names: docs/results.md, a class from ten images."""
NORMS = 0.5
"""Share of the steps after which batch norms keep their statistics on several datasets: docs/results.md, a name left
out."""


def with_defaults(config: TrainConfig, joined: Joined) -> TrainConfig:
    """Return the settings with those that were left to the data; the run folder keeps them as they were given.

    Args:
        config: the settings; what was given stays as it is.
        joined: the datasets.
    """
    changes: dict[str, Any] = {}
    if config.init_share is None and joined.before:
        changes["init_share"] = SHARE
    if config.fix_norms is None and joined.several:
        changes["fix_norms"] = NORMS
    return config.model_copy(update=changes)
