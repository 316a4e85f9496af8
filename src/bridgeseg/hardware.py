"""What this process may use of the machine, and what a reader compares measurements by."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

QUOTA = Path("/sys/fs/cgroup/cpu.max")
CPU_INFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1: its affinity and the quota of its container say so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores))


def describe(*packages: str) -> dict[str, Any]:
    """Return processor, cores, memory, load and versions, JSON-ready; nothing in it names the machine.

    Args:
        packages: distributions whose versions matter; those not installed are left out.
    """
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "memory_gb": _memory(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(*packages),
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, bridgeseg and other distributions, as far as they are installed."""
    found = {name: number for name in ("bridgeseg", *packages) if (number := _version(name))}
    return {"python": platform.python_version(), **found}


def is_x86() -> bool:
    """Return whether the processor is an x86 with 64 bits."""
    return platform.machine().lower() in ("x86_64", "amd64")


def features() -> frozenset[str]:
    """Return what an x86 processor can do, in the words of Linux (`avx2`, `avx512_vnni`); empty where nothing says."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(word for line in lines if line.startswith("flags") for word in line.partition(":")[2].split())


def _quota() -> int | None:
    """Return the cores that a container's quota (cgroup v2) allows, rounded up; None for no quota."""
    try:
        allowed, period = QUOTA.read_text(encoding="ascii").split()
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the processor's name; the kernel knows it better than Python's `platform`."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
