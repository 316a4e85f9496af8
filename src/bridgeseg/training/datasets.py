"""The datasets of a run, as its settings name them; found before the libraries that train load."""

from __future__ import annotations

from collections.abc import Sequence

from bridgeseg.classes import ClassSet
from bridgeseg.data.joining import Joined, join, load_specs
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.origin import Origin, find
from bridgeseg.vocabulary.asked import asked


def load_joined(config: TrainConfig, origin: Origin | None = None) -> Joined:
    """Load the datasets of a run and bring them to one vocabulary, behind the names that are kept.

    Args:
        config: the settings.
        origin: what the run went on from, if that is known already.

    Raises:
        ConfigError: names are to be kept, and there are none or no dataset leaves anything unlabelled.
        DataError: see `DataSpec.load` and `join`.
        ModelFileError: see `find`.
    """
    specs = load_specs(config.datasets, config.val_share)
    return together(specs, config, origin)


def together(specs: Sequence[DataSpec], config: TrainConfig, origin: Origin | None = None) -> Joined:
    """Bring datasets that are loaded to one vocabulary; see `load_joined`."""
    names = asked(config.names) if config.names else None
    return join(specs, config.same, config.parts, kept_classes(config, specs, origin), names)


def kept_classes(config: TrainConfig, specs: Sequence[DataSpec], origin: Origin | None = None) -> ClassSet | None:
    """Return the classes of the network that a run goes on from, if they are to stay; see `load_joined`."""
    partial = any(spec.partial for spec in specs)
    if config.init is None or config.keep is False or (config.keep is None and not partial):
        return None
    origin = origin or find(config.init)
    if not partial:
        raise ConfigError(
            "no dataset says that it leaves something unlabelled, so that no pixel can teach the names that are kept",
            where="keep",
            fix="write in the data.yaml what is labelled, such as `labelled: [helmet]`, or leave `keep` out",
        )
    if origin.classes is None and config.keep:
        fix = "give `init` a run or checkpoint folder"
        raise ConfigError(f"a file of weights alone says no names that could be kept: {origin.weights}", fix=fix)
    return origin.classes
