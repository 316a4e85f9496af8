"""Finds the images of a split and the mask of each image; no folder outside the dataset's root is searched."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NoReturn

from bridgeseg.data.fields import text_path
from bridgeseg.data.yamlfile import read_text
from bridgeseg.errors import DataError
from bridgeseg.wording import shown

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
MAX_LIST_BYTES = 64_000_000


@dataclass(frozen=True, order=True)
class Sample:
    """One labelled picture: the image file and its mask file."""

    image: Path
    mask: Path


def yaml_file(path: Path) -> Path:
    """Return `path`, or the data.yaml in it if it is a folder."""
    try:
        return path / "data.yaml" if path.is_dir() else path
    except OSError as error:
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix="check path and permissions") from error


def root_folder(given: Any, path: Path) -> Path:
    """Return the resolved root: the key `path`, relative to the folder that the yaml file `path` is in."""
    text = "." if given is None else text_path(given, "path", path)
    try:
        root = (path.resolve().parent / Path(text).expanduser()).resolve()
        found = root.is_dir()
    except (OSError, RuntimeError) as error:
        raise DataError(f"`path` cannot be followed: {shown(error)}", where=path, fix="write `path: .`") from error
    if not found:
        raise DataError(
            f"`path` is {shown(text)}, that is {root}, which is no folder",
            where=path,
            fix="`path` counts from the folder of the yaml file: write `path: .` if the images lie next to it",
        )
    return root


def images(root: Path, places: Sequence[str], where: str) -> list[Path]:
    """Return the image files of a split, sorted.

    Args:
        root: resolved root of the dataset.
        places: folders (searched with all their subfolders) or .txt files with one image a line.
        where: what messages begin with.

    Raises:
        DataError: a place is missing, outside the root or without images, or a file is listed twice.
    """
    found: list[Path] = []
    for place in places:
        path = inside_root(root, root / place, where)
        if path.is_dir():
            found += _from_folder(path, where)
        elif path.suffix.lower() == ".txt" and path.is_file():
            found += _from_list(root, path, where)
        else:
            raise DataError(
                f"{shown(place)} is neither a folder nor a .txt file in {root}", where=where, fix="correct it"
            )
    found.sort()
    twice = sorted({_name(root, path) for path, after in itertools.pairwise(found) if path == after})
    if twice:
        raise DataError(
            f"{len(twice)} images are listed twice: {_first(twice)}", where=where, fix="list each image once"
        )
    return found


def pair(root: Path, images: Sequence[Path], masks_dir: str, where: str) -> list[Sample]:
    """Return each image with its mask: last folder `images` of its path replaced by `masks_dir`, same stem.

    Raises:
        DataError: no folder `images` in the path, masks missing, two masks for an image or two images for a mask.
    """
    stems: dict[Path, dict[str, list[str]]] = {}
    owners: dict[Path, Path] = {}
    missing: list[str] = []
    for image in images:
        folder = mask_folder(root, image.relative_to(root), masks_dir, where)
        if folder not in stems:
            stems[folder] = mask_stems(inside_root(root, folder, where), where)
        names = stems[folder].get(image.stem, [])
        if len(names) > 1:
            message = f"{_name(root, image)} has {len(names)} masks: {_first(names)}"
            raise DataError(message, where=where, fix="keep one of them")
        if not names:
            missing.append(f"{_name(root, image)} (no {_name(root, folder / image.stem)}.png)")
            continue
        mask = folder / names[0]
        other = owners.setdefault(mask, image)
        if other != image:
            message = f"{_name(root, other)} and {_name(root, image)} share the mask {_name(root, mask)}"
            raise DataError(message, where=where, fix="rename or remove one of the images")
    if missing:
        raise _no_masks(root, missing, len(images), masks_dir, where)
    return [Sample(image, mask) for mask, image in owners.items()]


def _no_masks(root: Path, missing: Sequence[str], total: int, masks_dir: str, where: str) -> DataError:
    polygons = (root / "labels").is_dir() and not (root / masks_dir).exists()
    return DataError(
        f"{len(missing)} of {total} images have no mask: {_first(missing)}",
        where=where,
        fix="labels/ seems to hold polygons, which are not read: draw them into PNG masks of class ids"
        if polygons
        else f"add the masks ({', '.join(MASK_SUFFIXES)}), or correct `masks_dir`, now {masks_dir!r}",
    )


def _from_folder(folder: Path, where: str) -> list[Path]:
    """Return the images of a folder and its subfolders; hidden files (`.x`, `._x.jpg`) are no images."""

    def stop(error: OSError) -> NoReturn:
        raise DataError(f"a folder cannot be read: {shown(error)}", where=where, fix="check its permissions") from error

    found: list[Path] = []
    others: set[str] = set()
    for current, folders, files in os.walk(folder, onerror=stop):
        for name in folders:
            if (link := Path(current, name)).is_symlink():
                message = f"{_name(folder, link)} in {folder} is a link to a folder, which is not followed"
                raise DataError(message, where=where, fix="link the files instead, or name the folder in the split")
        for name in files:
            suffix = PurePath(name).suffix.lower()
            if suffix in IMAGE_SUFFIXES and not name.startswith("."):
                found.append(Path(current, name))
            else:
                others.add(suffix or name)
    if not found:
        seen = f"; there are only files of other kinds: {_first(sorted(others))}" if others else ""
        raise DataError(f"no images in {folder}{seen}", where=where, fix=f"images are {', '.join(IMAGE_SUFFIXES)}")
    return found


def _from_list(root: Path, path: Path, where: str) -> list[Path]:
    """Return the images a .txt file names: `./x` counts from the file's own folder, all else from the root."""
    found, missing = [], []
    for line in read_text(path, MAX_LIST_BYTES).splitlines():
        text = line.strip()
        if not text:
            continue
        text_path(text, path.name, path)
        image = inside_root(root, (path.parent if text.startswith("./") else root) / text, str(path))
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f"{shown(text)} is no image", where=path, fix=f"images are {', '.join(IMAGE_SUFFIXES)}")
        found.append(image)
        if not image.is_file():
            missing.append(text)
    if missing:
        raise DataError(
            f"{len(missing)} of {len(found)} listed images do not exist: {_first(missing)}",
            where=path,
            fix=f"paths count from {root}, or from the list's own folder if they begin with ./",
        )
    if not found:
        raise DataError("the list names no images", where=path, fix="write one path a line")
    return found


