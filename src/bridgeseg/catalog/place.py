"""Files of a download -> a dataset's folder: linked or copied, whole or not at all, and left alone if already there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from bridgeseg.errors import InputError
from bridgeseg.wording import shown

KEPT, LINKED, HARD_LINKED, COPIED = "kept", "linked", "hard-linked", "copied"


def place(source: Path, target: Path, copy: bool = False) -> str:
    """Make `target` stand for `source`: by a symbolic link, else a hard link, else a copy.

    Args:
        source: an absolute path; it is only read.
        target: the file to make or replace; its folder is made too.
        copy: copy in any case.

    Returns:
        What was done: `KEPT`, `LINKED`, `HARD_LINKED` or `COPIED`.

    Raises:
        InputError: it cannot be written.
    """
    try:
        if _is_there(source, target, copy):
            return KEPT
        target.parent.mkdir(parents=True, exist_ok=True)
        if not copy:
            # Windows without developer mode and some network and FAT volumes lack the one kind of link or the other.
            for way, link in ((LINKED, os.symlink), (HARD_LINKED, os.link)):
                with suppress(OSError, NotImplementedError):
                    write(target, partial(link, source))
                    return way
        write(target, partial(shutil.copy2, source))
        return COPIED
    except OSError as error:
        fix = "check the source, free some space, or choose another `out`"
        raise InputError(f"cannot be written: {shown(error)}", where=target, fix=fix) from error


def write(target: Path, make: Callable[[Path], object]) -> None:
    """Let `make` write a file under a temporary name and move it into place.

    Raises:
        OSError: as `make` does; then `target` is what it was.
    """
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)  # what an interrupted run left behind
    try:
        make(part)
        part.replace(target)
    finally:
        with suppress(OSError):  # it is in place, or was never made
            part.unlink()


def _is_there(source: Path, target: Path, copy: bool) -> bool:
    if not target.exists():
        return False
    if source.samefile(target):
        return not copy
    if target.is_symlink():
        return False
    new, old = source.stat(), target.stat()
    return new.st_size == old.st_size and new.st_mtime_ns == old.st_mtime_ns
