"""Method, backbone and decoder names -> a configured network."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.models.backbone import Backbone
from bridgeseg.models.decoder import LightDecoder, SemanticFPN
from bridgeseg.models.guidance.bridge import TwoWayBridge
from bridgeseg.models.heads import LinearHead, PixelTextHead
from bridgeseg.models.segmentor import Segmentor

METHODS = {
    "none": "Semantic FPN, no language: the baseline",
    "bridge": "two-way bridge between pixels and class embeddings (Jin & Yang)",
}
DECODERS: dict[str, type[LightDecoder] | type[SemanticFPN]] = {"light": LightDecoder, "fpn": SemanticFPN}


class BridgeConfig(BaseModel):
    """Size of the two-way bridge (see `TwoWayBridge`)."""

    model_config = ConfigDict(extra="forbid")

    dim: int = Field(default=128, ge=8)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    expand: int = Field(default=2, ge=1)
    stride: Literal[16, 32] = 16


class ModelConfig(BaseModel):
    """Everything that fixes the architecture.

    Attributes:
        method: how language guides the network, a key of `METHODS`.
        backbone: a timm name.
        decoder: "light" (for CPUs) or "fpn" (Semantic FPN).
        width: channels of the decoder; None takes the decoder's default (64 for light, 128 for fpn).
        dropout: on the decoder's output, in training.
        head: "pixel-text", "linear", or "auto": pixel-text for guided methods, linear for `none`.
        bridge: size of the bridge, used by method `bridge`.
    """

    model_config = ConfigDict(extra="forbid")

    method: str = "bridge"
    backbone: str = "efficientnet_lite0"
    decoder: str = "light"
    width: int | None = Field(None, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)
    head: Literal["auto", "linear", "pixel-text"] = "auto"
    bridge: BridgeConfig = BridgeConfig()


def build(
    config: ModelConfig, classes: int, class_embeddings: Tensor | None = None, backbone_weights: str | None = None
) -> Segmentor:
    """Build a network.

    Args:
        config: the architecture.
        classes: number of classes K, at least 1.
        class_embeddings: (K, D) unit vectors; needed by every method but `none`.
        backbone_weights: as in `Backbone`.

    Raises:
        ConfigError: an unknown name, or settings that do not fit together.
    """
    if config.method not in METHODS:
        raise ConfigError(f"no method {config.method!r}; {nearest(config.method, METHODS)}")
    if config.decoder not in DECODERS:
        raise ConfigError(f"no decoder {config.decoder!r}; {nearest(config.decoder, DECODERS)}")
    guided = config.method != "none"
    if guided and (class_embeddings is None or class_embeddings.shape[0] != classes):
        found = None if class_embeddings is None else class_embeddings.shape[0]
        raise ConfigError(
            f"method {config.method!r} needs one class embedding for each of {classes} classes, found {found}"
        )
    if not guided and config.head == "pixel-text":
        raise ConfigError("a pixel-text head needs language", fix="use method `bridge`, or head `linear`")
    backbone = Backbone(config.backbone, backbone_weights)
    channels = list(backbone.channels)
    guidance: TwoWayBridge | None = None
    if guided and class_embeddings is not None:
        size = config.bridge
        read = channels[2:] if size.stride == 16 else channels[3:]
        guidance = TwoWayBridge(read, class_embeddings.shape[1], size.dim, size.depth, size.heads, size.expand)
        channels[2 if size.stride == 16 else 3] += size.dim
    options = {} if config.width is None else {"width": config.width}
    decoder = DECODERS[config.decoder](channels, dropout=config.dropout, **options)
    linear = config.head == "linear" or guidance is None
    head: nn.Module = LinearHead(decoder.width, classes) if linear else PixelTextHead(decoder.width, config.bridge.dim)
    return Segmentor(backbone, guidance, decoder, head, class_embeddings if guided else None)
