"""How sure the model is: `NAME_confidence.png`, 16 bits of grey, 0 for a probability of 0 and 65535 for one of 1."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.errors import ConfigError
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
        image = result.confidence_image()
        if image is None:
            message = "this model does not say how sure it is, so there is no map of its confidence"
            raise ConfigError(message, where="format", fix=AGAIN)
        path = self._folder / f"{name}_confidence.png"
        with replacing(path, FIX) as part:
            image.save(part, "PNG")
        return path

    def close(self) -> None:  # noqa: D102
        return
