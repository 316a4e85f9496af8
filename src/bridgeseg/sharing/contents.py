"""What of a model is given away: the files of a folder, each by name, without a place of this machine in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.description import CARD, CONFIG, WEIGHTS, find_checkpoint, read_config
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.files import digest
from bridgeseg.hub.download import ONNX
from bridgeseg.naming import named
from bridgeseg.runtime.metadata import check_provenance
from bridgeseg.runtime.model import Model
from bridgeseg.settings.push import Push

DRAWN = {"curves.png": "Learning curves", "iou.png": "IoU of each class", "confusion.png": "Confusions"}
"""What a run folder holds of pictures without images of the dataset in them."""
EXAMPLES = {"examples.png": "Image, truth and prediction"}
OURS = (CARD, CONFIG, WEIGHTS, ONNX, *DRAWN, *EXAMPLES)
"""All that is ever uploaded."""
SETTINGS = "train.json"
"""What tells a run folder from others."""


@dataclass(frozen=True)
class Contents:
    """A model, and which files of it are given away.

    Attributes:
        classes: its classes.
        provenance: where it comes from.
        files: name -> the file here; without config.json, which is written anew.
        config: what config.json is to say; None without a checkpoint.
        pictures: name -> what it shows.
    """

    classes: ClassSet
    provenance: Mapping[str, Any]
    files: Mapping[str, Path]
    config: Mapping[str, Any] | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the files into a folder that is there.

        Raises:
            InputError: one cannot be read or written.
        """
        try:
            for name, file in self.files.items():
                shutil.copyfile(file, folder / name)
            if self.config is not None:
                (folder / CONFIG).write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            fix = "free some space, or correct the rights of the file"
            raise InputError(f"cannot be copied: {error.strerror or error}", where=error.filename, fix=fix) from error


def contents(asked: Push) -> Contents:
    """Find what of a model is given away, and see whether it is whole.

    Raises:
        ConfigError: the .onnx file is of another network than the run, or one is given twice.
        ModelFileError: the model cannot be used.
    """
    place = named(asked.model, "folder")
    if place.suffix == ".onnx" and not place.is_dir():
        if asked.onnx is not None:
            raise ConfigError("`model` is an .onnx file already", where="onnx", fix="leave it out, or give the run")
        return _of_file(place)
    found = _of_folder(place, with_pictures=asked.with_pictures)
    if asked.onnx is None:
        return found
    file = _of_file(named(asked.onnx))
    if (other := _otherness(file, found)) is not None:
        fix = f"export it from this run: bridgeseg export --model {asked.model} --out FILE.onnx"
        raise ConfigError(other, where=str(asked.onnx), fix=fix)
    return Contents(found.classes, found.provenance, {**found.files, **file.files}, found.config, found.pictures)


def _otherness(file: Contents, run: Contents) -> str | None:
    """Say what tells the network of a file from that of a run; None if nothing does. An export has facts of its own."""
    if file.classes.names != run.classes.names:
        return f"its {len(file.classes)} classes are not the {len(run.classes)} of the run"
    for key in (file.provenance.keys() & run.provenance.keys()) - {"bridgeseg", "parameters"}:
        if file.provenance[key] != run.provenance[key]:
            return f"it is another network than that of the run: they differ in {key!r}"
    return None


def _of_file(path: Path) -> Contents:
    model = Model.load(path)
    if _without_places(model.provenance) != model.provenance:
        message = "its metadata names folders of the machine that made it"
        raise ModelFileError(message, where=path, fix="export it again with this version of bridgeseg")
    return Contents(model.classes, model.provenance, {ONNX: path})


def _of_folder(path: Path, *, with_pictures: bool) -> Contents:
    folder = find_checkpoint(path)
    classes, config = read_config(folder)
    check_provenance(config["provenance"], folder / CONFIG)
    if (wanted := config.get("sha256")) not in (None, digest(folder / WEIGHTS)):
        message = f"is not the file that was written: its SHA-256 is not {wanted}"
        raise ModelFileError(message, where=folder / WEIGHTS, fix="copy it again, or train again")
    config = {**config, "provenance": _without_places(config["provenance"])}
    run = next((place for place in (folder, folder.parent) if (place / SETTINGS).is_file()), None)
    drawn = {name: text for name, text in (DRAWN | (EXAMPLES if with_pictures else {})).items() if _has(run, name)}
    files = {WEIGHTS: folder / WEIGHTS, **{name: run / name for name in drawn if run is not None}}
    return Contents(classes, config["provenance"], files, config, drawn)


def _has(folder: Path | None, name: str) -> bool:
    return folder is not None and (folder / name).is_file() and not (folder / name).is_symlink()


def _without_places(value: Any) -> Any:
    """Return a JSON value whose absolute paths are names of files only: folders belong to this machine."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_places(inner) for inner in value]
    if isinstance(value, str) and (value.startswith("~") or PurePosixPath(value).is_absolute()):
        return PurePosixPath(value).name
    return PureWindowsPath(value).name if isinstance(value, str) and PureWindowsPath(value).is_absolute() else value
