"""Files that are whole or not there at all: written beside, flushed to the disk, then put in place."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from bridgeseg.errors import InputError

PART = ".part"
"""Ending of what is being written; such files of a killed process are of no use."""
LEFT = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(PART)}(\..+)?")
"""Names that `replacing` chooses for what it writes."""
NEW = ".new"
"""Ending of a folder that is written beside the one that it replaces."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that more space on the disk ends."""
OLD = ".old"
"""Ending of a folder that is being replaced."""


@contextmanager
def replacing(path: str | Path, fix: str = "free some space, or choose another place") -> Iterator[Path]:
    """Give the path of a new, empty file to write; let it replace `path` when the block ends well.

    The new file lies in the same folder, which is made if needed, under a name that nobody can know beforehand. It is
    flushed to the disk before it is renamed, and the folder after, so that a power cut leaves the old file or the new
    one. A link at `path` is replaced, never followed. If the block fails, the old file stays.

    Args:
        path: the file to write or replace.
        fix: what the error proposes.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    part = path.parent / f".{uuid.uuid4().hex}{PART}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("xb").close()
        yield part
        flush(part)
        part.replace(path)
        flush(path.parent)
    except OSError as error:
        fix = fix if error.errno in NO_ROOM else fix.removeprefix("free some space, or ")
        raise InputError(f"cannot be written: {error.strerror or error}", where=path, fix=fix) from error
    finally:
        with suppress(OSError):  # it is in place, or was never made
            part.unlink()


def write(path: str | Path, content: bytes | str, fix: str = "free some space, or choose another place") -> None:
    """Write a file whole or not at all; text as UTF-8. See `replacing`.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    with replacing(path, fix) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def sweep(folder: Path, age_s: float = 3600) -> None:
    """Remove files that a killed process left unfinished in a folder: those of `replacing`, unchanged for `age_s`."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if LEFT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):  # another process was first
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > age_s:
                        os.unlink(entry.path)  # noqa: PTH108


def replace_folder(fresh: Path, folder: Path) -> None:
    """Replace `folder` by the folder `fresh`, every file in it flushed first.

    Between the two renames the old one is found under its name with `OLD` at the end. A link instead of `folder`
    is replaced, never followed.

    Raises:
        OSError: a rename failed; the old folder is back in its place.
    """
    old = folder.with_name(folder.name + OLD)
    for file in sorted(fresh.rglob("*"), reverse=True):
        flush(file)
    flush(fresh)
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    try:
        fresh.rename(folder)
        flush(folder.parent)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; where a system cannot flush folders, nothing."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return
    try:
        number = os.open(path, os.O_RDONLY if folder or os.name != "nt" else os.O_RDWR)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(number)
    except OSError:
        if not folder:  # some network file systems refuse to flush a folder
            raise
    finally:
        os.close(number)


def below(folder: Path, name: str) -> Path:
    """Return the path of `name` in a folder; a name from a stranger must not lead out of it.

    Args:
        folder: where results go.
        name: a relative path with `/` between its parts.

    Raises:
        InputError: an absolute path, a drive, or `..` in it.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise InputError(f"{name!r} leads outside the folder", where=folder, fix="give names below it, without `..`")
    return folder.joinpath(*parts)


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Delete a file, a folder with all that is in it, or a link but not what it leads to; nothing is fine too.

    Raises:
        OSError: it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def append(path: Path, text: str) -> None:
    """Add text to the end of a file, as UTF-8; a link in its place is not followed.

    Raises:
        OSError: it is a link, or cannot be written.
    """
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(number, "a", encoding="utf-8") as file:
        file.write(text)
