"""Lines that wait on the disk until a run ends, for files that all images share."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from bridgeseg.errors import InputError
from bridgeseg.files import replacing
from bridgeseg.runtime.saving import FIX
from bridgeseg.wording import shown


class Spool:
    """Takes text, and gives it back once: memory stays the same for any number of images."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def add(self, text: str) -> None:
        """Keep some text.

        Raises:
            InputError: the disk is full.
        """
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._file.write(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise InputError(f"cannot be written: {shown(error)}", where=tempfile.gettempdir(), fix=FIX) from error

    @property
    def empty(self) -> bool:
        """Whether nothing was kept."""
        return self._file is None

    def pour(self, file: IO[bytes]) -> None:
        """Write all of it into a file, and forget it."""
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, file)
            with suppress(OSError):
                self._file.close()
            self._file = None


def written(path: Path, *parts: bytes | Spool) -> None:
    """Write a file of several parts, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with replacing(path, FIX) as part, part.open("wb") as file:
        for piece in parts:
            if isinstance(piece, Spool):
                piece.pour(file)
            else:
                file.write(piece)
