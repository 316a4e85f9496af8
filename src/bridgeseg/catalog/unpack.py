"""An archive of a stranger -> files of chosen folders: regular ones alone, bounded, never outside."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bridgeseg.catalog.fetch import BY_HAND, MB, ROOM
from bridgeseg.catalog.schema import Archive
from bridgeseg.errors import DataError, InputError
from bridgeseg.files import below, digest
from bridgeseg.wording import shown

STRANGE = f"this is not the published file: {BY_HAND}"
MEMBERS = 2_000_000
"""Files that an archive may list."""
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError,
)  # fmt: skip
"""What the readers raise for damaged and encrypted archives, and kinds of compression that they do not know."""


def unpack(file: Path, archive: Archive, folder: Path) -> None:
    """Unpack the files and folders `archive.takes` of a .zip or .tar file.

    Args:
        file: the archive.
        archive: what to take of it.
        folder: where it goes: a new folder.

    Raises:
        DataError: it is damaged or no archive, holds links or paths that lead outside, or less or more than it should.
        InputError: the files cannot be written.
    """
    left = archive.unpacked_mb * MB
    try:
        for path, source, size in _members(file, archive, folder):
            if size > left:
                message = f"it unpacks to more than {archive.unpacked_mb:,} MB"
                raise DataError(message, where=file, fix=STRANGE)
            left -= _write(source, path, size)
    except BROKEN as error:
        raise DataError(f"it is damaged: {shown(error)}", where=file, fix="run the command again") from error
    except OSError as error:
        raise InputError(f"cannot be unpacked: {shown(error)}", where=folder, fix=ROOM) from error
    lacking = [place for place in archive.takes if not (folder / place).exists()]
    if lacking:
        raise DataError(f"it holds no {', '.join(lacking)}", where=file, fix=STRANGE)


def _write(source: IO[bytes], path: Path, size: int) -> int:
    """Write `size` bytes into a new file."""
    if path.exists():
        raise ValueError(f"it holds {shown(path.name)} twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(source, target)
        written = target.tell()
    if written != size:
        raise ValueError(f"{shown(path.name)} has {written:,} bytes where {size:,} were said")
    return written


def _members(file: Path, archive: Archive, folder: Path) -> Iterator[tuple[Path, IO[bytes], int]]:
    """Yield, of each file that is taken, where it goes, its content and its size."""
    reader = _zipped if zipfile.is_zipfile(file) else _tarred
    for number, (name, source, size) in enumerate(reader(file, archive)):
        if number >= MEMBERS:
            raise ValueError(f"it lists more than {MEMBERS:,} files")
        try:
            path = below(folder, name)
        except InputError as error:
            raise DataError(f"it holds {shown(name)}, which leads outside", where=file, fix=STRANGE) from error
        if source is None:
            raise DataError(f"it holds {shown(name)}, which is no regular file", where=file, fix=STRANGE)
        yield path, source, size


def _zipped(file: Path, archive: Archive) -> Iterator[tuple[str, IO[bytes] | None, int]]:
    with zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            name = _taken(info.filename, archive)
            if name is None or info.is_dir():
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                yield name, None, 0
            with opened.open(info) as source:
                yield name, source, info.file_size


def _tarred(file: Path, archive: Archive) -> Iterator[tuple[str, IO[bytes] | None, int]]:
    with tarfile.open(file, "r|*") as opened:
        while (info := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep them all
            name = _taken(info.name, archive)
            if name is not None and not info.isdir():
                yield name, opened.extractfile(info) if info.isreg() else None, info.size


def _taken(name: str, archive: Archive) -> str | None:
    """Return the path below the folder, without what is stripped, if it is to be unpacked."""
    path = "/".join(name.removeprefix("./").split("/")[archive.strip :])
    return path if any(path == place or path.startswith(f"{place}/") for place in archive.takes) else None


def contents(folder: Path, takes: tuple[str, ...]) -> str:
    """Return the SHA-256 of what `sha256sum` prints for the files of these files and folders, sorted by path.

    Raises:
        OSError: one cannot be read.
    """
    files = [file for place in takes for file in (folder / place, *(folder / place).rglob("*")) if file.is_file()]
    names = sorted({file.relative_to(folder).as_posix() for file in files}, key=str.encode)
    total = hashlib.sha256()
    for name in names:
        total.update(f"{digest(folder / name)}  {name}\n".encode())
    return total.hexdigest()
