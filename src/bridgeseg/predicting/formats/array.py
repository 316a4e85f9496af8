"""NumPy: `NAME_mask.npy`, class ids (H, W), and `NAME_confidence.npy`, float32, if the model says how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.files import replacing
from bridgeseg.outlines import Area
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX


class Form:
    """Writes one file an image."""

    outlined, sure = False, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / f"{name}_mask.npy"
        _save(path, result.mask)
        if (confidence := result.confidence) is not None:
            _save(self._folder / f"{name}_confidence.npy", confidence)
        return path

    def close(self) -> None:  # noqa: D102
        return


def _save(path: Path, array: NDArray[Any]) -> None:
    with replacing(path, FIX) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)
