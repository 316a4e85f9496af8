"""Results of a video's frames -> an overlay video, masks as PNGs, and what was in it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, nearest
from bridgeseg.files import replacing
from bridgeseg.images import Note
from bridgeseg.reading.addresses import whole
from bridgeseg.reading.own import MARK
from bridgeseg.reading.pipeline import Cancelled
from bridgeseg.reading.video import Frame, Video, import_av
from bridgeseg.report import draw
from bridgeseg.report.draw import Drawing
from bridgeseg.report.legend import BACKGROUND
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import save_mask

DEFAULT_CODEC = "libx264"
OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "22"},
    "libx265": {"x265-params": "log-level=error:bframes=0"},  # with B-frames the times of two frames alone can be odd
}
SVT_LOG = "1"
"""Only errors: what SVT-AV1 prints goes by this variable of the environment alone."""
BITS_PER_PIXEL = 0.2
"""Of codecs without a setting of quality (`crf`) above."""
FINEST, COMMON = 65_535, Fraction(1, 60_000)
"""Units of time finer than one some codecs (mpeg4) refuse; in the other all usual rates are whole numbers."""
BT709 = 1  # as FFmpeg and ITU-T H.273 number it


@dataclass(frozen=True)
class VideoRecord:
    """What was written for one video.

    Attributes:
        source: the file, `camera:0`, or the address of a stream without user and password.
        overlay: the video with its classes and a legend; None if none was asked for.
        masks: the folder of PNGs of class ids, named after the number of their frame; None if none were asked for.
        frames: how many frames were done.
        seconds: from the first to the last of them.
        width: of the video, in pixels.
        height: of the video, in pixels.
        areas: class name -> share of all frames together (0..1), largest first.
        notes: what of the file was not read, and interruptions of a stream.
        unknown: share of all frames together that the model is not sure enough of; None if nothing was asked.
        dropped: how many frames of a stream were dropped because the network was busy.
    """

    source: Path
    overlay: Path | None
    masks: Path | None
    frames: int
    seconds: float
    width: int
    height: int
    areas: dict[str, float]
    notes: tuple[Note, ...] = ()
    unknown: float | None = None
    dropped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; shares are rounded to six digits."""
        return {
            "source": whole(str(self.source)),
            "overlay": None if self.overlay is None else str(self.overlay),
            "masks": None if self.masks is None else str(self.masks),
            "frames": self.frames,
            **({"dropped": self.dropped} if self.dropped else {}),
            "seconds": round(self.seconds, 3),
            "width": self.width,
            "height": self.height,
            "areas": {name: round(share, 6) for name, share in self.areas.items()},
            **({} if self.unknown is None else {"unknown": round(self.unknown, 6)}),
            **({"notes": [asdict(note) for note in self.notes]} if self.notes else {}),
        }


class VideoSink:
    """Writes the frames of one video; the overlay video appears under its name when it is complete.

    Args:
        video: where the frames come from.
        classes: names and colours.
        overlay: the overlay video to write, None for none.
        masks: the folder of masks to write, None for none.
        codec: FFmpeg's name of an encoder.
        drawing: how overlays are drawn.
        notes: what is to be said of it.
    """

    def __init__(
        self,
        video: Video,
        classes: ClassSet,
        overlay: Path | None,
        masks: Path | None,
        codec: str,
        drawing: Drawing,
        notes: tuple[Note, ...] = (),
    ) -> None:
        self.video, self.overlay, self.masks, self._codec, self._drawing = video, overlay, masks, codec, drawing
        self._encoder: _Encoder | None = None
        self._notes = notes
        self._counts, self._pixels, self._unknown = np.zeros(len(classes), np.int64), 0, False
        self._classes, self._frames, self._seconds, self._size = classes, 0, 0.0, (0, 0)
        self._dropped = 0

    def write(self, result: Result, frame: Frame) -> None:
        """Add one frame.

        Raises:
            InputError: it cannot be written, or the codec cannot be used.
        """
        self._notes += result.notes
        self._counts += draw.count_pixels(result.mask, len(self._classes))
        self._pixels, self._unknown = self._pixels + result.mask.size, result.least is not None
        height, width = result.mask.shape
        self._frames, self._seconds, self._size = self._frames + 1, frame.time, (width, height)
        self._dropped = frame.dropped
        if self.masks is not None:
            save_mask(draw.palette_image(result.mask, self._classes), self.masks / f"{frame.index:06d}.png")
        if self.overlay is not None:
            if self._encoder is None:
                self._encoder = _Encoder(self.overlay, self._codec, self._key(), self._size, frame.time_base)
            self._encoder.write(result.overlay(legend=False, drawing=self._drawing), frame.pts)

    def _key(self) -> Image.Image:
        return draw.key(self._size, self._classes, self._drawing, unknown=self._unknown)

    def finish(self) -> VideoRecord:
        """Close the video and put it into place."""
        if self._encoder is not None:
            self._encoder.finish()
        width, height = self._size
        areas = draw.shares(self._counts, self._classes, self._pixels)
        unknown = max(0.0, 1 - sum(areas.values())) if self._unknown else None
        places = (self.video.path, self.overlay, self.masks)
        record = VideoRecord(*places, self._frames, self._seconds, width, height, areas, self._notes, unknown)
        return replace(record, dropped=self._dropped)

    def abort(self) -> None:
        """Leave nothing of an unfinished overlay video behind."""
        if self._encoder is not None:
            self._encoder.abort()


