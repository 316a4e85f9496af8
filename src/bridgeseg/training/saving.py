"""The file that a run is resumed from, as Lightning writes it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.files import replacing
from bridgeseg.training.folder import FULL


class SafeCheckpointIO(TorchCheckpointIO):
    """Stores Lightning's checkpoint beside the old one first: a killed process or a full disk leaves a complete one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, whole or not at all.

        Raises:
            ModelFileError: the disk is full or the folder cannot be written.
        """
        try:
            with replacing(path) as part:
                torch.save(checkpoint, part)
        except (InputError, RuntimeError) as error:  # torch's writer raises RuntimeError when the disk is full
            reason = error.message if isinstance(error, InputError) else f"cannot be written: {error}"
            raise ModelFileError(
                f"{reason.splitlines()[0][:200]}; the one of the epoch before was kept", where=path, fix=FULL
            ) from error
