"""Streams by address (RTSP, HTTP and others) -> the newest frame, whenever one is asked for. Needs PyAV."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeseg.errors import DataError, InputError
from bridgeseg.images import Note, Pixels
from bridgeseg.reading.addresses import whole, without_password
from bridgeseg.reading.video import Frame, Video, film, import_av, sized, upright

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

OPTIONS = {
    # a playlist may name what it likes, but neither a file of this machine nor a pipe
    "protocol_whitelist": "rtsp,rtp,srtp,rtmp,rtmps,rtmpt,ffrtmphttp,ffrtmpcrypt,http,https,httpproxy,tls,tcp,udp,srt,"
    "mmsh,mmst,crypto",
    "rtsp_flags": "prefer_tcp",
    "fflags": "nobuffer",
}
QUIET_S = 10.0
"""A connection that gives no image for so long is taken for broken."""
SHORTEST_S, LONGEST_S = 0.5, 15.0
"""Pauses between attempts to connect again: the first, and the longest; each is twice the one before."""
POLL_S = 0.1
BASE = Fraction(1, 1000)


def stream(name: str) -> Video:
    """Return the stream of an address; results are named after host and path."""
    shown = without_password(name)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", shown.partition("://")[2]).strip("-")[:60]
    return Video(Path(shown), Path(plain or "stream"), whole(name))


def read_stream(
    video: Video,
    *,
    every: int = 1,
    max_fps: float | None = None,
    max_pixels: int | None = None,
    patience: float = 60.0,
    notes: list[Note] | None = None,
    check: Callable[[], None] | None = None,
) -> Generator[tuple[Pixels, Frame], None, None]:
    """Receive a stream, and connect again when it breaks off.

    Frames are received in a thread of their own, at the speed at which they are sent. One that nobody has taken when
    the next one comes is dropped, so what is done with them may be slow without falling behind. Times are those of
    arrival.

    Args:
        video: what `stream` gives.
        every: take every Nth frame only.
        max_fps: leave out frames that follow the one before sooner than this allows.
        max_pixels: refuse streams of larger frames.
        patience: seconds for which a stream that broke off is tried again.
        notes: what is said of the next frame is added here: which of several videos is read, and interruptions.
        check: called while waiting; what it raises ends the stream.

    Yields:
        uint8 RGB (H, W, 3) and which frame it is.

    Raises:
        MissingDependencyError: PyAV is not installed.
        DataError: there is no stream; or, after the frames it gave, it did not come back.
    """
    receiver = _Receiver(import_av(), video, every, max_fps, patience)
    threading.Thread(target=receiver.run, name="bridgeseg-stream", daemon=True).start()
    size: tuple[int, int] | None = None
    try:
        while (image := receiver.newest(check or (lambda: None))) is not None:
            if notes is not None:
                notes += image.notes
            size = sized(video, image.frame, image.index, size, max_pixels)
            yield upright(image.frame), Frame(video, image.index, image.pts, BASE, image.dropped)
    finally:
        receiver.leave()


@dataclass(frozen=True)
class _Image:
    """A frame that has been received, and not yet converted."""

    frame: VideoFrame
    index: int
    pts: int
    dropped: int
    notes: tuple[Note, ...]


class _Receiver:
    """Receives a stream in a thread; between it and whoever asks there is room for one frame."""

    def __init__(self, av: Any, video: Video, every: int, max_fps: float | None, patience: float) -> None:
        self._av, self._video, self._every, self._patience = av, video, every, patience
        self._gap = 0.0 if max_fps is None else 1 / max_fps
        self._changed, self._left = threading.Condition(), threading.Event()
        self._waiting: _Image | None = None
        self._error: BaseException | None = None
        self._count = self._dropped = 0
        self._notes: tuple[Note, ...] = ()
        self._broken = ""
        self._first = self._last = self._due = 0.0
        self._pts = -1

    def newest(self, check: Callable[[], None]) -> _Image | None:
        """Wait for a frame; None once it was left."""
        with self._changed:
            while self._waiting is None:
                check()
                if self._error is not None:
                    raise self._error
                if self._left.is_set():
                    return None
                self._changed.wait(POLL_S)
            image, self._waiting = self._waiting, None
            return image

    def leave(self) -> None:
        """End the thread, at its next frame at the latest."""
        self._left.set()

    def run(self) -> None:
        """Receive until it is left, or until a stream that broke off has not come back in time."""
        try:
            pause = SHORTEST_S
            while not self._left.is_set():
                before = self._count
                reason = self._receive()
                self._broken = self._broken or reason
                if self._count == 0:
                    raise self._unusable()
                pause = SHORTEST_S if self._count > before else min(2 * pause, LONGEST_S)
                rest = self._last + self._patience - time.monotonic()
                if rest <= 0:
                    raise self._gone(reason)
                self._left.wait(min(pause, rest))
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _receive(self) -> str:
        """Receive one connection to its end; return why it ended."""
        errors = self._av.error
        try:
            with self._av.open(self._video.address, options=OPTIONS, timeout=(QUIET_S, QUIET_S)) as container:
                chosen, several = film(container, self._video)
                self._notes += () if self._count else tuple(several)
                silent = time.monotonic()
                for packet in container.demux(chosen):
                    with suppress(errors.InvalidDataError):  # until the next whole image, after a gap
                        for frame in packet.decode():
                            if not frame.is_corrupt:
                                silent = time.monotonic()
                                self._offer(frame, silent)
                    if self._left.is_set():
                        return "it was left"
                    if time.monotonic() - silent > QUIET_S:
                        break
                else:
                    return "the sender ended it"
            return f"no image for {QUIET_S:.0f} s"
        except errors.ExitError:
            return f"no answer for {QUIET_S:.0f} s"
        except (errors.FFmpegError, ValueError, OSError) as error:
            return str(getattr(error, "strerror", None) or error)

    def _offer(self, frame: VideoFrame, now: float) -> None:
        """Let a frame wait in place of the one that waits."""
        with self._changed:
            index, self._count = self._count, self._count + 1
            if index == 0:
                self._first = self._due = now
            elif self._broken:
                away = f"the stream broke off ({self._broken}) and was away for {now - self._last:.1f} s"
                fix = "what was sent meanwhile is lost; record it at its source if none of it may be"
                self._notes, self._broken = (*self._notes, Note("interrupted", away, fix)), ""
            self._last = now
            if index % self._every or now < self._due:
                return
            due = self._due + self._gap
            self._due = due if due > now else now + self._gap
            self._pts = max(round((now - self._first) / BASE), self._pts + 1)
            if self._waiting is not None:
                self._dropped += 1
                self._notes = self._waiting.notes + self._notes
            self._waiting = _Image(frame, index, self._pts, self._dropped, self._notes)
            self._notes = ()
            self._changed.notify_all()

    def _unusable(self) -> InputError:
        shown = self._video.shown
        fix = f"check the address, user and password, and whether it plays: ffplay {shlex.quote(shown)}"
        if shown.startswith("http"):
            fix += f"; if it is a file, download it first: curl -LO {shlex.quote(shown)}"
        return DataError(f"cannot be read as a stream: {self._broken}", where=shown, fix=fix)

    def _gone(self, reason: str) -> InputError:
        found = f"the stream broke off after {self._count} frames ({self._broken})"
        if self._patience:
            found += f" and did not come back in {self._patience:g} s ({reason})"
        fix = f"check its sender; to wait longer: `reconnect={max(60, round(10 * self._patience))}`"
        return DataError(found, where=self._video.shown, fix=fix)
