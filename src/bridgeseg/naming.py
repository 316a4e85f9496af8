"""What a model is called -> the file or folder that is meant: a path, a bundled model, a repository of the hub."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.description import CONFIG, SHIPPED, holds_model
from bridgeseg.hub.download import Kind, fetch
from bridgeseg.hub.repository import Repository, is_hub

STARTS = SHIPPED / "start"
"""Checkpoints to train on from, of bundled models whose files were made of other weights."""


def named(name: str | Path, prefer: Kind = "file") -> Path:
    """Return the file or folder that a name means.

    Args:
        name: a path; or `street`, `street-int8` or `open`, a bundled model, if no file, checkpoint or run here is
            called so; or `hf:OWNER/NAME`, with `@REVISION` if wanted, a repository of the Hugging Face hub: it is
            downloaded.
        prefer: `file` or `folder`, what to take where a name stands for an .onnx file and for a checkpoint.

    Raises:
        InputError: the model of a repository cannot be had; see `hub.download.fetch`.
    """
    if is_hub(name):
        return fetch(Repository.of(name), prefer)
    path = Path(name)
    if not _bundled(name):
        return path
    if prefer == "folder" and (SHIPPED / path / CONFIG).is_file():
        return SHIPPED / path
    bundled = SHIPPED / f"{path}.onnx"
    return bundled if bundled.is_file() else path


def start_of(name: str | Path) -> Path:
    """Return the folder or file that a training goes on from; names and errors are those of `named`."""
    own = STARTS / name
    return own if _bundled(name) and (own / CONFIG).is_file() else named(name, "folder")


def _bundled(name: str | Path) -> bool:
    """Whether a name may be that of a bundled model: it is no path, and no model of that name is here."""
    path = Path(name)
    return path.name == str(name) and not is_here(path)


def is_here(path: Path) -> bool:
    """Whether a model may be at a path: a file, or a folder that holds one; a dataset may be called `street`, too."""
    return holds_model(path) if path.is_dir() else path.exists()
