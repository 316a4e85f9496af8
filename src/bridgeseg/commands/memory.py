"""How the commands that train hold their memory.

A training step allocates and frees the same hundreds of megabytes as the step before. glibc gives large blocks back to
the system when they are freed, so every step pays for fresh pages again; docs/performance.md has the times.
"""

from __future__ import annotations

import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
"""Read by glibc when a process starts; whoever has set it is left alone."""
KEPT = ":".join(
    f"glibc.malloc.{name}"
    for name in ("hugetlb=1", "mmap_max=0", f"trim_threshold={1 << 40}", f"top_pad={1 << 28}", "arena_max=1")
)
"""Freed memory is kept, and the system is asked for huge pages (glibc 2.35 and up; older ones pass over the word)."""
TRAINING = ("train", "compare")


def keep(words: list[str]) -> None:
    """Start this program again with memory that is kept, if it is to train and nothing is said of memory yet.

    The process stays the same, with its number, its streams and whoever waits for it.

    Args:
        words: of the command line, without the program's name.
    """
    if words[:1] not in ([name] for name in TRAINING) or {"-h", "--help"} & set(words) or VARIABLE in os.environ:
        return
    if platform.libc_ver()[0] == "glibc":
        os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: KEPT})
