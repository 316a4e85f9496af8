"""What a training goes on from: found and read before the libraries that train load."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.description import CONFIG, SHIPPED, WEIGHTS, find_checkpoint, read_config
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.hub.download import pinned
from bridgeseg.hub.repository import is_hub
from bridgeseg.naming import start_of
from bridgeseg.settings.model import UNSAID
from bridgeseg.settings.values import flatten, load_values, set_values

TEXT = ("text_encoder", "templates")
"""Settings of a run, besides its architecture, that its weights go with."""

KINDS = "give `init` a run folder, a checkpoint folder, or a .safetensors file of a whole network"


@dataclass(frozen=True)
class Origin:
    """Weights to start from, and what is known of them.

    Attributes:
        weights: the safetensors file.
        folder: its checkpoint folder; None for a file alone, of which nothing more is known.
        classes: what its network knows.
        settings: of its training, with dotted keys: its architecture and text encoder.
    """

    weights: Path
    folder: Path | None = None
    classes: ClassSet | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that its network knows; none where that is not known."""
        return () if self.classes is None else self.classes.names


def find(init: str) -> Origin:
    """Find what the setting `init` means.

    Args:
        init: a run or checkpoint folder, a .safetensors file, `street`, `open`, or `hf:OWNER/NAME`.

    Raises:
        ModelFileError: there is nothing, or it is nothing to train on.
        InputError: the model of a repository cannot be had.
    """
    path = start_of(init).expanduser()
    if path.parent == SHIPPED and path.suffix == ".onnx":
        raise ModelFileError(
            f"`{init}` is a file, folded for prediction, that no training can go on from",
            fix="`init=street`, the network of the bundled street model in float",
        )
    if path.suffix == ".onnx":
        raise ModelFileError(
            "an exported file is folded for prediction and cannot be trained any further",
            where=init,
            fix="give `init` the run that it was exported from",
        )
    if path.name == WEIGHTS and (path.parent / CONFIG).is_file():
        path = path.parent
    if not path.is_file():
        try:
            return _of_folder(find_checkpoint(path))
        except ModelFileError as error:
            stopped = error.fix is not None and error.fix.startswith("finish it")
            raise ModelFileError(error.message, where=error.where, fix=error.fix if stopped else KINDS) from error
    if path.suffix != ".safetensors":
        raise ModelFileError(
            "is no .safetensors file, and files of other kinds are not read: they could run code",
            where=path,
            fix=KINDS,
        )
    return Origin(path)


def _of_folder(folder: Path) -> Origin:
    classes, values = read_config(folder)
    told = values["provenance"].get("config")
    text = dict(told) if isinstance(told, Mapping) else {}
    with suppress(ConfigError):  # a run folder has the places of files, which a checkpoint keeps to itself
        text |= load_values(folder.parent / "train.json")
    settings = {f"model.{key}": value for key, value in flatten(UNSAID | values["model"]).items()}
    settings |= {key: text[key] for key in TEXT if text.get(key) is not None}
    return Origin(folder / WEIGHTS, folder, classes, settings)


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run, nested; with `init`, those of its origin where none are given.

    What belongs to a method is taken with this method alone, and an architecture only with its backbone. A repository
    of the hub is named with the commit that it is at.

    Raises:
        ModelFileError: see `find`.
    """
    if not isinstance(init := given.get("init"), str) or init == "none":
        return dict(given)
    given = flatten(given)
    if is_hub(init):
        given["init"] = init = pinned(init, "folder")
    found = dict(find(init).settings)
    if given.get("model.backbone", found.get("model.backbone")) != found.get("model.backbone"):
        found = {key: value for key, value in found.items() if not key.startswith("model.")}
    method = found.get("model.method")
    if given.get("model.method", method) != method:
        shared = {f"model.{key}" for key in ("backbone", "decoder", "width", "dropout")}
        found = {key: value for key, value in found.items() if key in shared or key in TEXT}
    return set_values(found, given)
