"""The files of a public dataset, from the addresses of its entry into a folder: checked, unpacked, remembered."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from bridgeseg.catalog.fetch import BY_HAND, MB, ROOM, fetch
from bridgeseg.catalog.schema import ADDRESS, Archive, Entry
from bridgeseg.catalog.unpack import contents, unpack
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.files import remove, write
from bridgeseg.locking import lock
from bridgeseg.wording import shown

RECORD = "download.json"
"""File in the folder of a download that tells what was loaded: of each address the bytes and the SHA-256."""
FRESH = ".unpacked"


def loadable(known: Entry, mirror: str | None = None) -> None:
    """Refuse a dataset that cannot be loaded by a program, and a mirror that is no address.

    Raises:
        ConfigError: it is one of these.
    """
    if not known.archives:
        message = f"{known.title} is not loaded: its owners ask for consent first, or offer it in another form"
        by_hand = f"bridgeseg data prepare {known.name} --root FOLDER --out DIR"
        raise ConfigError(message, fix=f"download it from {known.download}, unpack it, and name its folder: {by_hand}")
    if mirror is not None and not re.fullmatch(ADDRESS, mirror):
        message = f"expected the address of a folder, https://..., found {shown(mirror)}"
        raise ConfigError(message, where="mirror", fix="correct it, or leave it out")


def obtain(known: Entry, root: Path, *, mirror: str | None = None, show: bool = True) -> tuple[str, ...]:
    """Load and unpack the archives of a dataset, unless that was done; an interrupted call is taken up by the same one.

    Args:
        known: the dataset; see `loadable`.
        root: the folder that will hold it as published, and `download.json`.
        mirror: the address of a folder that has the same files, to load them from there.
        show: whether progress bars may appear.

    Returns:
        What was loaded, a line for each archive, with its SHA-256.

    Raises:
        DataError: an archive is not the published one, or another one than at an earlier call.
        InputError: there is no network, no space, something else in the folder, or another process works in it.
    """
    with lock(root):
        record = _recorded(root)
        done = []
        for archive in known.archives:
            before = record.get(archive.url)
            there = [place for place in archive.takes if (root / place).exists()]
            if before is not None and len(there) == len(archive.takes):
                continue
            if before is None and there:
                message = f"it holds {there[0]} already, and nothing tells that it was loaded by this command"
                fix = f"use it as it is: bridgeseg data prepare {known.name} --root {root} --out DIR"
                raise InputError(message, where=root, fix=fix)
            done.append(_one(archive, root, record, mirror, show))
        return tuple(done)


def _one(archive: Archive, root: Path, record: dict[str, Any], mirror: str | None, show: bool) -> str:
    """Load an archive, check it, unpack it, and delete it; one that is not as it should be is deleted too."""
    url = archive.url if mirror is None else f"{mirror.rstrip('/')}/{archive.name}"
    file, fresh = root / f".{archive.name}", root / FRESH
    if not file.exists():  # a killed call can have left it whole
        fetch(url, file, archive.size_mb * MB, show=show)
    try:
        size, found = file.stat().st_size, _digests(file)
        _compare(archive, url, found, record.get(archive.url))
        remove(fresh)
        unpack(file, archive, fresh)
        if archive.contents is not None and (held := contents(fresh, archive.takes)) != archive.contents:
            message = f"the files in it have the SHA-256 {held}, not {archive.contents}"
            raise DataError(message, where=url, fix=f"the server has another version: {BY_HAND}")
        record[archive.url] = {"bytes": size, "sha256": found["sha256"]}
        write(root / RECORD, json.dumps(record, indent=2) + "\n")  # what is moved from here on is known as ours
        for place in archive.takes:
            remove(root / place)
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (fresh / place).rename(root / place)
        file.unlink()
    except DataError:
        file.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise InputError(f"cannot be written: {shown(error)}", where=root, fix=ROOM) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return f"loaded {archive.name}: {size / MB:,.1f} MB, SHA-256 {found['sha256']} ({_trust(archive)})"


def _trust(archive: Archive) -> str:
    if archive.digest is not None:
        return f"its {archive.digest.partition(':')[0]} digest is the published one"
    return "its files are those of the published version" if archive.contents is not None else "nothing to compare with"


def _compare(archive: Archive, url: str, found: dict[str, str], before: Any) -> None:
    """Refuse an archive that is not the published one; of an unpublished digest, one that is not that of before."""
    if archive.digest is not None:
        kind, _, wanted = archive.digest.partition(":")
        if found[kind] != wanted:
            message = f"its {kind} digest is {found[kind]}, not {wanted}"
            raise DataError(message, where=url, fix=f"run the command again; if it stays so, {BY_HAND}")
    elif archive.contents is None and before is not None and before["sha256"] != found["sha256"]:
        message = f"its SHA-256 is {found['sha256']}; when it was loaded before, it was {before['sha256']}"
        fix = f"if the change is meant, delete {RECORD} in the folder of the download"
        raise DataError(message, where=url, fix=fix)


def _digests(file: Path) -> dict[str, str]:
    """Return the digests of a file by kind, reading it once."""
    kinds = {
        "sha256": hashlib.sha256(),
        "sha1": hashlib.sha1(usedforsecurity=False),
        "md5": hashlib.md5(usedforsecurity=False),
    }
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            for one in kinds.values():
                one.update(block)
    return {kind: one.hexdigest() for kind, one in kinds.items()}


def _recorded(root: Path) -> dict[str, Any]:
    path = root / RECORD
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(one, dict) and isinstance(one["sha256"], str) for one in found.values()):
            raise ValueError("it holds something else")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        message = f"does not tell what was loaded: {shown(error)}"
        raise InputError(message, where=path, fix="delete it and what was unpacked beside it") from error
    return found
