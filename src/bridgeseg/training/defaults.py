"""Settings whose defaults depend on what is trained on."""

from __future__ import annotations

from typing import Any

from bridgeseg.settings.train import TrainConfig

SHARE = 0.5
"""Share of the weights of `init` in a network that keeps its names: docs/results.md, a class from ten images."""
NORMS = 0.5
"""Share of the steps after which batch norms keep their statistics on several datasets: docs/results.md, a name left
out."""


def settled_defaults(config: TrainConfig, *, several: bool, kept: bool) -> TrainConfig:
    """Return the settings with those that were left to the data.

    Args:
        config: the settings; what was given stays as it is.
        several: whether datasets are joined.
        kept: whether names of `init` are kept.
    """
    changes: dict[str, Any] = {}
    if config.init_share is None:
        changes["init_share"] = SHARE if kept else 0.0
    if config.fix_norms is None and several:
        changes["fix_norms"] = NORMS
    return config.model_copy(update=changes)
