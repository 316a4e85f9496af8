"""Finds the images of a split and the mask of each image, and everything that keeps the two from being paired."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from bridgeseg.data.containers import container
from bridgeseg.data.exports import has_boxes
from bridgeseg.data.fields import text_path
from bridgeseg.data.finding import MOST_FILES, Finding, number, of_error, some
from bridgeseg.data.places import Layout, exists, inside_root, locate, mask_folder, nowhere, wider_root
from bridgeseg.data.unpaired import MASK_SUFFIXES, TEXTS, Facts
from bridgeseg.errors import DataError
from bridgeseg.images import SUFFIXES as IMAGE_SUFFIXES
from bridgeseg.wording import printable, shown
from bridgeseg.yamlfile import read_text

KNOWN_KINDS = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".psd"}
    | {".svg", ".eps", ".exr", ".hdr", ".tga", ".nii", ".npy", ".npz", ".ecw", ".jxr", ".pcx", ".ico"}
)
"""Endings of images that are left out of folders if they are not among `IMAGE_SUFFIXES`, and are counted."""
MAX_LIST_BYTES = 64_000_000
PROBED = 32
"""Images without a mask whose names are searched for among those of the masks."""
_PASSED_OVER = ("@eaDir", "__MACOSX", "$RECYCLE.BIN")
"""Folders of systems' own files: thumbnails, resource forks, deleted files. Hidden ones begin with a dot."""


