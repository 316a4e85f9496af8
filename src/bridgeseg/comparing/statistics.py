"""Means, spreads and paired differences of small samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) of n values; no deviation for a single one."""

    mean: float
    deviation: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, its standard error (None for one pair), the number of pairs.

    Attributes:
        clear: whether the mean lies more than two standard errors from zero; None for one pair.
    """

    mean: float
    error: float | None
    n: int
    clear: bool | None


def spread(values: Sequence[float]) -> Spread:
    """Summarise one or more values.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, deviation=1.0, n=3)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Spread(mean, None, n)
    return Spread(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Compare two systems by the seeds that both have: first - second; None if they share no seed.

    The standard error is the standard deviation of the differences over the square root of their number.

    >>> paired({0: 3.0, 1: 5.0}, {0: 2.0, 1: 2.0, 2: 9.0})
    Difference(mean=2.0, error=1.0, n=2, clear=False)
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    found = spread([first[seed] - second[seed] for seed in shared])
    if found.deviation is None:
        return Difference(found.mean, None, found.n, None)
    error = found.deviation / math.sqrt(found.n)
    return Difference(found.mean, error, found.n, abs(found.mean) > 2 * error)
