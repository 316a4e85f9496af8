"""A progress bar that shows itself only when there is something to wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")

PATIENCE = 2.0
"""Seconds of work before the bar appears."""


def with_progress(items: Sequence[Item], title: str) -> Iterator[Item]:
    """Yield `items`; a bar on standard error appears once the work has taken over two seconds."""
    started = time.monotonic()
    bar: Progress | None = None
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - started > PATIENCE:
                bar = Progress(transient=True, console=Console(stderr=True))
                bar.add_task(title, total=len(items))
                bar.start()
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
            yield item
    finally:
        if bar is not None:
            bar.stop()
