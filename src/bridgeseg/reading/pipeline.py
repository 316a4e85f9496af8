"""Stages that work at the same time: each in a thread of its own, with little and countable work between them.

A stage is an ordinary generator over the results of the one before:

>>> with Pipeline() as pipeline:
...     squares = pipeline.ahead(number * number for number in range(4))
...     list(pipeline.ahead(square + 1 for square in squares))
[1, 2, 5, 10]

Decoding, networks and encoding all release Python's lock, so threads are enough. A stage that is ahead waits (between
two stages there are at most `DEPTH` items), what a stage raises is raised where its results are asked for, and the end
of the `with` block ends every thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

DEPTH = 2
ROOM = 24_000_000
"""Pixels of images that are on their way at a time; one larger than this goes alone."""
PATIENCE_S = 10.0
"""How long the end waits for a stage, such as one inside a network; it is only ever one item long."""
POLL_S = 0.1


class Cancelled(Exception):  # noqa: N818 (nothing went wrong)
    """Raised inside a stage whose results nobody wants any more."""


class Pipeline:
    """The threads of one run and what they share.

    Args:
        stop: once set, the first stage (`source=True`) is taken to have ended, and the others finish what they have.
        room: how many pixels `take` lets through at a time; None for `ROOM`.
    """

    def __init__(self, stop: threading.Event | None = None, room: int | None = None) -> None:
        self._stop, self._room, self._used = stop or threading.Event(), room or ROOM, 0
        self._changed = threading.Condition()
        self._cancelled = False
        self._threads: list[tuple[threading.Thread, float]] = []
        self._ends: list[Callable[[], None]] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        for end in self._ends:
            end()
        for thread, patience in self._threads:
            if thread is not threading.current_thread():
                thread.join(patience)

    def ahead(self, items: Iterable[Item], *, depth: int = DEPTH, source: bool = False) -> Iterator[Item]:
        """Go through `items` in a thread, up to `depth` of them ahead of what is asked for.

        Args:
            items: closed in that thread at the end, if it is a generator.
            depth: items that may wait.
            source: this stage can be left where it is: it may wait for a camera or for standard input.

        Raises:
            Cancelled: the pipeline ended.
        """
        channel: _Channel[Item] = _Channel()
        name = f"bridgeseg-{len(self._threads)}"
        thread = threading.Thread(target=self._pump, args=(items, channel, depth), name=name, daemon=True)
        self._threads.append((thread, POLL_S * 5 if source else PATIENCE_S))
        thread.start()
        return self._results(channel, source)

    def at_end(self, end: Callable[[], None]) -> None:
        """Call something at the end of the `with` block, before its threads are waited for: to hurry one of them."""
        self._ends.append(end)

    def take(self, pixels: int) -> None:
        """Wait until there is room for so many pixels; whoever is done with them calls `give`.

        Raises:
            Cancelled: the pipeline ended.
        """
        with self._changed:
            while self._used and self._used + pixels > self._room:
                self._wait()
            self._used += pixels

    def give(self, pixels: int) -> None:
        """Return the room that so many pixels took."""
        with self._changed:
            self._used -= pixels
            self._changed.notify_all()

    def check(self) -> None:
        """Raise Cancelled if the pipeline ended: for stages whose single items take long."""
        if self._cancelled:
            raise Cancelled

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def _pump(self, items: Iterable[Item], channel: _Channel[Item], depth: int) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                with self._changed:
                    while len(channel.waiting) >= depth:
                        self._wait()
                    channel.waiting.append(item)
                    self._changed.notify_all()
                del item  # a large image must not outlive its turn
                self.check()
        except Cancelled:
            pass
        except BaseException as caught:
            error = caught
        try:
            if close := getattr(items, "close", None):
                close()
        except Exception as caught:
            error = error or caught
        with self._changed:
            channel.ended, channel.error = True, error
            self._changed.notify_all()

    def _results(self, channel: _Channel[Item], source: bool) -> Iterator[Item]:
        while True:
            with self._changed:
                while not channel.waiting and not channel.ended and not (source and self.stopping):
                    self._wait()
                self.check()
                if source and self.stopping:
                    return
                if not channel.waiting:
                    if channel.error is not None:
                        raise channel.error
                    return
                item = channel.waiting.popleft()
                self._changed.notify_all()
            yield item
            del item

    def _wait(self) -> None:
        """Wait for a change, or a moment at most, so that a signal or a stop is noticed."""
        self.check()
        self._changed.wait(POLL_S)
        self.check()


class _Channel(Generic[Item]):
    """What is between two stages."""

    def __init__(self) -> None:
        self.waiting: deque[Item] = deque()
        self.ended = False
        self.error: BaseException | None = None
