"""What can be chosen by name, and how a package of its own adds to it: methods, decoders, heads, losses, text encoders.

Each built-in one lies in a file of its own that registers it. Nothing here needs torch, so that names can be listed and
checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from bridgeseg.registry import Registry, modules

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bridgeseg.models.base import Head, Parts, Site
    from bridgeseg.text.base import TextEncoder

F = TypeVar("F", bound=Callable[..., Any])
GUIDANCE, DECODER = "bridgeseg.models.guidance", "bridgeseg.models.decoders"


class Settings(BaseModel):
    """Base of the settings that a method or loss has of its own; unknown keys are refused. By itself: no settings."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Method:
    """How language guides a network; see `register_method`."""

    name: str
    build: Callable[[Any, Site], Parts]
    about: str
    settings: type[Settings]
    needs_text: bool
    unit_length: bool
    aux_at: Literal["cells", "pixels"]
    head: str | None
    labelled_head: str | None
    reads_pool: bool


@dataclass(frozen=True)
class HeadKind:
    """How pixel features become logits; see `register_head`."""

    build: Callable[[int, int, int], Head]
    needs_tokens: bool


@dataclass(frozen=True)
class Loss:
    """A term of the loss; see `register_loss`."""

    term: Callable[..., Tensor]
    settings: type[Settings] | None


METHODS: Registry[Method] = Registry("method", "bridgeseg.methods", modules(GUIDANCE))
_PEERS: dict[str, str] = import_module(DECODER).PEERS
DECODERS: Registry[Callable[..., nn.Module]] = Registry(
    "decoder",
    "bridgeseg.decoders",
    modules(DECODER) | {name: f"{DECODER}.{file}" for name, file in _PEERS.items()},
)
HEADS: Registry[HeadKind] = Registry(
    "head",
    "bridgeseg.heads",
    {name.replace("_", "-"): module for name, module in modules("bridgeseg.models.heads").items()},
)
LOSSES: Registry[Loss] = Registry("loss", "bridgeseg.losses", modules("bridgeseg.training.losses"))
ENCODERS: Registry[Callable[[str], TextEncoder]] = Registry(
    "kind of text encoder", "bridgeseg.text_encoders", modules("bridgeseg.text.encoders")
)

DEFAULT_METHOD: str = import_module(GUIDANCE).DEFAULT
REFERENCES: tuple[str, ...] = import_module(GUIDANCE).REFERENCES
"""Methods that others are compared with."""
BASELINE = REFERENCES[0]
"""The one among them that latencies, times and class scores are compared with."""
DEFAULT_DECODER: str = import_module(DECODER).DEFAULT
PEERS: tuple[str, ...] = tuple(_PEERS)
"""Decoders of other libraries, to compare with."""


def register_method(
    name: str,
    *,
    about: str,
    settings: type[Settings] = Settings,
    needs_text: bool = True,
    unit_length: bool = True,
    aux_at: Literal["cells", "pixels"] = "cells",
    head: str | None = "linear",
    labelled_head: str | None = None,
    reads_pool: bool = False,
) -> Callable[[F], F]:
    """Register a function `build(settings, site) -> Parts` as a method.

    Args:
        name: what `--method` takes; the group of its settings has the same name: `model.NAME.KEY`.
        about: one line on what it does.
        settings: class of its settings.
        needs_text: whether it needs class embeddings.
        unit_length: whether learned class embeddings are brought to unit length.
        aux_at: where `loss.aux_at: auto` takes the auxiliary loss of its score map.
        head: name of the head that `auto` stands for; None if its `Parts` bring a head of their own.
        labelled_head: that of a training on one dataset that labels all its classes, if another.
        reads_pool: whether it reads the embedding of images that CLIP's own backbones offer.

    Raises:
        ConfigError: the name is taken.
    """

    def decorate(build: F) -> F:
        found = Method(name, build, about, settings, needs_text, unit_length, aux_at, head, labelled_head, reads_pool)
        METHODS.add(name, found, build)
        return build

    return decorate


def register_decoder(name: str) -> Callable[[F], F]:
    """Register a class of decoders, `Decoder(channels, *, dropout, width=...)`, a torch module.

    `channels` are the widths of the features at strides 4, 8, 16 and 32. Its `forward` maps a list of these features,
    finest first, to pixel features (B, width, H/4, W/4), signed, and its attribute `width` is their number.

    Attributes of the class ask for something else: `stride` says which stride its pixel features have, if not 4, and
    `strides` which features it wants: those at (2, 4, 8, 16, 32), or at (4, 8, 16, 16), of a backbone whose last stage
    is dilated. Methods that guide the features see the last four. `norms_whole_images = True` says that a batch norm of
    it gets one value from each image, so that a batch of one cannot be trained on.

    Raises:
        ConfigError: the name is taken.
    """
    return DECODERS.register(name)


def register_head(name: str, *, needs_tokens: bool) -> Callable[[F], F]:
    """Register a function `build(width, classes, token_dim) -> Head`.

    Args:
        name: what `model.head` takes.
        needs_tokens: whether it needs class tokens, which a method without language does not have; `token_dim` is 0
            then.

    Raises:
        ConfigError: the name is taken.
    """

    def decorate(build: F) -> F:
        HEADS.add(name, HeadKind(build, needs_tokens), build)
        return build

    return decorate


def register_loss(name: str, *, settings: type[Settings] | None = None) -> Callable[[F], F]:
    """Register a function of `Labelled` pixels that returns a scalar as a term of the loss.

    Args:
        name: `loss.NAME` is its weight, 0 unless given.
        settings: class of its settings, with a field `weight`; `loss.NAME` is a group then, and the function takes the
            settings as its second argument.

    Raises:
        ConfigError: the name is taken.
    """

    def decorate(term: F) -> F:
        LOSSES.add(name, Loss(term, settings), term)
        return term

    return decorate


def register_encoder(scheme: str) -> Callable[[F], F]:
    """Register a class of text encoders, called with what follows `SCHEME:`; see `bridgeseg.text.base.TextEncoder`.

    Raises:
        ConfigError: the scheme is taken.
    """
    return ENCODERS.register(scheme)
