"""Architecture settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST, MOST_BLOCKS = 2048, 64
"""Channels and blocks that a setting may ask for: a checkpoint of a stranger must not take all memory."""


class BridgeConfig(BaseModel):
    """Size of the two-way bridge (see `TwoWayBridge`)."""

    model_config = ConfigDict(extra="forbid")

    dim: int = Field(default=64, ge=8, le=MOST)
    depth: int = Field(default=1, ge=1, le=MOST_BLOCKS)
    heads: int = Field(default=4, ge=1, le=MOST)
    expand: int = Field(default=2, ge=1, le=MOST_BLOCKS)
    stride: Literal[16, 32] = 16


class LSegConfig(BaseModel):
    """Spatial regularisation of LSeg's logits (see `LSegHead`)."""

    model_config = ConfigDict(extra="forbid")

    blocks: int = Field(default=0, ge=0, le=MOST_BLOCKS)
    kind: Literal["depthwise", "bottleneck"] = "bottleneck"


class ModelConfig(BaseModel):
    """Everything that fixes the architecture.

    Attributes:
        method: how language guides the network, a key of `METHODS`.
        backbone: a timm name.
        decoder: "light" (for CPUs) or "fpn" (Semantic FPN).
        width: channels of the decoder; None takes the decoder's default (64 for light, 128 for fpn).
        dropout: on the decoder's output, in training.
        head: "pixel-text", "linear", or "auto", the method's own: pixel-text for `bridge`, LSeg's for `lseg`, linear
            for `none` and `denseclip`.
        bridge: size of the bridge, used by method `bridge`.
        lseg: spatial regularisation, used by method `lseg`.
    """

    model_config = ConfigDict(extra="forbid")

    method: str = "bridge"
    backbone: str = "efficientnet_lite0"
    decoder: str = "light"
    width: int | None = Field(None, ge=8, le=MOST)
    dropout: float = Field(0.1, ge=0, lt=1)
    head: Literal["auto", "linear", "pixel-text"] = "auto"
    bridge: BridgeConfig = BridgeConfig()
    lseg: LSegConfig = LSegConfig()
