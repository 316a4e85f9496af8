"""Method, backbone and decoder names -> a configured network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.models.backbone import Backbone
from bridgeseg.models.decoder import LightDecoder, SemanticFPN
from bridgeseg.models.guidance.base import Guidance
from bridgeseg.models.guidance.bridge import TwoWayBridge
from bridgeseg.models.guidance.denseclip import ContextAwarePrompting
from bridgeseg.models.heads import Head, LinearHead, LSegHead, PixelTextHead
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import ModelConfig

if TYPE_CHECKING:
    from bridgeseg.models.clip import CLIPBackbone

METHODS = {
    "none": "no language: the baseline",
    "lseg": "pixel embeddings against frozen class embeddings (LSeg)",
    "denseclip": "context-aware prompting: the image adjusts the class embeddings, their score map joins (DenseCLIP)",
    "bridge": "two-way bridge between pixels and class embeddings (Jin & Yang)",
}
DECODERS: dict[str, type[LightDecoder] | type[SemanticFPN]] = {"light": LightDecoder, "fpn": SemanticFPN}


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
    needs_text = config.method != "none"
    if needs_text and (class_embeddings is None or class_embeddings.shape[0] != classes):
        found = None if class_embeddings is None else class_embeddings.shape[0]
        raise ConfigError(
            f"method {config.method!r} needs one class embedding for each of {classes} classes, found {found}"
        )
    check_head(config)
    backbone = _backbone(config, backbone_weights)
    text_dim = 0 if class_embeddings is None else class_embeddings.shape[1]
    guidance = _guidance(config, backbone, classes, text_dim)
    added = (0, 0, 0, 0) if guidance is None else guidance.added
    channels = [width + more for width, more in zip(backbone.channels, added, strict=True)]
    options = {} if config.width is None else {"width": config.width}
    decoder = DECODERS[config.decoder](channels, dropout=config.dropout, **options)
    head = _head(config, guidance, decoder.width, classes, text_dim)
    return Segmentor(backbone, guidance, decoder, head, class_embeddings if needs_text else None)


def _backbone(config: ModelConfig, weights: str | None) -> Backbone | CLIPBackbone:
    if not config.backbone.startswith("open_clip:"):
        return Backbone(config.backbone, weights)
    from bridgeseg.models.clip import CLIPBackbone  # open_clip takes seconds to import

    backbone = CLIPBackbone(config.backbone, weights)
    if config.method != "denseclip":
        backbone.drop_pool()
    return backbone


def _guidance(config: ModelConfig, backbone: Backbone | CLIPBackbone, classes: int, text_dim: int) -> Guidance | None:
    channels, size = backbone.channels, config.bridge
    if config.method == "bridge":
        read = channels[2:] if size.stride == 16 else channels[3:]
        return TwoWayBridge(read, text_dim, size.dim, size.depth, size.heads, size.expand)
    if config.method == "denseclip":
        if isinstance(backbone, Backbone):
            return ContextAwarePrompting(channels[3], text_dim, classes)
        if backbone.embed_dim != text_dim:
            raise ConfigError(
                f"the image encoder {config.backbone!r} embeds in {backbone.embed_dim} dimensions, the text encoder in "
                f"{text_dim}; method `denseclip` needs both in one space",
                fix="take the text encoder of the same CLIP model, or a backbone of timm",
            )
        return ContextAwarePrompting(channels[3], text_dim, classes, backbone.level, own_pool=True)
    return None


def check_head(config: ModelConfig) -> None:
    """Check that method and head go together.

    Raises:
        ConfigError: they do not.
    """
    if config.method == "none" and config.head == "pixel-text":
        raise ConfigError("a pixel-text head needs language", fix="use method `bridge`, or head `linear`")
    if config.method == "lseg" and config.head != "auto":
        raise ConfigError(f"method `lseg` is its head, found head {config.head!r}", fix="leave the head at `auto`")


def _head(config: ModelConfig, guidance: Guidance | None, width: int, classes: int, text_dim: int) -> Head:
    if config.method == "lseg":
        return LSegHead(width, text_dim, config.lseg.blocks, config.lseg.kind)
    pixel_text = config.head == "pixel-text" or (config.head == "auto" and config.method == "bridge")
    if pixel_text and guidance is not None:
        return PixelTextHead(width, guidance.token_dim)
    return LinearHead(width, classes)
