"""Which pairs a dataset has, and everything that keeps images and masks from being paired."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from bridgeseg.checking.report import MOST_FILES, Finding, Severity, number, of_error, some
from bridgeseg.data import listing
from bridgeseg.data.fields import text_path
from bridgeseg.data.listing import IMAGE_SUFFIXES, MASK_SUFFIXES, MAX_LIST_BYTES, Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.yamlfile import read_text
from bridgeseg.errors import DataError
from bridgeseg.wording import shown

_LOSSY = (".jpg", ".jpeg", ".webp")


def gather(spec: DataSpec, splits: Iterable[str]) -> tuple[dict[str, list[Sample]], list[Finding]]:
    """Return the pairs of every split and what is wrong with the rest of its files.

    What `DataSpec.samples` returns is taken as it is; only where it refuses a split, this one is gone through file by
    file, so that one missing mask does not hide the next.
    """
    samples: dict[str, list[Sample]] = {}
    found: list[Finding] = []
    for split in splits:
        try:
            samples[split] = spec.samples(split)
        except (DataError, OSError) as error:
            search = _Search(spec, split)
            samples[split] = search.samples()
            found += search.findings() or [of_error(_refusal(error), "split-unusable", spec.path.name)]
    return samples, found


def _refusal(error: DataError | OSError) -> DataError:
    return error if isinstance(error, DataError) else DataError(shown(error), fix="check path and permissions")


class _Search:
    """Finds the pairs of one split; what cannot be paired is put down by code."""

    def __init__(self, spec: DataSpec, split: str) -> None:
        self.spec, self.root, self.split = spec, spec.root, split
        self.where = f"{spec.path}, split {split}"
        self._errors: list[Finding] = []
        self._files: dict[str, list[str]] = {}

    def samples(self) -> list[Sample]:
        images: list[Path] = []
        for place in self.spec.splits[self.split]:
            try:
                images += self._images(place)
            except (DataError, OSError) as error:
                self._errors.append(of_error(_refusal(error), "split-unusable", place))
        images.sort()
        once = sorted(set(images))
        for image, after in itertools.pairwise(images):
            if image == after:
                self._put("image-listed-twice", self._name(image))
        return self._pair(once)

    def findings(self) -> list[Finding]:
        """Return what was found, the causes in the order of `_TEXTS`."""
        found = list(self._errors)
        for code, (severity, text, fix) in _TEXTS.items():
            files = sorted(set(self._files.get(code, ())))
            if files:
                message = f"{self.split}: {number(len(files), 'file')} {text}: {some(files)}"
                fix = fix.format(masks_dir=self.spec.masks_dir)
                details = {"split": self.split}
                found.append(Finding(code, severity, message, fix, tuple(files[:MOST_FILES]), len(files), details))
        return found

    def _put(self, code: str, file: str) -> None:
        self._files.setdefault(code, []).append(file)

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def _images(self, place: str) -> list[Path]:
        path = listing.inside_root(self.root, self.root / place, self.where)
        if path.is_dir():
            found = self._walk(path)
        elif path.suffix.lower() == ".txt" and path.is_file():
            found = self._lines(path)
        else:
            message = f"{self.split}: {shown(place)} is neither a folder nor a .txt file in {self.root}"
            raise DataError(message, fix="correct it")
        if not found:
            message = f"{self.split}: no images in {shown(place)}"
            raise DataError(message, fix=f"images are {', '.join(IMAGE_SUFFIXES)}")
        return found

    def _walk(self, folder: Path) -> list[Path]:
        found = []
        for current, folders, files in os.walk(
            folder, onerror=lambda error: self._put("folder-unreadable", self._name(Path(str(error.filename))))
        ):
            for name in folders:
                if (link := Path(current, name)).is_symlink():
                    self._put("folder-link", self._name(link))
            found += [
                Path(current, name)
                for name in files
                if PurePath(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
            ]
        return found

    def _lines(self, path: Path) -> list[Path]:
        found = []
        for line in read_text(path, MAX_LIST_BYTES).splitlines():
            text = line.strip()
            if not text:
                continue
            try:
                text_path(text, path.name, path)
                image = listing.inside_root(
                    self.root, (path.parent if text.startswith("./") else self.root) / text, self.where
                )
                exists = image.is_file()
            except (DataError, OSError):
                self._put("list-entry-outside", text)
                continue
            if image.suffix.lower() not in IMAGE_SUFFIXES:
                self._put("list-entry-no-image", text)
            elif not exists:
                self._put("image-missing", text)
            else:
                found.append(image)
        return found

    def _pair(self, images: Sequence[Path]) -> list[Sample]:
        stems: dict[Path, dict[str, list[str]]] = {}
        owners: dict[Path, Path] = {}
        for image in images:
            try:
                folder = listing.mask_folder(self.root, image.relative_to(self.root), self.spec.masks_dir, self.where)
                if folder not in stems:
                    stems[folder] = listing.mask_stems(listing.inside_root(self.root, folder, self.where), self.where)
            except DataError as error:
                code = "folder-unreadable" if "cannot be read" in error.message else "mask-folder-unknown"
                self._put(code, self._name(image))
                continue
            except OSError:
                self._put("folder-unreadable", self._name(image))
                continue
            names = stems[folder].get(image.stem, [])
            if len(names) != 1:
                self._put("mask-ambiguous" if names else self._why_missing(folder, image.stem), self._name(image))
            elif owners.setdefault(folder / names[0], image) != image:
                self._put("mask-shared", self._name(image))
        return [Sample(image, mask) for mask, image in owners.items()]

    def _why_missing(self, folder: Path, stem: str) -> str:
        try:
            if any((folder / f"{stem}{suffix}").exists() for suffix in _LOSSY):
                return "mask-lossy-suffix"
            polygons = (self.root / "labels").is_dir() and not (self.root / self.spec.masks_dir).exists()
        except OSError:
            return "mask-missing"
        return "mask-polygons" if polygons else "mask-missing"


_TEXTS: dict[str, tuple[Severity, str, str]] = {
    "folder-unreadable": ("error", "lie in or are a folder that cannot be read", "check its permissions"),
    "folder-link": (
        "error",
        "are links to folders, which are not followed",
        "link the files instead, or name the folder in the split",
    ),
    "list-entry-outside": (
        "error",
        "of the list lead outside the dataset root, or nowhere",
        "move them below the root, or let `path` name a folder above both",
    ),
    "list-entry-no-image": ("error", "of the list are no images", f"images are {', '.join(IMAGE_SUFFIXES)}"),
    "image-missing": (
        "error",
        "of the list do not exist",
        "paths count from the root, or from the list's own folder if they begin with ./",
    ),
    "image-listed-twice": ("error", "are listed twice", "list each image once"),
    "mask-folder-unknown": (
        "error",
        "have no folder named 'images' in their path, or their mask's folder lies outside the root",
        "put images below images/ and masks below {masks_dir}/, in the same subfolders",
    ),
    "mask-missing": ("error", "have no mask", f"add the masks ({', '.join(MASK_SUFFIXES)}), or correct `masks_dir`"),
    "mask-lossy-suffix": (
        "error",
        "have a mask in a format whose compression smears ids",
        f"export the masks again, as one of {', '.join(MASK_SUFFIXES)}; converting the files does not help",
    ),
    "mask-polygons": (
        "error",
        "have no mask, and labels/ seems to hold polygons, which are not read",
        "draw the polygons into PNG masks of class ids",
    ),
    "mask-ambiguous": ("error", "have several masks", "keep one of them"),
    "mask-shared": ("error", "share their mask with another image", "rename or remove one of the images"),
}


def without_image(spec: DataSpec, samples: Mapping[str, Sequence[Sample]]) -> list[Finding]:
    """Return masks that lie beside used ones and belong to no image on disk, as a warning."""
    folders = {sample.mask.parent: sample.image.parent for listed in samples.values() for sample in listed}
    lonely: list[Path] = []
    for masks, images in sorted(folders.items()):
        try:
            with os.scandir(images) as entries:
                files = [PurePath(entry.name) for entry in entries if not entry.is_dir(follow_symlinks=False)]
            known = {file.stem for file in files if file.suffix.lower() in IMAGE_SUFFIXES}
            lonely += [
                masks / name
                for stem, names in listing.mask_stems(masks, "").items()
                for name in names
                if stem not in known
            ]
        except (OSError, DataError):
            continue
    if not lonely:
        return []
    named = [os.path.relpath(path, spec.root).replace(os.sep, "/") for path in lonely]
    message = f"{number(len(named), 'mask')} without an image: {some(named)}"
    fix = "add the images, or remove the masks"
    return [Finding("mask-without-image", "warning", message, fix, tuple(named[:MOST_FILES]), len(named))]
