"""Architecture settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from bridgeseg.extend import DEFAULT_DECODER, DEFAULT_METHOD, METHODS, PEERS
from bridgeseg.settings.fields import NETWORK, setting
from bridgeseg.settings.values import refuse_unknown

MOST, MOST_BLOCKS = 2048, 64
"""Channels and blocks that a setting may ask for: a checkpoint of a stranger must not take all memory."""


UNSAID = {"text_space": "classes", "projection": "learned", "temperature": "learned"}
"""What these settings are in configurations that were written before there were any."""


class ModelConfig(BaseModel):
    """Everything that fixes the architecture.

    The settings of a method are a group of its name, `model.bridge.dim`. They are kept here as they were given;
    `bridgeseg.models.check.check_model` checks them by the method's own class and fills in what was not given.
    """

    model_config = ConfigDict(extra="allow")

    method: Annotated[
        str, setting(f"how language guides the network: {', '.join(METHODS.builtin)}", NETWORK, "--method")
    ] = DEFAULT_METHOD
    backbone: Annotated[
        str,
        setting(
            "any timm name with features at strides 4, 8, 16 and 32, or `open_clip:MODEL`, CLIP's",
            NETWORK,
            "--backbone",
        ),
    ] = "efficientnet_lite0"
    decoder: Annotated[
        str,
        setting(
            "`wide` for CPUs, `light` for the slowest, `fpn` for Semantic FPN; others to compare with: "
            + ", ".join(f"`{name}`" for name in PEERS),
            NETWORK,
            "--decoder",
        ),
    ] = DEFAULT_DECODER
    width: Annotated[
        int | None,
        setting("channels of the decoder; by default 128 of wide and fpn, 64 of light", NETWORK, ge=8, le=MOST),
    ] = None
    dropout: Annotated[float, setting("on the decoder's output, in training", NETWORK, ge=0, lt=1)] = 0.1
    head: Annotated[
        str,
        setting(
            "`text`, a classifier that is made of the names alone; `pixel-text`, the cosine of every pixel with names "
            "that have looked at the image; `linear`, without names; or `auto`: of the bridge `text` where one dataset "
            "labels all its classes, else `pixel-text`; of other methods their own",
            NETWORK,
            "--head",
        ),
    ] = "auto"
    text_space: Annotated[
        Literal["classes", "bank"],
        setting(
            "whose mean is subtracted from the class embeddings: `classes`, the current names, so that one more name "
            "moves all others; or `bank`, a large fixed vocabulary of the text encoder",
            NETWORK,
        ),
    ] = "classes"
    projection: Annotated[
        Literal["learned", "pca"],
        setting("of the class embeddings: `learned`, or `pca`, frozen principal directions of the bank", NETWORK),
    ] = "learned"
    temperature: Annotated[
        Literal["learned", "fixed"], setting("of logits and score map: `learned`, or `fixed` at 0.07", NETWORK)
    ] = "learned"

    @property
    def groups(self) -> dict[str, Any]:
        """Settings of methods, by the names of the methods."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _raw(cls, values: Any) -> Any:
        """Take the settings of a method as an object of their class, too."""
        if not isinstance(values, Mapping):
            return values
        return {key: value.model_dump() if isinstance(value, BaseModel) else value for key, value in values.items()}

    @model_validator(mode="after")
    def _known(self) -> ModelConfig:
        if self.model_extra:
            refuse_unknown(self, [*METHODS.names(), self.method])
        return self

    @classmethod
    def keys_of_groups(cls) -> dict[str, type[BaseModel]]:
        """Return the settings class of every method that can be imported, for suggestions in messages."""
        try:
            return {name: method.settings for name, method in METHODS.items()}
        except ImportError:  # without torch
            return {}
