"""Pairs -> facts, in several processes, in the order of the pairs."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

from bridgeseg.checking.examine import ImageFacts, Job, PairFacts, examine
from bridgeseg.checking.maskfile import MaskFacts, Problem
from bridgeseg.data.progress import with_progress

CHUNK = 16
"""Pairs that a process is given at once."""
Chunk = tuple[Job, ...]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def examine_all(jobs: Sequence[Job], workers: int | None = None, *, quiet: bool = True) -> list[PairFacts]:
    """Look at pairs; the result is the same for any number of workers.

    Args:
        jobs: what to look at; equal ones are looked at once.
        workers: processes, one per core by default; with one, everything happens in this process.
        quiet: show no progress.
    """
    once = list(dict.fromkeys(jobs))
    chunks = [tuple(once[start : start + CHUNK]) for start in range(0, len(once), CHUNK)]
    count = min(cores() if workers is None else workers, len(chunks))
    facts = list(_alone(chunks, quiet) if count <= 1 else _together(chunks, count, quiet))
    found = dict(zip(once, facts, strict=True))
    return [found[job] for job in jobs]


def _alone(chunks: Sequence[Chunk], quiet: bool) -> Iterator[PairFacts]:
    for chunk in chunks if quiet else with_progress(chunks, "checking"):
        yield from _chunk(chunk)


def _together(chunks: Sequence[Chunk], workers: int, quiet: bool) -> Iterator[PairFacts]:
    with ProcessPoolExecutor(workers, _context()) as pool:
        # All processes start here, before the progress bar's thread does: forks and threads do not mix.
        futures: list[Future[list[PairFacts]]] = [pool.submit(_chunk, chunk) for chunk in chunks]
        try:
            for index, future in enumerate(futures if quiet else with_progress(futures, "checking")):
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    yield from _one_by_one(chunks[index])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C, what has not begun is not waited for


def _one_by_one(chunk: Chunk) -> Iterator[PairFacts]:
    """Look at every pair in a process of its own: one of them ended a process (a decoder that crashes, no memory)."""
    for job in chunk:
        with ProcessPoolExecutor(1, _context()) as pool:
            try:
                yield from pool.submit(_chunk, (job,)).result()
            except BrokenProcessPool:
                problem = Problem("image-unreadable", "reading image or mask ended the process", "replace both files")
                yield PairFacts(ImageFacts(problem=problem), MaskFacts())


def _chunk(jobs: Chunk) -> list[PairFacts]:
    return [examine(job) for job in jobs]


def _context() -> BaseContext:
    """Forked processes start at once and need no `if __name__ == "__main__"` in the caller's script."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
