"""Batch norms that keep their statistics from a share of the run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.nn.modules.batchnorm import _BatchNorm

from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import ConfigError
from bridgeseg.settings.values import set_values
from tiny_data import TINY, write_dataset

STEPS = 2
"""Of an epoch."""


def counted(run: Path) -> set[int]:
    """Return how many steps the batch norms of a network took statistics of."""
    network = load_checkpoint(run).segmentor
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return {int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "steps"), [(None, 2 * STEPS), (0.5, STEPS), (0.25, 1), (0.0, 0)])
def test_statistics_are_of_the_steps_before(share: float | None, steps: int, tmp_path: Path) -> None:
    settings = {"data": str(write_dataset(tmp_path / "data")), "epochs": 2, "ema": 0.0, "fix_norms": share}
    train(**set_values(TINY, settings), out=tmp_path / "run", quiet=True)
    assert counted(tmp_path / "run" / "last") == {steps}


@pytest.mark.slow
@pytest.mark.parametrize(("share", "steps"), [(None, STEPS), (1.0, 2 * STEPS)])
def test_by_default_half_of_the_steps_on_several_datasets(share: float | None, steps: int, tmp_path: Path) -> None:
    data = [str(write_dataset(tmp_path / name)) for name in ("one", "other")]
    settings = {"data": data, "epochs": 2, "epoch_steps": STEPS, "ema": 0.0, "fix_norms": share}
    train(**set_values(TINY, settings), out=tmp_path / "run", quiet=True)
    assert counted(tmp_path / "run" / "last") == {steps}
    train(out=tmp_path / "run", resume=True, epochs=2, quiet=True)  # no other settings


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_them(tmp_path: Path) -> None:
    settings = {"data": str(write_dataset(tmp_path / "data")), "epochs": 2, "ema": 0.0, "fix_norms": 0.0}
    train(**set_values(TINY, settings), out=tmp_path / "run", quiet=True)
    train(out=tmp_path / "run", resume=True, epochs=3, quiet=True)
    assert counted(tmp_path / "run" / "last") == {0}


def test_a_share_is_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fix_norms"):
        train(**set_values(TINY, {"data": str(write_dataset(tmp_path)), "fix_norms": 2.0}), out=tmp_path / "run")
