"""What a checkpoint folder says of itself, read without PyTorch: which files it has, and its config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.errors import DataError, ModelFileError
from bridgeseg.files import OLD
from bridgeseg.wording import shown

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
SHIPPED = Path(__file__).parent / "weights"
"""Where the models are that come with this package."""


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint folder meant by a path: itself, or the best (else the last) one of a run folder.

    Of a checkpoint whose writer was killed at the worst moment the older one is found.

    Raises:
        ModelFileError: there is none.
    """
    path = Path(path)
    places = _places(path)
    if path.name:
        places.append(path.with_name(path.name + OLD))
    for folder in places:
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    if (path / "resume.ckpt").is_file():
        raise ModelFileError(
            "this run was stopped and has no checkpoint to use yet",
            where=path,
            fix=f"finish it: bridgeseg train --out {path} --resume",
        )
    raise ModelFileError(
        "holds no checkpoint (config.json and model.safetensors)" if path.is_dir() else "no such checkpoint folder",
        where=path,
        fix="give a run folder of `bridgeseg train`, its `best` or `last`, or an .onnx file",
    )


def _places(path: Path) -> list[Path]:
    return [path, *(path / name for name in ("best", "best" + OLD, "last", "last" + OLD))]


def holds_model(folder: Path) -> bool:
    """Whether a folder is a checkpoint or a run, finished or stopped."""
    return any((place / CONFIG).is_file() for place in _places(folder)) or (folder / "resume.ckpt").is_file()


def describe_folder(path: str | Path) -> dict[str, Any]:
    """Describe a checkpoint folder, or the best checkpoint of a run folder, by its config.json alone; see `facts`.

    Raises:
        ModelFileError: see `find_checkpoint` and `read_config`.
    """
    folder = find_checkpoint(path)
    classes, values = read_config(folder)
    return facts(folder, classes, values["provenance"])


def read_config(folder: Path) -> tuple[ClassSet, dict[str, Any]]:
    """Return the classes of a checkpoint folder and what else its config.json says: `model` (empty if it says nothing),
    `provenance`.

    Raises:
        ModelFileError: it is damaged, or was written by a newer version.
    """
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if (found := values["format"]) != FORMAT:
            message = f"has format {shown(found)}, this version reads {FORMAT}"
            raise ModelFileError(message, where=folder, fix="update bridgeseg")
        named = {"model": dict(values.get("model", {})), "provenance": dict(values["provenance"])}
        return ClassSet.from_dict(values["classes"]), dict(values) | named
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        fix = "copy it again, or train again"
        raise ModelFileError(f"is damaged ({shown(error)})", where=folder / CONFIG, fix=fix) from error


def facts(path: Path | None, classes: ClassSet, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of any model as a JSON-ready dict: path, bytes, parameters, classes, provenance."""
    names = zip(classes.names, classes.palette, classes.prompts, strict=True)
    return {
        "path": None if path is None else str(path),
        "bytes": path.stat().st_size if path is not None and path.is_file() else None,
        "parameters": provenance.get("parameters"),
        "classes": [
            {"id": index, "name": name, "colour": list(colour), "prompts": list(prompts)}
            for index, (name, colour, prompts) in enumerate(names)
        ],
        "provenance": provenance,
    }


def title(path: Path | None) -> str:
    """Return what a model is called: its file without the ending, or the run folder around its checkpoint."""
    if path is None:
        return "model"
    return path.resolve().parent.name if path.name in ("best", "last") else path.stem
