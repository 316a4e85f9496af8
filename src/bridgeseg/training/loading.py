"""Processes that load data: they never run the calling script again, and whether one was lost is known."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from bridgeseg.errors import InputError

Item = TypeVar("Item", covariant=True)


class Loader(DataLoader[Item]):
    """A loader whose processes can be started from a script without `if __name__ == "__main__":`.

    Attributes:
        processes: those that it started last.
    """

    processes: tuple[BaseProcess, ...] = ()

    def __iter__(self) -> _BaseDataLoaderIter:
        """Start the processes, unless they run already."""
        before = set(multiprocessing.active_children())
        with without_script():
            iterator = super().__iter__()
        started = tuple(process for process in multiprocessing.active_children() if process not in before)
        self.processes = started or self.processes
        return iterator

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation are drawn."""
        parts: tuple[Any, ...] = (self.dataset, self.sampler, self.batch_sampler)
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def lost(self) -> list[BaseProcess]:
        """Return the processes that ended by a signal or with an error."""
        return [process for process in self.processes if process.exitcode not in (None, 0)]


@contextmanager
def without_script() -> Iterator[None]:
    """Start processes that import what they need and do not run the calling script again, as `spawn` would have them.

    Nothing that the script itself defines may be sent to them.
    """
    if multiprocessing.get_start_method() == "fork":  # such a process is a copy and runs no script
        yield
        return
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def refuse_import() -> None:
    """Refuse to train while a process that was just started imports the script that started it.

    Raises:
        InputError: this process does.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "a process started by this script runs the script again, and so comes to this call a second time",
            fix='put the call under `if __name__ == "__main__":`',
        )
