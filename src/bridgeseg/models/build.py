"""Architecture settings -> a network."""

from __future__ import annotations

from torch import Tensor

from bridgeseg.errors import ConfigError
from bridgeseg.extend import DECODERS, HEADS, METHODS
from bridgeseg.models.backbone import TimmBackbone
from bridgeseg.models.base import STRIDES, Backbone, Head, Parts, Site, guided_channels
from bridgeseg.models.check import AUTO, check_model, method_settings
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.models.text_space import TextSpace
from bridgeseg.models.weights import CLIP
from bridgeseg.settings.model import ModelConfig


def build(
    config: ModelConfig,
    classes: int,
    class_embeddings: Tensor | None = None,
    backbone_weights: str | None = None,
    bank: Tensor | None = None,
) -> Segmentor:
    """Build a network.

    Args:
        config: the architecture.
        classes: number of classes K, at least 1.
        class_embeddings: (K, D) unit vectors; needed by every method that language guides.
        backbone_weights: as in `TimmBackbone` and `CLIPBackbone`.
        bank: (N, D) unit vectors of a large vocabulary, whose mean or principal directions the network takes where
            `text_space` or `projection` says so; None for weights that are loaded, and these constants with them.

    Raises:
        ConfigError: an unknown name, or settings that do not fit together.
    """
    config = check_model(config)
    method = METHODS.get(config.method)
    if method.needs_text and (class_embeddings is None or class_embeddings.shape[0] != classes):
        found = None if class_embeddings is None else class_embeddings.shape[0]
        raise ConfigError(
            f"method {config.method!r} needs one class embedding for each of {classes} classes, found {found}"
        )
    make_decoder = DECODERS.get(config.decoder)
    backbone = make_backbone(config.backbone, backbone_weights, getattr(make_decoder, "strides", STRIDES))
    if not method.reads_pool:
        backbone.drop_pool()
    text_dim = 0 if class_embeddings is None else class_embeddings.shape[1]
    space = TextSpace(text_dim, config.text_space, config.projection, bank)
    parts = method.build(method_settings(config), Site(backbone, classes, space))
    guided = guided_channels(backbone, parts.guidance)
    options = {} if config.width is None else {"width": config.width}
    decoder = make_decoder([*backbone.finer, *guided], dropout=config.dropout, **options)
    head = _head(config, parts, decoder.width, classes)  # type: ignore[arg-type]
    if config.temperature == "fixed":
        for scale in [*head.temperatures(), *(parts.guidance.temperatures() if parts.guidance is not None else [])]:
            scale.requires_grad_(False)
    return Segmentor(backbone, parts.guidance, decoder, head, class_embeddings if method.needs_text else None)


def make_backbone(name: str, weights: str | None = None, strides: tuple[int, ...] = STRIDES) -> Backbone:
    """Build a backbone from a timm name or `open_clip:MODEL`, which has features at `STRIDES` only.

    Raises:
        ConfigError: it cannot give features at these strides; other errors are those of its class.
    """
    if not name.startswith(CLIP):
        return TimmBackbone(name, weights, strides)
    if strides != STRIDES:
        raise ConfigError(
            f"backbone {name!r} has features at strides {list(STRIDES)}, and the decoder wants {list(strides)}",
            fix="choose another decoder, or a backbone of timm",
        )
    from bridgeseg.models.clip import CLIPBackbone  # open_clip takes seconds to import

    return CLIPBackbone(name, weights)


def _head(config: ModelConfig, parts: Parts, width: int, classes: int) -> Head:
    if parts.head is not None:
        return parts.head(width)
    name = config.head if config.head != AUTO else METHODS.get(config.method).head
    if name is None:
        raise ConfigError(f"method {config.method!r} names no head and brings none")
    kind = HEADS.get(name)
    if kind.needs_tokens and parts.guidance is None:
        raise ConfigError(f"a {name} head needs class tokens, and method {config.method!r} gives none")
    made = kind.build(width, classes, 0 if parts.guidance is None else parts.guidance.token_dim)
    if made.reads_words and not (parts.guidance is not None and parts.guidance.gives_words):
        message = f"a {name} head needs class tokens that have not looked at an image; {config.method!r} gives none"
        raise ConfigError(message, fix="`model.head=pixel-text`")
    return made
