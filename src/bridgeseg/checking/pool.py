"""Pairs -> facts, in several processes, in the order of the pairs."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

from bridgeseg.checking.examine import Facts, Job, examine
from bridgeseg.data.entries import ImageFacts, MaskFacts, Problem
from bridgeseg.hardware import usable_cores
from bridgeseg.report.progress import track

CHUNK = 16
"""Pairs that a process is given at once."""
Chunk = tuple[Job, ...]


def examine_all(jobs: Sequence[Job], workers: int | None = None, *, quiet: bool = True) -> list[Facts]:
    """Look at pairs; the result is the same for any number of workers.

    Args:
        jobs: what to look at; equal ones are looked at once.
        workers: processes, one per core by default; with one, everything happens in this process.
        quiet: show no progress.
    """
    once = list(dict.fromkeys(jobs))
    chunks = [tuple(once[start : start + CHUNK]) for start in range(0, len(once), CHUNK)]
    count = min(usable_cores() if workers is None else workers, len(chunks))
    facts = list(_alone(chunks, quiet) if count <= 1 else _together(chunks, count, quiet))
    found = dict(zip(once, facts, strict=True))
    return [found[job] for job in jobs]


def _alone(chunks: Sequence[Chunk], quiet: bool) -> Iterator[Facts]:
    for chunk in chunks if quiet else track(chunks, "checking"):
        yield from _chunk(chunk)


def _together(chunks: Sequence[Chunk], workers: int, quiet: bool) -> Iterator[Facts]:
    with ProcessPoolExecutor(workers, _context()) as pool:
        # All processes start here, before the progress bar's thread does: forks and threads do not mix.
        futures: list[Future[list[Facts]]] = [pool.submit(_chunk, chunk) for chunk in chunks]
        try:
            for index, future in enumerate(futures if quiet else track(futures, "checking")):
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    yield from _one_by_one(chunks[index])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C, what has not begun is not waited for


def _one_by_one(chunk: Chunk) -> Iterator[Facts]:
    """Look at every pair in a process of its own: one of them ended a process (a decoder that crashes, no memory)."""
    for job in chunk:
        with ProcessPoolExecutor(1, _context()) as pool:
            try:
                yield from pool.submit(_chunk, (job,)).result()
            except BrokenProcessPool:
                problem = Problem("image-unreadable", "reading image or mask ended the process", "replace both files")
                yield ImageFacts(problem=problem), MaskFacts()


def _chunk(jobs: Chunk) -> list[Facts]:
    return [examine(job) for job in jobs]


def _context() -> BaseContext:
    """Forked processes start at once and need no `if __name__ == "__main__"` in the caller's script."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
