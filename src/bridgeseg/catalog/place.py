"""Files of a download -> a dataset's folder: linked or copied, whole or not at all, and left alone if already there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path

from bridgeseg.errors import InputError
from bridgeseg.wording import shown

MARK = ".bridgeseg-dataset.json"
"""File by which a folder made here is known again."""
KEPT, LINKED, HARD_LINKED, COPIED = "kept", "linked", "hard-linked", "copied"


def claim(out: Path, mine: Mapping[str, str], root: Path) -> None:
    """Make the folder of a dataset and mark it, or refuse one that is in use for something else.

    Args:
        out: the folder.
        mine: what the dataset is made of; a folder with the same mark is taken up again.
        root: where its files come from; `out` must not lie in there.

    Raises:
        InputError: it lies in `root`, holds something else, or cannot be written.
    """
    real, source = out.resolve(), root.resolve()
    if real == source or real.is_relative_to(source):
        raise InputError(f"it lies in {source}, which is only read", where=out, fix="name another `out`")
    mark = out / MARK
    try:
        if out.exists() and not out.is_dir():
            raise InputError("expected a folder, found a file", where=out, fix="name another `out`")
        if mark.is_file():
            there = json.loads(mark.read_text(encoding="utf-8"))
            if there != mine:
                raise InputError(f"it was made of {shown(there)}, not of {mine}", where=out, fix="name another `out`")
            return
        held = sorted(path.name for path in out.iterdir()) if out.exists() else []
        if held:
            message = f"it is not empty and was not made by this command: it holds {', '.join(held[:5])}"
            raise InputError(message, where=out, fix="name a new folder")
        out.mkdir(parents=True, exist_ok=True)
        write(mark, lambda part: part.write_text(json.dumps(mine), encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be used: {shown(error)}", where=out, fix="name another `out`") from error


def refuse_strangers(out: Path, planned: AbstractSet[Path]) -> None:
    """Refuse images and masks in the folder of a dataset that are not `planned`: they would be trained on.

    Raises:
        InputError: there are some.
    """
    there = (path for kind in ("images", "masks") for path in (out / kind).rglob("*"))
    odd = sorted(str(p) for p in there if p not in planned and not p.name.startswith(".") and not _is_folder(p))
    if odd:
        raise InputError(
            f"it holds {len(odd):,} files that do not belong to the dataset: {', '.join(odd[:3])}",
            where=out,
            fix="remove them, or name a new folder",
        )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


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