def mask_folder(root: Path, image: Path, masks_dir: str, where: str) -> Path:
    """Return the folder of the mask of an image: `images` in its path becomes `masks_dir`."""
    parts = list(image.parts[:-1])
    if "images" not in parts:
        raise DataError(
            f"{shown(str(image))} has no folder named 'images' in its path, so its mask cannot be found",
            where=where,
            fix=f"put images below images/ and masks below {masks_dir}/, in the same subfolders",
        )
    last = len(parts) - 1 - parts[::-1].index("images")
    return root.joinpath(*parts[:last], masks_dir, *parts[last + 1 :])


def mask_stems(folder: Path, where: str) -> dict[str, list[str]]:
    """Return stem -> mask files of a folder (none if it does not exist)."""
    result: dict[str, list[str]] = {}
    try:
        entries = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise DataError(f"a folder cannot be read: {shown(error)}", where=where, fix="check its permissions") from error
    for name in entries:
        if PurePath(name).suffix.lower() in MASK_SUFFIXES and not name.startswith("."):
            result.setdefault(PurePath(name).stem, []).append(name)
    return result


def inside_root(root: Path, path: Path, where: str) -> Path:
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
        raise DataError(message, where=where, fix="correct the path or the link") from error
    if not folder.is_relative_to(root):
        real = folder if is_folder else folder / clean.name
        raise DataError(
            f"{shown(str(path))} leads outside the dataset root {root}, to {shown(str(real))}",
            where=where,
            fix="move the files below the root, or let `path` name a folder above both",
        )
    if clean.is_relative_to(root):
        return clean
    return folder if is_folder else folder / clean.name


def _name(root: Path, path: Path) -> str:
    """Return a path below the root for a message; characters that would break the line are escaped."""
    text = path.relative_to(root).as_posix()
    return text if text.isprintable() else repr(text)


def _first(items: Sequence[str], count: int = 5) -> str:
    return ", ".join(items[:count]) + (f", ... ({len(items) - count} more)" if len(items) > count else "")
