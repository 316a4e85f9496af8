"""A folder for one process at a time."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bridgeseg.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What file systems without locks answer, some of those of clusters among them."""

_held: set[int] = set()


@contextmanager
def lock(place: Path, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Hold a folder for this process alone; a file in it names the holder.

    The system drops the hold when its process ends, however it ends: a file that is left over holds nobody up, and
    neither do processes that it forked. Where there are no locks (Windows, some file systems) nobody is kept out.

    Args:
        place: the folder; made if needed.
        wait: seconds to wait for another process to go.
        name: of the file; holds of different names do not see each other.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    with _taken(place, name, wait) as file:
        number = file.fileno()
        _held.add(number)
        try:
            _write(file, f"{os.getpid()}\n".encode())
            yield
        finally:
            _held.discard(number)
            with suppress(OSError):
                (place / name).unlink()


def _taken(place: Path, name: str, wait: float) -> BinaryIO:
    """Open the file and take it; again, if its last holder removed it between the two."""
    while True:
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = (place / name).open("ab+", buffering=0)
        except OSError as error:
            fix = "choose another --out"
            raise InputError(f"cannot be written ({error.strerror})", where=place, fix=fix) from error
        try:
            _take(file, place, wait)
        except BaseException:
            file.close()
            raise
        if _is_at(file, place / name):
            return file
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _take(file: BinaryIO, place: Path, wait: float) -> None:
    end = time.monotonic() + wait
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                file.seek(0)
                holder = file.read(20).decode(errors="replace").strip() or "unknown"
                raise InputError(
                    f"another process works in it (process {holder})",
                    where=place,
                    fix="wait until it has finished, stop it, or choose another --out",
                ) from None
            time.sleep(0.1)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return
            raise InputError(f"cannot be locked ({error.strerror})", where=place, fix="choose another --out") from error


def _write(file: BinaryIO, text: bytes) -> None:
    """Replace what the file says; it only informs, so a full disk does no harm."""
    with suppress(OSError):
        file.truncate(0)
        file.write(text)


def _let_go() -> None:
    """In a forked process: a loading process that outlives a killed training must not hold its folder."""
    for number in _held:
        # not closed, because the file object still believes in it
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, number)
        os.close(nothing)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
