"""What this process may use of the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1: its affinity and the quota of its container say so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores))


def _quota() -> int | None:
    """Return the cores that a container's quota (cgroup v2) allows, rounded up; None for no quota."""
    try:
        allowed, period = QUOTA.read_text(encoding="ascii").split()
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None
