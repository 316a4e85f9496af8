"""NumPy: `NAME_mask.npy`, class ids (H, W), uint8, or uint16 above 256 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bridgeseg.files import replacing
from bridgeseg.outlines import Area
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX


class Form:
    """Writes one file an image."""

    outlined = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / f"{name}_mask.npy"
        with replacing(path, FIX) as part, part.open("wb") as file:
            np.save(file, result.mask, allow_pickle=False)
        return path

    def close(self) -> None:  # noqa: D102
        return
