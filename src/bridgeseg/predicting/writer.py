"""Many results into one folder: names that never collide."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bridgeseg.classes import ClassSet
from bridgeseg.errors import InputError
from bridgeseg.predicting.video_writer import DEFAULT_CODEC, VideoSink
from bridgeseg.reading.video import Video
from bridgeseg.runtime.result import Result, stem
from bridgeseg.runtime.saving import MASK, OVERLAY, Record

VIDEO, MASKS = "_overlay.mp4", "_masks"


class Writer:
    """Writes the results of one run into a folder.

    An image `street.jpg` becomes `street_mask.png` and `street_overlay.jpg`; images found in subfolders keep them.
    A second image that would take the same names (`other/street.jpg`, `street.png`) becomes `street-2_mask.png` and
    so on, in the order of the run. Files of earlier runs are replaced, images listed in `inputs` never.

    Args:
        folder: made when the first result is written.
        overlay: write overlays too.
        inputs: real paths of files that must not be replaced.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(self, folder: str | Path, *, overlay: bool = True, inputs: Iterable[str] = ()) -> None:
        self.folder, self.overlay = Path(folder), overlay
        self._inputs = frozenset(path.casefold() for path in inputs)
        self._taken: set[int] = set()  # of a million names the hashes; two of the same cost no more than a "-2"
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("results go into a folder, this is a file", where=self.folder, fix="name another folder")

    def write(self, result: Result) -> Record:
        """Write the files of one image.

        Raises:
            InputError: the disk is full, the folder cannot be written or the like; no partial file is left behind.
        """
        return result.save_as(self.folder / self._stem(result.name), overlay=self.overlay)

    def video(self, video: Video, classes: ClassSet, *, masks: bool = False, codec: str = DEFAULT_CODEC) -> VideoSink:
        """Choose the names for a video, `<name>_overlay.mp4` and the folder `<name>_masks`; nothing is written yet."""
        chosen = self._stem(video.name)
        return VideoSink(
            video,
            classes,
            self.folder / f"{chosen}{VIDEO}" if self.overlay else None,
            self.folder / f"{chosen}{MASKS}" if masks else None,
            codec,
        )

    def _stem(self, name: Path) -> str:
        """Choose the path below the folder, without ending, that no other image of this run has."""
        chosen = first = str(stem(name))
        number = 1
        # Upper and lower case count as the same: on some file systems they are.
        while hash(chosen.casefold()) in self._taken or self._is_input(chosen):
            number += 1
            chosen = f"{first}-{number}"
        self._taken.add(hash(chosen.casefold()))
        return chosen

    def _is_input(self, chosen: str) -> bool:
        if not self._inputs:
            return False
        base = os.path.realpath(self.folder)
        endings = (MASK, OVERLAY, str(Path(OVERLAY).with_suffix(".png")), VIDEO)
        return any(os.path.join(base, chosen + ending).casefold() in self._inputs for ending in endings)  # noqa: PTH118
