"""Many results into one folder: names that never collide."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bridgeseg.classes import ClassSet
from bridgeseg.errors import InputError
from bridgeseg.files import sweep
from bridgeseg.predicting.common import Common
from bridgeseg.predicting.formats import Forms
from bridgeseg.predicting.unique import Unique
from bridgeseg.predicting.video_writer import DEFAULT_CODEC, VideoSink
from bridgeseg.reading.own import ENDINGS, MASKS, VIDEO
from bridgeseg.reading.video import Video
from bridgeseg.report.draw import PLAIN, Drawing
from bridgeseg.runtime.result import Result, stem
from bridgeseg.runtime.saving import Record


class Writer:
    """Writes the results of one run into a folder.

    An image `street.jpg` becomes `street_mask.png` and `street_overlay.jpg`; images found in subfolders keep them.
    A second image that would take the same names (`other/street.jpg`, `street.png`) becomes `street-2_mask.png` and
    so on, in the order of the run. Files of earlier runs are replaced, images listed in `inputs` never.

    Args:
        folder: made when the first result is written.
        overlay: write overlays too.
        inputs: real paths of files that must not be replaced.
        drawing: how overlays are drawn.
        forms: what is written beside overlays; by default the mask alone.
        common: what images are called where a path must lead back to one.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        overlay: bool = True,
        inputs: Iterable[str] = (),
        drawing: Drawing = PLAIN,
        forms: Forms | None = None,
        common: Common | None = None,
    ) -> None:
        self.folder, self.overlay, self.drawing = Path(folder), overlay, drawing
        self._forms = Forms() if forms is None else forms
        self._common = Common() if common is None else common
        self._swept: set[Path] = set()
        self._inputs = frozenset(path.casefold() for path in inputs)
        self._unique = Unique(self._is_input)
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("results go into a folder, this is a file", where=self.folder, fix="name another folder")

    def write(self, result: Result) -> Record:
        """Write the files of one image.

        Raises:
            InputError: the disk is full, the folder cannot be written or the like; no partial file is left behind.
        """
        base = self._base(result.name)
        record = result.save_as(base, mask=self._forms.png, overlay=self.overlay, drawing=self.drawing)
        named = replace(result, name=self._common.name(result))
        files, notes = self._forms.write(named, base.relative_to(self.folder))
        return replace(record, files=files, notes=(*record.notes, *notes))

    def close(self) -> None:
        """Write the files that all images share.

        Raises:
            InputError: they cannot be written.
        """
        self._forms.close()

    def video(self, video: Video, classes: ClassSet, *, masks: bool = False, codec: str = DEFAULT_CODEC) -> VideoSink:
        """Choose the names for a video, `<name>_overlay.mp4` and the folder `<name>_masks`; nothing is written yet."""
        base = self._base(video.name)
        return VideoSink(
            video,
            classes,
            base.with_name(base.name + VIDEO) if self.overlay else None,
            base.with_name(base.name + MASKS) if masks else None,
            codec,
            self.drawing,
            self._forms.not_of_videos(),
        )

    def _base(self, name: Path) -> Path:
        """Choose the path of a result without ending; what a killed run left unfinished there is removed."""
        base = self.folder / self._unique(str(stem(name)))
        if base.parent not in self._swept:
            self._swept.add(base.parent)
            sweep(base.parent)
        return base

    def _is_input(self, chosen: str) -> bool:
        if not self._inputs:
            return False
        base = os.path.realpath(self.folder)
        return any(os.path.join(base, chosen + ending).casefold() in self._inputs for ending in ENDINGS)  # noqa: PTH118
