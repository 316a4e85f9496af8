"""Ctrl-C and SIGTERM: the first ends a run after what it is at, the second at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Stop(threading.Event):
    """An event that signals set, as long as the `with` block lasts.

    In a thread other than the main one, where Python takes no signals, it is a plain event.

    Attributes:
        signal: the number of the first signal, None if there was none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signal: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _asked(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        self.set()  # safe here: nobody waits on the event itself, so this thread cannot be holding its lock
