"""What is exported, as files: which there are, where the images lie, to which split they belong."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from bridgeseg.errors import DataError, InputError
from bridgeseg.images import SUFFIXES
from bridgeseg.importing.ledger import Ledger
from bridgeseg.importing.model import Unlabelled
from bridgeseg.wording import shown

_SPLIT = re.compile(r"(train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)(?:20\d\d)?")
OF_IMAGES = frozenset({"images", "img", "jpegimages", "leftimg8bit", "data", "obj_train_data"})
"""Folders that only say that there are images in them."""
LOCAL = "/local-files/?d="
"""What stands before paths from Label Studio's root of local files."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts such a number before the names of files that are uploaded."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, as far as reading depends on it.

    Attributes:
        images: a folder in which images are looked for, too.
        unlabelled: what pixels under no object are; None as is usual for the form.
        classes: the classes to take, in this order; none for all.
        form: the form that it is said to be; None to be recognised.
    """

    images: Path | None = None
    unlabelled: Unlabelled | None = None
    classes: tuple[str, ...] = ()
    form: str | None = None


@dataclass
class Source:
    """An export: a folder, or one of its files.

    Attributes:
        path: what was named.
        wanted: what was asked for.
        ledger: where what is not taken is put down.
        skip: a folder that is passed over, because results go there.
    """

    path: Path
    wanted: Wanted = field(default_factory=Wanted)
    ledger: Ledger = field(default_factory=Ledger)
    skip: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of the export."""
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def files(self) -> list[Path]:
        """Every file, sorted by path; hidden ones and those in hidden folders aside. Links to folders are followed not.

        Raises:
            InputError: there is nothing, or it cannot be read.
        """
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise InputError("there is no such file or folder", where=self.path, fix="check the spelling")
        return sorted(self._walk(self.path))

    def of(self, *suffixes: str) -> list[Path]:
        """Return the files with one of these endings, in lower case and with the dot."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def name(self, path: Path) -> str:
        """Return a path below the folder, or that of the images, with slashes; of one elsewhere the name alone."""
        places = [place for place in (self.wanted.images, self.folder) if place is not None]
        return next((path.relative_to(place).as_posix() for place in places if path.is_relative_to(place)), path.name)

    @cached_property
    def _images(self) -> Mapping[str, list[Path]]:
        """Name of a file in lower case -> the images that are called so, in the export and in the folder of images."""
        found: dict[str, list[Path]] = {}
        places = [self.folder] if self.wanted.images is None else [self.wanted.images, self.folder]
        if self.wanted.images is not None and not self.wanted.images.is_dir():
            raise InputError("there is no such folder", where=self.wanted.images, fix="check the spelling")
        seen: set[Path] = set()
        for place in places:
            for file in sorted(self._walk(place)):
                if file.suffix.lower() in SUFFIXES and file not in seen:
                    seen.add(file)
                    found.setdefault(file.name.lower(), []).append(file)
        return found

    def image(self, name: str, beside: Path | None = None) -> Path | None:
        """Return the image that an export names; None if it is not there.

        It is looked for at the path as written, from the folders of `beside`, of the images and of the export, then
        there without `..`, then by the end of its path, then by its name alone, if only one is called so, of the same
        case rather than of another; all of that once more with `%20` and the like decoded. Nothing outside of the
        export and of the folder of images is taken; a note says so where the path as written leads to a file there.

        Args:
            name: a path, or an address, of which the path counts.
            beside: the file that names it.
        """
        for written in dict.fromkeys((name, unquote(name))):  # Label Studio encodes names of uploads, others do not
            if (parts := _parts(written, up=True)) and (found := self._found(written, parts, beside)) is not None:
                if beside is not None and _is_another(beside.parent / written, found):
                    self.ledger.note("paths lead out of the export and the images: others of the same name are taken")
                return found
        return None

    def _found(self, written: str, given: list[str], beside: Path | None) -> Path | None:
        root = Path(Path(written).anchor) if Path(written).is_absolute() else None
        parts = [part for part in given if part != ".."]
        for way in (given, parts) if given != parts else (parts,):
            for place in (root, beside.parent if beside is not None else None, self.wanted.images, self.folder):
                if place is not None and way and (found := self._at(place, way)) is not None:
                    return found
        if not parts:
            return None
        uploaded = _UPLOADED.fullmatch(parts[-1])
        for last in (parts[-1], *([uploaded[1]] if uploaded else [])):
            called = self._images.get(last.lower(), [])
            if len(called) > 1:
                called = _closest([*parts[:-1], last], called)
            if len(called) == 1:
                return called[0]
        return None

    def placed(self, name: str, image: object, *hints: str) -> tuple[str, str]:
        """Return the split of an image and its path in the dataset, without ending.

        Args:
            name: what the export calls it.
            image: its file, if that is known.
            hints: files of labels or subsets; they tell the split before the folders of the image do.
        """
        found = name
        if isinstance(image, Path):
            found = self.name(image)
        split = next(filter(None, map(split_told, hints)), None) or split_of(_relative(name), found)
        return split, key_of(found, split)

    def several(self, name: str) -> str:
        """Say that several images are called like one that an export names, so that none was taken; '' if not."""
        count = len(self._images.get((_parts(name) or [""])[-1].lower(), []))
        return f"{count} images are called so, and its path does not say which" if count > 1 else ""

    def pictured(self, stem: Path) -> Path | None:
        """Return the image whose path without ending is `stem`."""
        called = [file for suffix in sorted(SUFFIXES) if (file := stem.with_name(stem.name + suffix)).is_file()]
        return called[0] if called else None

    def _at(self, place: Path, parts: list[str]) -> Path | None:
        try:
            path = Path(os.path.abspath(place.joinpath(*parts)))  # noqa: PTH100 (links are files of their folder)
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                return None
            for folder in (self.wanted.images, self.folder):
                if folder is not None and path.is_relative_to(whole := os.path.abspath(folder)):  # noqa: PTH100
                    return folder / path.relative_to(whole)
        except (OSError, ValueError):
            pass
        return None

    def _walk(self, folder: Path) -> Iterator[Path]:
        skip = None if self.skip is None else os.path.realpath(self.skip)

        def refuse(error: OSError) -> None:
            message = f"cannot be read: {shown(error.strerror or error)}"
            raise DataError(message, where=error.filename, fix="check its permissions") from error

        for current, folders, files in os.walk(folder, onerror=refuse):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith((".", "__MACOSX", "@eaDir")) and os.path.realpath(Path(current, name)) != skip
            )
            yield from (Path(current, name) for name in files if not name.startswith("."))


def split_of(*names: str) -> str:
    """Return the split that a folder of some paths of images is called, the first that is; `train` if none is.

    >>> split_of("street/val/test_1.png")
    'val'
    """
    found = (_split(part) for name in names for part in reversed(re.split(r"[/\\]", name)[:-1]))
    return next(filter(None, found), "train")


def split_told(name: str) -> str | None:
    """Return the split that a file of labels, or a subset, tells by a word of its name, or by a folder.

    >>> split_told("annotations/instances_val2017.json")
    'val'
    """
    *folders, own = re.split(r"[/\\]", name)
    found = map(_split, [*re.split(r"[^a-zA-Z0-9]+", own), *reversed(folders)])
    return next(filter(None, found), None)


def _split(word: str) -> str | None:
    match = _SPLIT.fullmatch(word.lower())
    if match is None:
        return None
    return "val" if match[1].startswith("val") else match[1].removesuffix("ing")


def key_of(name: str, split: str) -> str:
    """Return the path in the dataset of an image that an export calls `name`, without ending and without its split."""
    parts = [part for part in _parts(name) if part.lower() not in OF_IMAGES]
    kept = [part for part in parts[:-1] if _split(part) != split]
    clean = [re.sub(r'[<>:"|?*\x00-\x1f]', "_", part).strip(" .") or "_" for part in (*kept, *parts[-1:])]
    path = PurePosixPath(*clean) if clean else PurePosixPath("image")
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)


def stamp(*parts: object) -> str:
    """Return a digest of texts, and of what is known of files without reading them: name, size, time of change."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            known = part.stat()
            part = (part.name, known.st_size, known.st_mtime_ns)
        digest.update(repr(part).encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()[:32]


def _is_another(path: Path, found: Path) -> bool:
    """Whether there is a file at a path, and it is not the one that was found."""
    try:
        return path.is_file() and not path.samefile(found)
    except (OSError, ValueError):
        return False


def _parts(name: str, *, up: bool = False) -> list[str]:
    """Return the parts of a path or of the path of an address, without a drive and `.`; `..` stays if `up`."""
    text = name
    if re.match(r"[a-z][a-z0-9+]+://", name) or LOCAL in name:
        address = urlsplit(name)
        text = unquote(address.path)
        if text.endswith("/local-files/"):
            text = parse_qs(address.query).get("d", [text])[0]
    if "\0" in text:
        return []
    listed = [part for part in re.split(r"[/\\]", text) if part not in ("", ".") and (up or part != "..")]
    return listed[1:] if listed and re.fullmatch(r"[a-zA-Z]:", listed[0]) else listed


def _relative(name: str) -> str:
    """Return a path as it counts from a folder of the tool; of addresses and other paths from a root, nothing."""
    if LOCAL not in name and re.match(r"[/\\]|[a-zA-Z][a-zA-Z0-9+]*:", name):
        return ""
    return "/".join(_parts(name))


def _closest(parts: list[str], paths: Iterable[Path]) -> list[Path]:
    """Return those of several paths that end in most of the same parts, first those in the same case."""

    def shared(path: Path) -> tuple[bool, int, int]:
        alike = same = 0
        for own, other in zip(reversed(path.parts), reversed(parts), strict=False):
            if own.lower() != other.lower():
                break
            same += own == other and same == alike
            alike += 1
        return bool(same), alike, same

    listed = list(paths)
    best = max(map(shared, listed))
    return [path for path in listed if shared(path) == best]
