"""Settings whose defaults depend on what is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgeseg.data.joining import Joined
from bridgeseg.extend import METHODS
from bridgeseg.models.check import AUTO
from bridgeseg.settings.train import TrainConfig

SHARE = 0.5
"""Share of the weights of `init` in a network that keeps its names: docs/results.md, a class from ten images."""
NORMS = 0.5
"""Share of the steps after which batch norms keep their statistics on several datasets: docs/results.md, a name left
out."""


def settled_head(config: TrainConfig, joined: Joined, state: Mapping[str, Any] | None = None) -> TrainConfig:
    """Return the settings with `model.head` in place of `auto`, where every class has labels.

    There a classifier that no image has a say in is better (docs/ablations.md, the head). What goes on from another
    network keeps its head; the run folder keeps the setting as it was given.

    Args:
        config: the settings.
        joined: the datasets.
        state: of a run that goes on; one that was begun with the head of before keeps it.
    """
    found = METHODS.get(config.model.method).labelled_head
    if state is not None and "segmentor.head.project.weight" in state["state_dict"]:
        return config
    if config.model.head != AUTO or found is None or config.init is not None or not joined.plain:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"head": found})})


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
