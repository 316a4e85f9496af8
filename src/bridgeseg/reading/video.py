"""Video files and cameras -> frames, upright, with their times (streams: `live`). Needs PyAV, the extra `video`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeseg.errors import DataError, InputError, MissingDependencyError
from bridgeseg.images import Note, Pixels

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"}
)
"""What the name of a file must end with to be taken for a video."""
COVER = 1024 | 2048  # FFmpeg's dispositions: an attached picture, thumbnails
CAMERA = "camera:"
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
HALF = Fraction(1, 2)  # times are rounded to whole units
MISSING_S = 0.5
"""A video that ends this much before the end that it states is reported as cut off."""


@dataclass(frozen=True, eq=False)
class Video:
    """A video that has been found, not yet opened; two of the same file are two.

    Attributes:
        path: the file, `camera:0`, or the address of a stream without user and password.
        name: what outputs are named after, as of an image.
        address: the whole address of a stream, None for a file or a camera.
    """

    path: Path
    name: Path
    address: str | None = field(default=None, repr=False)

    @property
    def is_file(self) -> bool:
        """Whether it is neither a camera nor a stream."""
        return self.camera is None and self.address is None

    @property
    def shown(self) -> str:
        """The path as messages show it: that of a stream with both slashes, which a Path makes one."""
        return str(self.path) if self.address is None else str(self.path).replace(":/", "://", 1)

    @property
    def camera(self) -> int | None:
        """The number of the camera, None for a file."""
        return int(str(self.path).removeprefix(CAMERA)) if is_camera(str(self.path)) else None


@dataclass(frozen=True)
class Frame:
    """Which frame of which video a result belongs to.

    Attributes:
        video: one object for all frames of it.
        index: its number in the video, from 0; with `every` or `max_fps` some are left out.
        pts: its time since the first frame, in units of `time_base`.
        time_base: seconds.
        dropped: how many frames of a stream were dropped before it, because the one before them took so long.
    """

    video: Video
    index: int
    pts: int
    time_base: Fraction
    dropped: int = 0

    @property
    def time(self) -> float:
        """Seconds since the first frame."""
        return float(self.pts * self.time_base)


def is_camera(name: str) -> bool:
    """Whether a name stands for a camera: `camera:0`."""
    return name.startswith(CAMERA) and name.removeprefix(CAMERA).isdecimal()


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return path.suffix.lower() in SUFFIXES


def import_av() -> Any:
    """Import PyAV.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        fix = "pip install 'bridgeseg[video]'"
        raise MissingDependencyError("videos, cameras and streams need the package 'av' (PyAV)", fix=fix) from error
    return av


def read_frames(
    video: Video,
    *,
    every: int = 1,
    max_fps: float | None = None,
    max_pixels: int | None = None,
    notes: list[Note] | None = None,
) -> Generator[tuple[Pixels, Frame], None, None]:
    """Decode a video, one frame after the other.

    Frames are turned as the video's own rotation says (phones store them lying), and keep their times, evenly spaced
    or not.

    Args:
        video: the file or camera.
        every: take every Nth frame only.
        max_fps: leave out frames that follow the one before sooner than this allows.
        max_pixels: refuse videos of larger frames.
        notes: which of several streams is read is added here before the first frame.

    Yields:
        uint8 RGB (H, W, 3) and which frame it is.

    Raises:
        MissingDependencyError: PyAV is not installed.
        DataError: it is no video; or, after the frames it has, it is damaged or ends before its stated end.
    """
    av = import_av()
    with _open(av, video) as container:
        stream, several = film(container, video)
        if notes is not None:
            notes += several
        size: tuple[int, int] | None = None
        due: Fraction | None = None
        clock = _Clock(stream)
        for index, frame in enumerate(_decode(av, video, container, stream, clock)):
            pts = clock.tick(frame)
            if index % every or (due is not None and (pts + HALF) * clock.base < due):
                continue
            if max_fps is not None:
                gap, time = 1 / Fraction(max_fps), pts * clock.base
                due = due + gap if due is not None and due + gap > time else time + gap
            size = sized(video, frame, index, size, max_pixels)
            yield upright(frame), Frame(video, index, pts, clock.base)


