"""Many pictures into one folder: find, count, segment, write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bridgeseg.errors import InputError
from bridgeseg.inference.model import Model, Picture, expand
from bridgeseg.inference.sources import Failure, survey
from bridgeseg.inference.writer import Record, Writer


class Batch:
    """A run over many pictures whose results are written to a folder.

    The pictures are looked for twice, once to count them and to learn which lie where results will go, and once to do
    them; neither time are they all in memory.

    Args:
        sources: files, folders, globs, pictures in memory.
        out: folder for the results; left out of the search if it lies in a folder that is searched.
        recursive: search the subfolders of folders.
        overlay: write overlays too.

    Attributes:
        total: how many pictures (and names that lead to none) there are.

    Raises:
        InputError: no sources; `out` is a file, or a folder that pictures are taken from.
    """

    def __init__(
        self, sources: Iterable[Picture], out: str | Path, *, recursive: bool = False, overlay: bool = True
    ) -> None:
        self._sources, self._recursive, self._out = list(sources), recursive, Path(out)
        if not self._sources:
            raise InputError("no pictures were given", fix="name files, folders or globs: bridgeseg predict photos/")
        real = os.path.realpath(out)
        for source in self._sources:
            if isinstance(source, str | Path) and Path(source).is_dir() and os.path.realpath(source) == real:
                raise InputError(
                    "results cannot go into a folder of pictures: the next run would take them for pictures",
                    where=out,
                    fix=f"choose another folder: --out {Path(out) / 'out'}",
                )
        self.total, inputs = survey(self._find(), out)
        self._writer = Writer(out, overlay=overlay, inputs=inputs)

    def run(self, model: Model, **options: Any) -> Iterator[Record | Failure]:
        """Do one picture after the other; options as in `Model.stream`.

        Raises:
            InputError: a result cannot be written.
        """
        for item in model.stream(self._find(), **options):
            yield item if isinstance(item, Failure) else self._writer.write(item)

    def _find(self) -> Iterator[Any]:
        return expand(self._sources, recursive=self._recursive, skip=self._out)
