"""The progress bar: on standard error, and only where there is a terminal and something to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")

PATIENCE = 2.0
"""Seconds of work before the bar appears."""


class ProgressBar:
    """A bar with a title, the steps done, the time left and a note; it appears after `PATIENCE` seconds and then goes.

    Use it as a context manager, or call `start` and `stop`. Without a terminal, or with `show` false, every call does
    nothing.

    Args:
        title: what is done.
        total: number of steps; None if it is not known.
        done: steps done before.
        show: whether it may appear at all.
        note: called whenever the bar is drawn, for the text at its end; by default the note of the last `advance`.
        keep_stderr: leave `sys.stderr` alone; by default, what the program writes there appears above the bar.

    Attributes:
        console: the console of standard error. What is printed by it appears above the bar.
        moving: whether the bar can appear.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        *,
        done: int = 0,
        show: bool = True,
        note: Callable[[], str] | None = None,
        keep_stderr: bool = False,
    ) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.moving = show and (self.console.is_terminal or self.console.is_jupyter)
        self._text = ""
        counted = (MofNCompleteColumn(), TimeRemainingColumn()) if total != 1 else ()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), *counted, _Note(note or (lambda: self._text)),
            console=self.console, transient=True, disable=not self.moving,
            redirect_stdout=False, redirect_stderr=not keep_stderr,
        )  # fmt: skip
        self._task = self._bar.add_task(title, total=total, completed=done)
        self._lock, self._stopped = threading.Lock(), False
        self._timer = threading.Timer(PATIENCE, self._appear)
        self._timer.daemon = True

    def start(self) -> None:
        """Let the bar appear when the time has come."""
        if self.moving:
            self._timer.start()

    def stop(self) -> None:
        """Take the bar away; it may be called more than once."""
        self._timer.cancel()
        with self._lock:
            self._stopped = True
            if self._bar.live.is_started:  # else older versions of Rich print an empty line
                self._bar.stop()

    def advance(
        self, steps: int = 1, *, title: str | None = None, note: str | None = None, total: int | None = None
    ) -> None:
        """Move on by some steps, with another title, note or total if they are given."""
        self._text = self._text if note is None else note
        self._bar.update(self._task, advance=steps, description=title, total=total)

    def move(self, done: float, *, title: str | None = None, note: str | None = None) -> None:
        """Move to a number of steps done, with another title or note if they are given."""
        self._text = self._text if note is None else note
        self._bar.update(self._task, completed=done, description=title)

    def _appear(self) -> None:
        with self._lock:
            if not self._stopped:
                self._bar.start()

    def __enter__(self) -> ProgressBar:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def track(items: Sequence[Item], title: str, *, show: bool = True) -> Iterator[Item]:
    """Yield `items` and move a bar on with each."""
    with ProgressBar(title, len(items), show=show) as bar:
        for item in items:
            yield item
            bar.advance()


class _Note(ProgressColumn):
    """A text that changes while the bar is drawn."""

    max_refresh = None

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text())


def time_left(elapsed: float, done: float, total: float) -> str:
    """Guess the time to the end from what is done so far: `1:05 h`, `12 min`, `40 s`, or `?` at the start.

    Args:
        elapsed: seconds spent on what is done.
        done, total: in any unit.
    """
    if done <= 0:
        return "?"
    seconds = elapsed * (total - done) / done
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d} h"
    return f"{minutes} min" if seconds >= 60 or seconds == 0 else f"{round(seconds)} s"
