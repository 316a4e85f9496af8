"""Real pictures through the float network: which range does every tensor take? Few pictures, one at a time."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from PIL import Image

from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.images import read_image
from bridgeseg.reading.sources import Failure, find

DEFAULT_IMAGES = 64
MAX_SIDE = 1536
"""Larger pictures are scaled down to this for calibration: it bounds memory, and ranges hardly depend on the scale."""
METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False, "num_bins": 2048}),
    "entropy": (CalibrationMethod.Entropy, {"symmetric": False, "num_bins": 128}),
}
"""Names of ONNX Runtime's methods, the default first, and its settings for them."""


@dataclass(frozen=True)
class Calibration:
    """Pictures to calibrate on.

    Attributes:
        name: what they are, without a folder of this machine.
        pictures: the files, evenly chosen from all there are.
        samples: the same with their masks, and the dataset they are from; none if only a folder of pictures was given.
        spec: that dataset.
    """

    name: str
    pictures: tuple[Path, ...]
    samples: tuple[Sample, ...] = ()
    spec: DataSpec | None = None


def find_calibration(source: str | Path, images: int = DEFAULT_IMAGES) -> Calibration:
    """Choose pictures from a folder, or from a split of a dataset.

    Args:
        source: a folder of pictures, searched with its subfolders; a glob; or `data.yaml`, `data.yaml:SPLIT` (train by
            default).
        images: at most so many are taken, evenly spaced in the order of their names.

    Raises:
        ConfigError: less than one picture is asked for.
        InputError: there are none, or the dataset cannot be used.
    """
    if images < 1:
        raise ConfigError(f"at least one picture is needed, found {images}", where="calibration-images", fix="use 64")
    text, _, split = str(source).rpartition(":")
    if not text.lower().endswith((".yaml", ".yml")):
        text, split = str(source), "train"
        if (Path(source) / "data.yaml").is_file():
            text = str(Path(source) / "data.yaml")
    if text.lower().endswith((".yaml", ".yml")):
        spec = DataSpec.load(text)
        samples = tuple(_spaced(spec.samples(split), images))
        name = f"{spec.path.name}, split {split}"
        return Calibration(name, tuple(sample.image for sample in samples), samples, spec)
    found = []
    for item in find([source], recursive=True):
        if isinstance(item, Failure):
            raise item.error
        found.append(item.path)
    return Calibration(Path(source).name, tuple(_spaced(found, images)))


def _spaced(items: Sequence[Any], count: int) -> list[Any]:
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def read_small(path: Path) -> NDArray[np.uint8]:
    """Read a picture as uint8 RGB (H, W, 3), scaled down if its longer side is above `MAX_SIDE`."""
    pixels = read_image(path)
    if max(pixels.shape) <= MAX_SIDE:
        return pixels
    picture = Image.fromarray(pixels)
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture)


class OnePicture(CalibrationDataReader):  # type: ignore[misc]
    """What ONNX Runtime's tools read their inputs from: here a single picture (H, W, 3)."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._left = [{"image": picture[None]}]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the picture the first time, None from then on."""
        return self._left.pop() if self._left else None


def measure_ranges(
    model: Path,
    pictures: Sequence[Path],
    method: str,
    op_types: Sequence[str],
    on_picture: Callable[[], None] = lambda: None,
) -> TensorsData:
    """Return the range of every tensor next to an operator of the given types.

    Memory is that of one picture: ONNX Runtime's calibrators are fed one at a time and keep extremes or histograms.

    Args:
        model: a float .onnx file.
        pictures: the files.
        method: one of `METHODS`.
        op_types: names of operators.
        on_picture: called after each.

    Raises:
        ConfigError: no such method.
        DataError: a picture cannot be read, or holds nothing that ranges could be told from.
    """
    if method not in METHODS:
        message = f"no calibration method {method!r}; {nearest(method, METHODS)}"
        raise ConfigError(message, where="calibration-method", fix=f"use {next(iter(METHODS))}")
    kind, settings = METHODS[method]
    # The histogram calibrators print what they do.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(str(model), list(op_types), augmented, kind, extra_options=settings)
        for path in pictures:
            calibrator.collect_data(OnePicture(read_small(path)))
            on_picture()
        try:
            return calibrator.compute_data()
        except ValueError as error:
            fix = "give more and real pictures: --calibrate FOLDER"
            raise DataError(f"no ranges can be told from these pictures: {error}", fix=fix) from error
