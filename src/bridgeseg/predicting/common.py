"""What images are called where a path must lead back to one: below the folder that all of a run lie in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridgeseg.reading.loading import Found
from bridgeseg.reading.sources import Source
from bridgeseg.runtime.result import Result


class Common:
    """The folder that all images of a run lie in; the one that was searched, if it was one.

    Of names that are read from a stream it is not known beforehand: they count from the current folder.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def passing(self, found: Iterable[Found]) -> Iterator[Found]:
        """Learn the folder from what was found, and pass it on."""
        known: Path | None = None
        for item in found:
            if isinstance(item, Source) and (searched := item.path.parents[len(item.name.parts) - 1]) != known:
                known, folder = searched, os.path.abspath(searched)  # noqa: PTH100 (a link keeps its name)
                self._folder = Path(folder if self._folder is None else _shared(folder, str(self._folder)))
            yield item

    def name(self, result: Result) -> Path:
        """Return the path below the folder; of an image in memory its name."""
        if result.source is None:
            return result.name
        path = Path(os.path.abspath(result.source))  # noqa: PTH100
        folder = Path.cwd() if self._folder is None else self._folder
        return path.relative_to(folder if path.is_relative_to(folder) else path.anchor)


def _shared(first: str, second: str) -> str:
    """Return the folder that two folders lie in; of different drives the first, of which only its own are below."""
    try:
        return os.path.commonpath([first, second])
    except ValueError:
        return first
