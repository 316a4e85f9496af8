"""Confidence: `NAME_confidence.png`, 16 bits of grey, 0 where the model is not sure at all and 65535 where it is."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.files import replacing
from bridgeseg.outlines import Area
from bridgeseg.reading.own import CONFIDENCE
from bridgeseg.runtime.network import unsure
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX, marked


class Form:
    """Writes one file an image."""

    outlined, sure = False, True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        image, path = result.confidence_image(), self._folder / f"{name}{CONFIDENCE}"
        if image is None:
            raise unsure("the form `confidence`")
        with replacing(path, FIX) as part:
            image.save(part, "PNG", pnginfo=marked())
        return path

    def close(self) -> None:  # noqa: D102
        return
