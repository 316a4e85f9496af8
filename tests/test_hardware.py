"""What this process may use of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bridgeseg import hardware
from bridgeseg.hardware import describe, usable_cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8), ("0 0", 8), ("nonsense", 8)],
)
def test_the_quota_of_a_container_counts(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(hardware, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == expected


def test_without_quota_or_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_the_machine_is_described_without_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 3)
    facts = describe("numpy", "no-such-distribution")
    assert facts["cores"] == 3
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["python"]
    assert "no-such-distribution" not in facts["versions"]
    assert os.uname().nodename not in str(facts)