def sized(
    video: Video, frame: VideoFrame, index: int, size: tuple[int, int] | None, max_pixels: int | None
) -> tuple[int, int]:
    """Return width and height of a frame, if it is no larger than allowed and of the `size` of the one before it.

    Raises:
        DataError: it is not.
    """
    if max_pixels is not None and frame.width * frame.height > max_pixels:
        found = f"frames of {frame.width}x{frame.height} are more than the limit of {max_pixels:,} pixels"
        fix = f"if you trust the file, raise the limit: `max_pixels={frame.width * frame.height}`"
        raise DataError(found, where=video.shown, fix=fix)
    if size not in (None, (frame.width, frame.height)):
        fix = "split it there, or convert it to one size"
        raise DataError(f"its frames change their size at number {index}", where=video.shown, fix=fix)
    return frame.width, frame.height


def film(container: InputContainer, video: Video) -> tuple[VideoStream, list[Note]]:
    """Choose the first stream that is a film and not the picture on its cover; say so where there are several."""
    streams = list(container.streams.video)
    films = [stream for stream in streams if not getattr(stream.disposition, "value", stream.disposition) & COVER]
    if not films:
        found = "there is no video in this file" + (", only a cover image" if streams else "")
        raise DataError(found, where=video.shown, fix="give a file with a video track")
    if len(films) == 1:
        return films[0], []
    size = f"{films[0].width}x{films[0].height}"
    number = streams.index(films[1])
    message = f"{len(films)} video streams in one file: only the first is read, {size}"
    fix = f"for another: ffmpeg -i {shlex.quote(str(video.path))} -map 0:v:{number} -c copy other.mkv"
    return films[0], [Note("streams", message, fix)]


class _Clock:
    """Times of frames since the first; those without one follow at the stated rate."""

    def __init__(self, stream: VideoStream) -> None:
        self.base: Fraction = stream.time_base or Fraction(1, 90_000)
        rate = stream.average_rate or stream.base_rate or Fraction(25)
        self.gap = max(1, round(1 / (rate * self.base)))
        self.first: int | None = None
        self.last = -self.gap

    def tick(self, frame: VideoFrame) -> int:
        """Return the time of the next frame, always later than the one before."""
        pts = frame.pts if frame.pts is not None else (self.first or 0) + self.last + self.gap
        if self.first is None:
            self.first = pts
        self.last = max(pts - self.first, self.last + 1)
        return self.last


def _decode(
    av: Any, video: Video, container: InputContainer, stream: VideoStream, clock: _Clock
) -> Iterator[VideoFrame]:
    """Yield what can be decoded, and then say if that was not all."""
    reasons = []
    count = 0
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    count += 1
                    if frame.is_corrupt:
                        reasons.append(f"frame {count - 1} is damaged")
                    yield frame
            except av.error.FFmpegError as error:
                reasons.append(error.strerror or str(error))
    except av.error.FFmpegError as error:  # nothing more can be read
        reasons.append(error.strerror or str(error))
    if video.camera is not None:
        raise DataError("the camera gives no more images", where=video.path, fix="plug it in, and start again")
    lost = _seconds(container, stream, clock) - float((clock.last + clock.gap) * clock.base)
    if count == 0 or reasons or lost > MISSING_S:
        found = "no frame of this video can be read" if count == 0 else f"damaged or cut off, {count} frames were read"
        found += f" and {lost:.1f} s are missing" if count and lost > MISSING_S else ""
        found += f" ({reasons[0]})" if reasons else ""
        raise DataError(found, where=video.path, fix="copy or record the file again")


def _seconds(container: InputContainer, stream: VideoStream, clock: _Clock) -> float:
    """Return how long the images of a video are said to last, 0 if nothing is said of them."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6 - float(max(clock.first or 0, 0) * clock.base)  # counted from time 0
    return 0.0


def _open(av: Any, video: Video) -> Any:
    try:
        if video.camera is None:
            # "file:" and the whitelist keep a name with a colon, or a playlist named .mp4, from leading elsewhere
            path = f"file:{os.path.abspath(video.path)}"  # noqa: PTH100 (links stay as they are named)
            return av.open(path, options={"protocol_whitelist": "file"})
        if sys.platform not in CAMERAS:
            raise InputError("cameras work on Linux and macOS only", where=video.path, fix="record a file first")
        kind, name = CAMERAS[sys.platform]
        return av.open(name.format(video.camera), format=kind)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        what, fix = "as a video", "give a file that a player can play"
        if video.camera is not None:
            what, fix = "as a camera", "check its number and permissions: ls -l /dev/video*"
        raise DataError(f"cannot be read {what}: {reason}", where=video.path, fix=fix) from error


def upright(frame: VideoFrame) -> Pixels:
    """Return the pixels of a frame, turned as its video says: uint8 RGB (H, W, 3)."""
    pixels = frame.to_ndarray(format="rgb24")
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters) if quarters else pixels)