@dataclass(frozen=True, order=True)
class Sample:
    """One labelled image: the image file and its mask file."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Listing:
    """The pairs of one split, sorted by path, and what is wrong with the rest of its files."""

    samples: list[Sample]
    findings: list[Finding]


def list_pairs(layout: Layout, split: str) -> Listing:
    """Pair each image of a split with its mask.

    The last folder `images` of an image's path is replaced by the masks' folder; the name stays. Links to folders are
    not followed.
    """
    search = _Search(layout, split)
    samples = search.samples()
    return Listing(samples, search.findings())


class _Search:
    """Goes through one split; what cannot be paired is put down by code."""

    def __init__(self, layout: Layout, split: str) -> None:
        self.layout, self.root, self.split = layout, layout.root, split
        self._errors: list[Finding] = []
        self._files: dict[str, dict[str, str]] = {}
        """Code -> file -> what the message says of it."""
        self._images = self._listed = 0
        self._masks: dict[Path, dict[str, list[str]]] = {}
        self._renamed = ("", "")
        self._boxes: dict[Path, bool] = {}
        """Folder of labels -> whether they are boxes."""

    def samples(self) -> list[Sample]:
        images: list[Path] = []
        for place in self.layout.splits[self.split]:
            try:
                images += self._place(place)
            except (DataError, OSError) as error:
                refusal = error if isinstance(error, DataError) else DataError(shown(error), fix="check permissions")
                told = DataError(f"{self.split}: {refusal.message}", fix=refusal.fix)
                self._errors.append(of_error(told, "split-unusable", place))
        images.sort()
        for image, after in itertools.pairwise(images):
            if image == after:
                self._put("image-listed-twice", self._name(image))
        self._images = len(images)
        return self._pair(sorted(set(images)))

    def findings(self) -> list[Finding]:
        """Return what was found, the causes in the order of `TEXTS`."""
        found, layout = list(self._errors), self.layout
        facts = Facts(self._images, self._listed, self._renamed, self.root, layout.masks_dir, layout.mask_suffix)
        for code, (severity, text, fixed) in TEXTS.items():
            if files := self._files.get(code):
                named = sorted(files)
                reasons = [f"{printable(file)}{f' ({files[file]})' if files[file] else ''}" for file in named]
                message = f"{self.split}: {text(len(named), facts)}: {some(reasons)}"
                fix, details = fixed(facts), {"split": self.split}
                found.append(Finding(code, severity, message, fix, tuple(named[:MOST_FILES]), len(named), details))
        return found

    def _put(self, code: str, file: str, reason: str = "") -> None:
        self._files.setdefault(code, {}).setdefault(file, reason)

    def _refused(self) -> int:
        return sum(len(files) for code, files in self._files.items() if TEXTS[code][0] == "error")

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def _place(self, place: str) -> list[Path]:
        known = self._refused()
        where = locate(self.root, place)
        try:
            path = inside_root(self.root, where)
        except DataError as error:
            if "outside" not in error.message:
                raise
            if not exists(where):
                raise nowhere(self.layout, self.split, place) from error
            raise DataError(error.message, fix=f"write {wider_root(self.layout)}") from error
        if path.is_dir():
            found, others = self._folder(path)
        elif path.suffix.lower() == ".txt" and path.is_file():
            found, others = self._lines(path), set()
        elif exists(path):
            message = f"{shown(place)} is neither a folder nor a .txt file in {self.root}"
            raise DataError(message, fix="correct it")
        else:
            raise nowhere(self.layout, self.split, place)
        if not found and known == self._refused():
            seen = f"; there are only files of other kinds: {some(sorted(others))}" if others else ""
            kind = "the list names no images" if path.is_file() else "no images"
            raise DataError(f"{kind} in {shown(place)}{seen}", fix=f"images are {', '.join(sorted(IMAGE_SUFFIXES))}")
        return found

    def _folder(self, folder: Path) -> tuple[list[Path], set[str]]:
        """Return the images of a folder and its subfolders, and the kinds of its other files."""
        found: list[Path] = []
        others: set[str] = set()

        def unreadable(error: OSError) -> None:
            self._put("folder-unreadable", self._name(Path(str(error.filename))), shown(error.strerror or error))

        for current, folders, files in os.walk(folder, onerror=unreadable):
            for name in [name for name in folders if name.startswith(".") or name in _PASSED_OVER]:
                folders.remove(name)
                if inside := _count_images(Path(current, name)):
                    self._put("folder-passed-over", self._name(Path(current, name)), number(inside, "image"))
            for name in folders:
                if (link := Path(current, name)).is_symlink():
                    self._put("folder-link", self._name(link))
            for name in files:
                suffix = PurePath(name).suffix.lower()
                if suffix in IMAGE_SUFFIXES and not name.startswith("."):
                    found.append(Path(current, name))
                    continue
                others.add(suffix or name)
                if suffix in KNOWN_KINDS:
                    self._put("image-kind", self._name(Path(current, name)))
        return found, others

    def _lines(self, path: Path) -> list[Path]:
        """Return the images a .txt file names: `./x` counts from the file's own folder, all else from the root."""
        found = []
        for line in read_text(path, MAX_LIST_BYTES).splitlines():
            text = line.strip()
            if not text:
                continue
            try:
                text_path(text, path.name, path)
                folder = path.parent if text.startswith(("./", ".\\")) else self.root
                image = inside_root(self.root, locate(folder, text))
                exists = image.is_file()
            except (DataError, OSError) as error:
                self._put("list-entry-outside", text, error.message if isinstance(error, DataError) else shown(error))
                continue
            if image.suffix.lower() not in IMAGE_SUFFIXES:
                self._put("list-entry-no-image", text)
                continue
            self._listed += 1
            if exists:
                found.append(image)
            else:
                self._put("image-missing", text)
        return found

    def _pair(self, images: Sequence[Path]) -> list[Sample]:
        owners: dict[Path, Path] = {}
        missing: list[tuple[Path, Path]] = []
        for image in images:
            try:
                folder = mask_folder(self.root, image, self.layout.masks_dir)
                names = self._stems(folder).get(image.stem + self.layout.mask_suffix, [])
            except DataError as error:
                self._put("mask-folder-unknown", self._name(image), error.message)
                continue
            except OSError as error:
                self._put("folder-unreadable", self._name(image), shown(error))
                continue
            if len(names) > 1:
                self._put("mask-ambiguous", self._name(image), f"has {len(names)} masks: {some(names)}")
            elif not names:
                missing.append((image, folder))
            elif (other := owners.setdefault(folder / names[0], image)) != image:
                reason = f"{self._name(other)} and it share the mask {self._name(folder / names[0])}"
                self._put("mask-shared", self._name(image), reason)
        self._renamed = self._pattern(missing)
        for image, folder in missing:
            self._missing(image, folder)
        return [Sample(image, mask) for mask, image in owners.items()]

    def _stems(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._masks:
            self._masks[folder] = mask_stems(inside_root(self.root, folder))
        return self._masks[folder]

    def _boxed(self, labels: Path) -> bool:
        if labels not in self._boxes:
            try:
                self._boxes[labels] = has_boxes(labels)
            except OSError:
                self._boxes[labels] = False
        return self._boxes[labels]

    def _pattern(self, missing: Sequence[tuple[Path, Path]]) -> tuple[str, str]:
        """Return what stands before and behind the image's name in the names of most of the masks that are missed."""
        votes = Counter[tuple[str, str]]()
        for image, folder in [] if self.layout.mask_suffix else missing[:PROBED]:
            stems = (stem for stem in self._stems(folder) if image.stem in stem)
            votes.update((before, after) for before, _, after in (stem.partition(image.stem) for stem in stems))
        best = votes.most_common(1)
        return best[0][0] if best and best[0][1] * 2 > min(PROBED, len(missing)) else ("", "")

    def _missing(self, image: Path, folder: Path) -> None:
        """Put down why an image has no mask."""
        name, stem = self._name(image), image.stem + self.layout.mask_suffix
        for suffix in sorted(IMAGE_SUFFIXES.difference(MASK_SUFFIXES)):
            if exists(other := folder / f"{stem}{suffix}"):
                found = container(other) if other.is_file() else None
                lossless = found is not None and not found.lossy
                return self._put("mask-format-suffix" if lossless else "mask-lossy-suffix", name, self._name(other))
        labels = mask_folder(self.root, image, "labels") / f"{image.stem}.txt"
        no_masks = exists(self.root / "labels") and not exists(self.root / self.layout.masks_dir)
        if exists(labels) or no_masks:
            labels = labels.parent if exists(labels) else self.root / "labels"
            return self._put("mask-boxes" if self._boxed(labels) else "mask-polygons", name)
        before, after = self._renamed
        if before + after and (named := self._stems(folder).get(before + image.stem + after)):
            return self._put("mask-named-otherwise", name, f"there is {self._name(folder / named[0])}")
        return self._put("mask-missing", name, f"no {self._name(folder / stem)}.png")


def _count_images(folder: Path) -> int:
    """Return how many images a folder and its subfolders hold."""
    return sum(PurePath(name).suffix.lower() in IMAGE_SUFFIXES for _, _, files in os.walk(folder) for name in files)


def mask_stems(folder: Path) -> dict[str, list[str]]:
    """Return stem -> mask files of a folder (none if it does not exist).

    Raises:
        OSError: the folder cannot be read.
    """
    result: dict[str, list[str]] = {}
    entries = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in entries:
        if PurePath(name).suffix.lower() in MASK_SUFFIXES and not name.startswith("."):
            result.setdefault(PurePath(name).stem, []).append(name)
    return result


def without_image(layout: Layout, samples: Mapping[str, Sequence[Sample]]) -> Iterator[Finding]:
    """Give a finding about masks that lie beside used ones and belong to no image on disk, as a warning."""
    folders = {sample.mask.parent: sample.image.parent for listed in samples.values() for sample in listed}
    lonely: list[Path] = []
    for masks, images in sorted(folders.items()):
        try:
            with os.scandir(images) as entries:
                files = [PurePath(entry.name) for entry in entries if not entry.is_dir(follow_symlinks=False)]
            known = {file.stem + layout.mask_suffix for file in files if file.suffix.lower() in IMAGE_SUFFIXES}
            stems = mask_stems(masks)
        except OSError:
            continue
        lonely += [masks / name for stem, names in stems.items() if stem not in known for name in names]
    if lonely:
        named = [os.path.relpath(path, layout.root).replace(os.sep, "/") for path in lonely]
        message = f"{number(len(named), 'mask')} without an image: {some(named)}"
        fix = "add the images, or remove the masks"
        yield Finding("mask-without-image", "warning", message, fix, tuple(named[:MOST_FILES]), len(named))
