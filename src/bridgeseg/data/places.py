"""Paths that a data.yaml names -> folders and files below the dataset's root; nothing outside it is searched.

Places are read as Ultralytics reads them: `path` counts from the folder of the yaml file, else from the working folder
or the folder of Ultralytics' datasets; `../train/images`, as Roboflow writes it, is `train/images` if there is nothing
else there. A `\\` stands for `/` where no file has it in its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from bridgeseg.data.fields import text_path
from bridgeseg.errors import DataError
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

_SETTINGS = Path("~/.config/Ultralytics/settings.json")
_MAX_SETTINGS = 1_000_000


class Layout(Protocol):
    """Where the files of a dataset are; see the attributes of `DataSpec`."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def root(self) -> Path: ...  # noqa: D102
    @property
    def splits(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102
    @property
    def masks_dir(self) -> str: ...  # noqa: D102
    @property
    def mask_suffix(self) -> str: ...  # noqa: D102


def yaml_file(path: Path) -> Path:
    """Return `path`, or the data.yaml in it if it is a folder."""
    try:
        return path / "data.yaml" if path.is_dir() else path
    except OSError as error:
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix="check path and permissions") from error


def root_folder(given: Any, path: Path) -> Path:
    """Return the resolved root: the key `path` of the yaml file at `path`."""
    text = "." if given is None else text_path(given, "path", path)
    here = path.resolve().parent
    try:
        for folder in (here, Path.cwd(), *_ultralytics()):
            for spelling in _spellings(text):
                root = (folder / Path(spelling).expanduser()).resolve()
                if root.is_dir():
                    return root
    except (OSError, RuntimeError) as error:
        raise DataError(f"`path` cannot be followed: {shown(error)}", where=path, fix="write `path: .`") from error
    raise DataError(
        f"`path` is {shown(text)}, that is {here / text}, which is no folder",
        where=path,
        fix="`path` counts from the folder of the yaml file: write `path: .` if the images lie next to it",
    )


def _ultralytics() -> Iterator[Path]:
    """Give the folder in which Ultralytics keeps datasets, if it has been told one on this machine."""
    try:
        folder = json.loads(read_text(_SETTINGS.expanduser(), _MAX_SETTINGS))["datasets_dir"]
        if isinstance(folder, str) and Path(folder).is_absolute():
            yield Path(folder)
    except (DataError, ValueError, KeyError, TypeError, RuntimeError):
        return


def _spellings(text: str) -> tuple[str, ...]:
    return (text, text.replace("\\", "/")) if "\\" in text else (text,)


def exists(path: Path) -> bool:
    """Return whether there is such a path; False too for one that cannot be followed."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def locate(folder: Path, place: str) -> Path:
    """Return the path that a place written in a file means, whether or not something is there."""
    for spelling in _spellings(place):
        inner = spelling.removeprefix("../")
        for text in dict.fromkeys((spelling, inner)):
            if exists(folder / text):
                return folder / text
    return folder / _spellings(place)[-1]


def inside_root(root: Path, path: Path) -> Path:
    """Return `path` without `..`; refused if it, or the folder that it really is in, lies outside the root.

    The last part of a file's path may be a link: datasets made of linked files are common, and such a link is made by
    whoever owns the dataset's folder, not by the yaml file.
    """
    clean = Path(os.path.normpath(path))
    try:
        is_folder = clean.is_dir()
        folder = (clean if is_folder else clean.parent).resolve()
    except (OSError, RuntimeError) as error:
        message = f"{shown(str(path))} cannot be followed: {shown(error)}"
        raise DataError(message, fix="correct the path or the link") from error
    if not folder.is_relative_to(root):
        real = folder if is_folder else folder / clean.name
        message = f"{shown(str(path))} leads outside the dataset root {root}, to {shown(str(real))}"
        raise DataError(message, fix="let `path` name a folder that holds images and masks of all splits")
    if clean.is_relative_to(root):
        return clean
    return folder if is_folder else folder / clean.name


def wider_root(layout: Layout) -> str:
    """Return the lines of a data.yaml whose root holds all places that there are, those outside of the root too."""
    found = {split: [locate(layout.root, place) for place in given] for split, given in layout.splits.items()}
    named = {split: [path.resolve() for path in paths] for split, paths in found.items() if all(map(exists, paths))}
    common = Path(os.path.commonpath([layout.root, *(path for paths in named.values() for path in paths)]))
    lines = [f"`path: {json.dumps(os.path.relpath(common, layout.path.resolve().parent))}`"]
    for split, paths in named.items():
        written = json.dumps([path.relative_to(common).as_posix() for path in paths])
        lines.append(f"`{split}: {written}`")
    return ", ".join(lines)


def nowhere(layout: Layout, split: str, place: str) -> DataError:
    """Describe a place of a split that is nowhere, under no spelling."""
    fix = "correct it"
    if len(layout.splits[split]) > 1:
        fix = f"correct it, or take it out of the list `{split}`"
    elif split == "val" and "train" in layout.splits:
        fix = "remove the line `val`, and write `val_share: 0.1`, which takes it from train; or correct it"
    elif len(layout.splits) > 1:
        fix = f"correct it, or remove the line `{split}`"
    message = f"{shown(place)} is missing: there is neither a folder nor a .txt file of this name in {layout.root}"
    return DataError(message, fix=fix)


def mask_folder(root: Path, image: Path, masks_dir: str) -> Path:
    """Return the folder of the mask of an image: `images` in its path becomes `masks_dir`."""
    parts = list(image.relative_to(root).parts[:-1])
    if "images" not in parts:
        message = f"{shown(str(image.relative_to(root)))} has no folder named 'images' in its path"
        fix = f"put images below images/ and masks below {masks_dir}/, in the same subfolders"
        raise DataError(message, fix=fix)
    last = len(parts) - 1 - parts[::-1].index("images")
    return root.joinpath(*parts[:last], masks_dir, *parts[last + 1 :])
