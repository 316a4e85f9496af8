"""Settings of `build`, beside those of the network that trainings have, too."""

from __future__ import annotations

from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting, settings_of
from bridgeseg.settings.train import TrainConfig


class Build(CommandSettings):
    """Build a network for a training loop of your own: a plain `torch.nn.Module`, as `train` makes it.

    `network.normalise` takes images of 0 to 255, float or uint8 (B, 3, H, W), to what it reads; `network.logits` gives
    logits (B, K, H, W) of these. `bridgeseg.save` writes a checkpoint of it for `load`, `evaluate` and `export`.

    Returns:
        The network, in training mode; random numbers come from PyTorch's global generator.

    Raises:
        InputError: an unknown name, settings that do not go together, or weights or a text encoder that are not here.
        MissingDependencyError: the train extra is not installed.

    >>> network = bridgeseg.build(["road", "car"], method="none", backbone_weights=None)  # doctest: +SKIP
    >>> network.logits(network.normalise(torch.zeros(1, 3, 64, 96))).shape  # doctest: +SKIP
    torch.Size([1, 2, 64, 96])
    """

    classes: Annotated[
        Any,
        setting(
            "names of the classes, with phrases for the text encoder if you like: `road, person=pedestrian|person`, a "
            "list, or a YAML file; for a method without language their number is enough",
            python="Names | int",
        ),
    ]


OTHERS = tuple(
    item.key
    for item in settings_of(TrainConfig)
    if not item.key.startswith("model.") and item.key not in ("backbone_weights", "text_encoder", "templates")
)
"""Settings of a training that say nothing of its network."""
