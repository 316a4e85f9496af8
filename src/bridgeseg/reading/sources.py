"""Files, folders and globs -> a stream of images to read, one at a time."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from bridgeseg.errors import InputError
from bridgeseg.images import DEFAULT_MAX_PIXELS, SUFFIXES, Note, Pixels, Reading, read_image
from bridgeseg.pixels import AS_STORED
from bridgeseg.reading.addresses import is_address, refusal, without_password
from bridgeseg.reading.left_out import LeftOut, is_hidden, suffix
from bridgeseg.reading.own import is_result

SORTED = 100_000
"""Names of one folder that are held in memory and sorted at a time."""
Name = TypeVar("Name", str, Path)


@dataclass(frozen=True)
class Source:
    """An image file that has been found, not yet read.

    Attributes:
        path: the file, as it was given or found.
        name: its path below the folder it was found in (the file name alone for a file given by name); outputs are
            named after it.
    """

    path: Path
    name: Path

    def load(
        self,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        admit: Callable[[int], None] | None = None,
        how: Reading = AS_STORED,
        notes: list[Note] | None = None,
    ) -> Pixels:
        """Read it, as `read_image` does."""
        return read_image(self.path, max_pixels, admit, how, notes)


class PathStream:
    """Names read from a file or pipe, as they come; how many there will be is not known.

    Args:
        stream: opened for bytes, such as `sys.stdin.buffer`.
        null: names end with a NUL byte (`find -print0`) and not with a line break.
    """

    def __init__(self, stream: BinaryIO, null: bool = False) -> None:
        self._stream, self._end = stream, b"\0" if null else b"\n"

    def __iter__(self) -> Iterator[Path]:
        rest = b""
        # straight from the descriptor: a reader of Python's would wait for more, and hold a lock while it does
        while block := os.read(self._stream.fileno(), 65_536):
            *names, rest = (rest + block).split(self._end)
            yield from filter(None, map(self._path, names))
        yield from filter(None, [self._path(rest)])

    def _path(self, name: bytes) -> Path | None:
        """Return a name as a path; None for an empty line."""
        name = name if self._end == b"\0" else name.removesuffix(b"\r")
        return Path(os.fsdecode(name)) if name else None


@dataclass(frozen=True)
class Failure:
    """An image that could not be done, and why.

    Attributes:
        source: the file or folder; None for an image in memory.
        error: what went wrong, with the fix.
    """

    source: Path | None
    error: InputError


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; no name is too long or too odd to ask."""
    return os.path.isdir(path)  # noqa: PTH112


def _in_hidden(path: Path, named: Collection[str]) -> bool:
    return any(is_hidden(part) for part in path.parts if part not in named)


def find(
    sources: Iterable[str | Path],
    recursive: bool = False,
    skip: str | Path | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Source | Failure]:
    """Find the images that `sources` name, in order, without reading any.

    A file is taken whatever its ending. Of a folder, the files that end like an image (`SUFFIXES`) are taken in
    alphabetical order, its subfolders too if `recursive`; hidden ones and links to folders are left out, so a loop of
    links cannot trap the search. A name with `*`, `?` or `[` that is no file is a glob; `**` stands for any number of
    folders, and matches are taken if they end like an image or as the glob does. At most `SORTED` names are in memory
    at a time: of a folder (or a glob) with more, so many at a time are sorted, in the order in which the file system
    gives them.

    Args:
        sources: files, folders, globs.
        recursive: search the subfolders of folders.
        skip: a folder to leave out of the search, such as the one that results are written to.
        left_out: files that are passed over are counted here.

    Yields:
        A Source for each image, or a Failure for a name that leads to none (missing, empty, no permission).
    """
    skipped = os.path.realpath(skip) if skip is not None else None
    left = LeftOut() if left_out is None else left_out
    for source in sources:
        path = Path(source)
        if not str(source):
            yield Failure(path, InputError("an empty name was given", fix="name a file, a folder or a glob"))
        elif "\0" in str(source):
            fix = "names that end with NUL bytes are read by `bridgeseg predict --null -`"
            yield Failure(path, InputError("no file has a NUL byte in its name", where=path, fix=fix))
        elif is_address(str(source)) and not os.path.lexists(path):
            yield Failure(Path(without_password(str(source))), refusal(str(source)))
        elif is_folder(path):
            yield from _in_folder(path, recursive, skipped, left)
        elif not os.path.lexists(path) and _is_glob(str(source)):
            yield from _in_glob(path, recursive, skipped, left)
        elif not os.path.lexists(path):
            yield Failure(path, InputError("there is no such file or folder", where=path, fix=_suggestion(path)))
        else:
            yield Source(path, Path(path.name))


