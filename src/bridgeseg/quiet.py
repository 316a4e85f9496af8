"""Libraries that talk too much, kept quiet for as long as a call takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let only errors of some loggers through; afterwards the levels and the root logger's handlers are as before.

    Args:
        loggers: their names; "" is the root logger. Whatever is named, a library that logs through the root logger
            cannot install a handler for the whole program, as `logging.warning` does when there is none.
    """
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in loggers}
    placeholder = None if root.handlers else logging.NullHandler()
    if placeholder is not None:
        root.addHandler(placeholder)
    try:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(max(level, logging.ERROR))
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if placeholder is not None:
            root.removeHandler(placeholder)
