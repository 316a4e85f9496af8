"""What can end a training early, turned into errors that say how to go on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from bridgeseg.data.dataset import from_worker
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.training import folder


@contextmanager
def stoppable(trainer: pl.Trainer, out: Path) -> Iterator[None]:
    """Turn what can end a training early into errors that say how to go on."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    except (SystemExit, KeyboardInterrupt) as stop:  # Lightning turns Ctrl-C and SIGTERM into SystemExit
        if isinstance(stop, SystemExit) and not trainer.interrupted:
            raise
        raise _stopped(trainer, out) from None
    except InputError as error:
        plain = from_worker(error)
        if plain is error:
            raise
        raise plain from error
    except torch.OutOfMemoryError as error:
        raise InputError(
            "the device's memory is too small for this training",
            fix="lower --batch-size or --crop (--accumulate keeps the size of a step), or use --precision bf16-mixed",
        ) from error
    except MisconfigurationException as error:
        raise refused(error) from error
    except OSError as error:
        raise InputError(f"the run folder cannot be used ({error})", where=out, fix=_go_on(out)) from error
    except ValueError as error:
        if "SyncBatchNorm" in str(error):
            raise ConfigError(
                "batch norm cannot be synchronised on this kind of device", fix="leave sync_batchnorm out, or use GPUs"
            ) from error
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            "batch norm needs more than one value, and a batch of one image of this crop has one at the coarsest level",
            fix="use a larger --crop or --batch-size",
        ) from error
    except RuntimeError as error:
        if "parameters that were not used" in str(error):
            raise ConfigError(
                "with these settings a part of the network gets no gradient, which this strategy does not expect",
                fix="--strategy ddp_find_unused_parameters_true",
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        if trainer.received_sigterm:  # sent to the loading processes as well
            raise _stopped(trainer, out) from error
        raise InputError(
            "a process that loads data was killed, for want of memory most often",
            fix="use --workers 0 or fewer of them, or --set cache=false",
        ) from error


@contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """Say how to go on after a Ctrl-C before the first step or after the last."""
    try:
        yield
    except KeyboardInterrupt:
        if not (out / folder.SETTINGS).is_file():
            raise
        raise InputError("stopped", where=out, fix=_go_on(out)) from None


def _stopped(trainer: pl.Trainer, out: Path) -> InputError:
    saved = folder.epochs_saved(out)
    kept = f"saved up to the end of epoch {saved}" if saved else "nothing is saved before the end of the first epoch"
    return InputError(f"stopped in epoch {trainer.current_epoch + 1}; {kept}", where=out, fix=_go_on(out))


def _go_on(out: Path) -> str:
    return f"continue with: bridgeseg train --out {out} --resume"


def refused(error: Exception) -> ConfigError:
    """Say that Lightning does not take the settings of the machine."""
    return ConfigError(
        f"the trainer refuses these settings: {' '.join(str(error).split())[:400]}",
        fix="see accelerator, devices, num_nodes, strategy and precision in docs/training.md",
    )