class _Encoder:
    """An MP4 under a temporary name, with the legend of all classes below the images."""

    def __init__(self, path: Path, codec: str, legend: Image.Image, size: tuple[int, int], time_base: Fraction) -> None:
        self._av, self._path, self._last = import_av(), path, -1
        self._scale = time_base / (time_base if time_base.denominator <= FINEST else COMMON)
        self._base = time_base / self._scale
        self._place = replacing(path, "free some space, choose another `out`, or another `codec`")
        self._part = self._place.__enter__()
        # most codecs halve the colour planes, so both sides must be even
        self._canvas = Image.new(
            "RGB",
            (legend.width + legend.width % 2, size[1] + legend.height + (size[1] + legend.height) % 2),
            BACKGROUND,
        )
        self._canvas.paste(legend, (0, size[1]))
        self._left = (legend.width - size[0]) // 2
        self._container: Any = None
        self._stream: Any = None
        try:
            self._container = self._av.open(str(self._part), "w", format="mp4")
            self._container.metadata["comment"] = MARK
            self._stream = self._add_stream(codec)
        except Exception as error:
            self.abort()
            if isinstance(error, InputError):
                raise
            raise self._error(error) from error

    def write(self, image: Image.Image, pts: int) -> None:
        """Add an image of the size given at the start."""
        self._canvas.paste(image, (self._left, 0))
        frame = self._av.VideoFrame.from_ndarray(np.asarray(self._canvas), format="rgb24")
        frame = frame.reformat(format=self._stream.pix_fmt, src_colorspace="ITU709", dst_colorspace="ITU709")
        self._last = frame.pts = max(round(pts * self._scale), self._last + 1)
        frame.time_base = self._base
        self._mux(frame)

    def finish(self) -> None:
        """Close the file and put it into place."""
        self._mux(None)
        try:
            self._container.close()
            self._container = None
        except OSError as error:
            raise self._error(error) from error
        self._place.__exit__(None, None, None)

    def abort(self) -> None:
        """Remove what was written."""
        with suppress(Exception):  # a header may be missing, or the disk be full: it is removed anyway
            if self._container is not None:
                self._container.close()
        with suppress(Exception):  # also what the place itself raises when it is given up
            self._place.__exit__(Cancelled, Cancelled(), None)

    def _mux(self, frame: Any) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from error

    def _add_stream(self, codec: str) -> Any:
        check_codec(codec)
        os.environ.setdefault("SVT_LOG", SVT_LOG)
        width, height = self._canvas.size
        options = OPTIONS.get(codec, {})
        stream = self._container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height = width, height
        formats = [kind.name for kind in stream.codec.video_formats or []]
        stream.pix_fmt = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
        stream.time_base = stream.codec_context.time_base = self._base
        stream.codec_context.colorspace = BT709
        if "crf" not in options:
            stream.bit_rate = round(width * height * 30 * BITS_PER_PIXEL)
        return stream

    def _error(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or error
        fix = "free some space, choose another `out`, or another `codec`"
        return InputError(f"cannot be written: {reason}", where=self._path, fix=fix)


def check_codec(codec: str) -> None:
    """Check that an encoder is there.

    Raises:
        ConfigError: FFmpeg has no such encoder of videos in this installation.
        MissingDependencyError: PyAV is not installed.
    """
    av = import_av()
    try:
        if av.codec.Codec(codec, "w").type == "video":
            return
    except av.error.FFmpegError:
        pass
    except ValueError:  # PyAV's own, for names it does not know
        pass
    raise ConfigError(
        f"no encoder {codec!r}", where="codec", fix=nearest(codec, ["libx264", "libx265", "libsvtav1", "mpeg4"])
    )
