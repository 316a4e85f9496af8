"""What can end a training early, turned into errors that say how to go on."""

from __future__ import annotations

import logging
import shlex
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from bridgeseg.data.dataset import from_worker
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.training import folder
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.processes import together

COLLECTIVE = ("torch.distributed", "torch.nn.parallel", "torch.autograd")
"""Modules that raise a plain RuntimeError when another process of the training is gone."""


@contextmanager
def stoppable(trainer: pl.Trainer, out: Path, data: DataModule) -> Iterator[None]:
    """Turn what can end a training early into errors that say how to go on."""
    try:
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
            fix="lower `batch_size` or `augment.crop_size` (`accumulate` keeps the size of a step), or use "
            "`precision=bf16-mixed`",
        ) from error
    except MisconfigurationException as error:
        raise refused(error) from error
    except (ProcessExitedException, ProcessRaisedException) as error:
        raise InputError(
            f"a process of this training failed: {' '.join(str(error).split())[-300:]}",
            fix='in a script, put the call under `if __name__ == "__main__":`, or use `strategy=ddp`',
        ) from error
    except OSError as error:
        raise InputError(f"the run folder cannot be used ({error})", where=out, fix=go_on(out)) from error
    except RuntimeError as error:
        if data.lost_process():
            if trainer.received_sigterm:  # sent to the loading processes as well
                raise _stopped(trainer, out) from error
            raise InputError(
                "a process that loads data was killed, for want of memory most often",
                fix="use `workers=0` or fewer of them, or `cache=False`",
            ) from error
        if together() and _of_others(error):
            raise lost_peer(out) from error
        raise


@contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """Say how to go on after a Ctrl-C before the first step or after the last."""
    try:
        yield
    except KeyboardInterrupt:
        if not (out / folder.SETTINGS).is_file():
            raise
        raise InputError("stopped", where=out, fix=go_on(out)) from None


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep what Lightning says of itself from the user, and leave loggers and filters of warnings as they were."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def lost_peer(out: Path) -> InputError:
    """Say that another process of the same training is gone."""
    return InputError("another process of this training ended before its time", where=out, fix=go_on(out))


def go_on(out: Path) -> str:
    """Name the command that continues a run."""
    return f"continue with: bridgeseg train --out {shlex.quote(str(out))} --resume"


def refused(error: Exception) -> ConfigError:
    """Say that Lightning does not take the settings of the machine."""
    return ConfigError(
        f"the trainer refuses these settings: {' '.join(str(error).split())[:400]}",
        fix="see accelerator, devices, num_nodes, strategy and precision in docs/training.md",
    )


def _stopped(trainer: pl.Trainer, out: Path) -> InputError:
    saved = folder.epochs_saved(out)
    kept = f"saved up to the end of epoch {saved}" if saved else "nothing is saved before the end of the first epoch"
    return InputError(f"stopped in epoch {trainer.current_epoch + 1}; {kept}", where=out, fix=go_on(out))


def _of_others(error: RuntimeError) -> bool:
    """Say whether an error comes out of what the processes do together: gloo has no type of error of its own."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].startswith(COLLECTIVE)