def survey(found: Iterable[object], folder: str | Path) -> tuple[int, frozenset[str]]:
    """Go through what was found once, reading nothing.

    Returns:
        How many there are, and the real paths of those files that lie in or below `folder`, where results will go.
    """
    count, target = 0, Path(os.path.realpath(folder))
    inside: set[str] = set()
    for item in found:
        count += 1
        path = getattr(item, "path", None)
        if isinstance(path, Path):
            inside |= {str(place) for place in _places(path) if place.is_relative_to(target)}
    return count, frozenset(inside)


def is_below(path: Path, folder: str | Path) -> bool:
    """Whether a file (or what it links to) lies in or below a folder."""
    target = _real_folder(Path(folder))
    return any(place.is_relative_to(target) for place in _places(path))


def _places(path: Path) -> list[Path]:
    """Return the real path of a file and, if it is a link, of what it leads to."""
    places = [_real_folder(path.parent) / path.name]
    return [*places, Path(os.path.realpath(path))] if path.is_symlink() else places


@lru_cache(maxsize=256)
def _real_folder(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _in_folder(root: Path, recursive: bool, skipped: str | None, left: LeftOut) -> Iterator[Source | Failure]:
    empty, subfolders, here = True, False, LeftOut()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        folders: list[str] = []
        try:
            for name in _sorted(_files(folder, folders, here)):
                empty = False
                yield Source(folder / name, (folder / name).relative_to(root))
        except OSError as error:
            empty = False
            yield Failure(
                folder, InputError(f"cannot be listed: {error.strerror}", where=folder, fix="check permissions")
            )
            continue
        subfolders = subfolders or bool(folders)
        if recursive:
            below = (folder / name for name in sorted(folders, reverse=True))
            waiting += [path for path in below if skipped is None or os.path.realpath(path) != skipped]
    left.add(here)
    if empty:
        deeper = subfolders and not recursive
        fix = "search its subfolders: `recursive=True`" if deeper else f"images end with {' '.join(sorted(SUFFIXES))}"
        found = "".join(f"; {line}" for line in here.lines())
        yield Failure(root, InputError(f"there is no image in this folder{found}", where=root, fix=fix))


def _sorted(found: Iterable[Name]) -> Iterator[Name]:
    """Sort what is found, so many at a time as there is memory for."""
    waiting = iter(found)
    while some := sorted(islice(waiting, SORTED)):
        yield from some


def _files(folder: Path, folders: list[str], left: LeftOut) -> Iterator[str]:
    """Yield the names of the images in a folder; the names of its subfolders are added to `folders`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            inside = entry.is_dir(follow_symlinks=False)
            if is_hidden(entry.name):
                left.hidden += inside
            elif inside:
                folders.append(entry.name)
            # A broken link named like an image is kept: reading it reports it, leaving it out would hide the loss.
            elif suffix(entry.name) not in SUFFIXES:
                if entry.is_file():
                    left.count(entry.name)
            elif is_result(Path(entry.path)):
                left.results += 1
            elif not (entry.is_symlink() and Path(entry.path).is_dir()):
                yield entry.name


def _in_glob(pattern: Path, recursive: bool, skipped: str | None, left: LeftOut) -> Iterator[Source | Failure]:
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if _is_glob(part))
    root, rest = Path(*parts[:fixed]), str(Path(*parts[fixed:], *(["*"] if parts[-1] == "**" else [])))
    wanted = SUFFIXES if _is_glob(pattern.suffix or "*") else SUFFIXES | {pattern.suffix.lower()}
    empty = True
    try:
        named = {"..", *parts}
        found = (path for path in root.glob(rest) if not _in_hidden(path.relative_to(root), named))
        for path in _sorted(found):
            if not path.is_dir():
                if path.suffix.lower() not in wanted:
                    left.count(path.name)
                elif is_result(path):
                    left.results += 1
                else:
                    empty = False
                    yield Source(path, Path(*(part for part in path.relative_to(root).parts if part != "..")))
            # With `**` the glob itself reaches into folders; opening them here too would do every image twice.
            elif "**" not in parts and (skipped is None or os.path.realpath(path) != skipped):
                empty = False
                yield from _in_folder(path, recursive, skipped, left)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        yield Failure(pattern, InputError(f"this glob cannot be searched: {reason}", where=pattern, fix="simplify it"))
        return
    if empty:
        yield Failure(pattern, InputError("no image matches this glob", where=pattern, fix=_suggestion(root / "*")))


def _is_glob(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _suggestion(missing: Path) -> str:
    """Name the file nearest to a missing one, or the folder that is missing already."""
    folder = missing.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r} either; check the spelling"
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, 1000)]
    except OSError:
        names = []
    close = difflib.get_close_matches(missing.name, names, n=1)
    return f"did you mean {str(folder / close[0])!r}?" if close else "check the spelling and the folder"
