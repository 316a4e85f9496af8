"""A folder for one process at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bridgeseg.errors import InputError
from bridgeseg.files import write

LOCK = ".lock"
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What file systems without locks answer, some of those of clusters among them."""


@contextmanager
def lock(place: Path, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Hold a folder for this process alone; a file in it names the holder.

    The system drops the hold when its process ends, however it ends: a file that is left over holds nobody up, and
    neither do processes that it forked. A link where the file should be is refused, never followed. On file systems
    without locks nobody is kept out.

    Args:
        place: the folder; made if needed.
        wait: seconds to wait for another process to go.
        name: of the file; holds of different names do not see each other.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    path = place / name
    held = FileLock(path, timeout=wait, poll_interval=0.1, fallback_to_soft=False, on_acquired=_sign)
    try:
        place.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout:
        raise InputError(
            f"another process works in it (process {_holder(path)})",
            where=place,
            fix="wait until it has finished, stop it, or choose another `out`",
        ) from None
    except OSError as error:
        if path.is_symlink():
            message, remedy = "is a link, and locks are not written through links", "remove the link"
            raise InputError(message, where=path, fix=remedy) from error
        if error.errno not in NO_LOCKS:
            what = "locked" if path.exists() else "written"
            raise InputError(f"cannot be {what} ({error.strerror})", where=place, fix="choose another `out`") from error
        write(path, f"{os.getpid()}\n")
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held: who waits for the file sees that it is gone, and makes another
            path.unlink()
        held.release()


def _sign(descriptor: int) -> None:
    """Write who holds the lock into its file, unless that file has another name too; it only informs."""
    with suppress(OSError):
        if os.fstat(descriptor).st_nlink == 1:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())


def _holder(path: Path) -> str:
    try:
        return path.read_bytes()[:20].decode(errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"
