"""Real images through the float network: which range does every tensor take? Few images, one at a time."""

from __future__ import annotations

import contextlib
import io
import json
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

from bridgeseg.data.joining import load_specs
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.images import read_image
from bridgeseg.pixels import AS_STORED, Reading
from bridgeseg.reading.sources import Failure, find

SETTINGS = "train.json"
"""What a run folder calls the settings that it was trained with."""
MAX_SIDE = 1536
"""Larger images are scaled down to this for calibration: it bounds memory, and ranges hardly depend on the scale."""
METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False, "num_bins": 2048}),
    "entropy": (CalibrationMethod.Entropy, {"symmetric": False, "num_bins": 128}),
}
"""Names of ONNX Runtime's methods, the default first, and its settings for them."""


@dataclass(frozen=True)
class Calibration:
    """Images to calibrate on.

    Attributes:
        name: what they are, without a folder of this machine.
        images: the files, evenly chosen from all there are.
        samples: the same with their masks, and the dataset they are from; none if only a folder of images was given.
        spec: that dataset.
        how: how the images are read.
    """

    name: str
    images: tuple[Path, ...]
    samples: tuple[Sample, ...] = ()
    spec: DataSpec | None = None
    how: Reading = AS_STORED


def find_calibration(source: str | Path, images: int, split: str = "train") -> Calibration:
    """Choose images from a folder, or from a split of a dataset.

    Args:
        source: a folder of images, searched with its subfolders; a glob; or `data.yaml`, `data.yaml:SPLIT`, or the
            folder of a data.yaml in its place.
        images: at most so many are taken, evenly spaced in the order of their names.
        split: the one of a `data.yaml` without a split.

    Raises:
        InputError: there are none, or the dataset cannot be used.
    """
    text, _, named = str(source).rpartition(":")
    if not _is_dataset(text):
        text, named = str(source), split
    if _is_dataset(text):
        return labelled(DataSpec.load(text), [named], images)
    found = []
    for item in find([source], recursive=True):
        if isinstance(item, Failure):
            raise item.error
        found.append(item.path)
    return Calibration(Path(source).name, tuple(_spaced(found, images)))


def _is_dataset(text: str) -> bool:
    return text.lower().endswith((".yaml", ".yml")) or (bool(text) and (Path(text) / "data.yaml").is_file())


def training_images(run: str | Path, images: int) -> Calibration:
    """Choose images from the splits that a run was trained on; of several datasets, as many of each, without labels.

    Args:
        run: a run folder, or a checkpoint in one.
        images: as in `find_calibration`.

    Raises:
        ConfigError: the folder does not say what it was trained on.
        DataError: the dataset is no longer where it was, or cannot be used.
    """
    fix = "give images as the network will see them: `calibrate=FOLDER`"
    settings = settings_of(run, "8 bits need images", fix)
    specs = load_specs(settings["data"], settings["val_share"])
    each = -(-images // len(specs))
    found = [labelled(spec, settings["train_splits"], each) for spec in specs]
    if len(found) == 1:
        return found[0]
    every = [image for part in found for image in part.images]
    return Calibration("; ".join(part.name for part in found), tuple(_spaced(every, images)), how=found[0].how)


def settings_of(run: str | Path, need: str, fix: str) -> dict[str, Any]:
    """Return `data`, `val_share`, `train_splits` and `val_split` of a run folder, or of the one around a checkpoint.

    `data` is a list of the paths of all datasets.

    Args:
        run: a run folder, or a checkpoint in one.
        need: the message of errors begins with it.
        fix: that of errors.

    Raises:
        ConfigError, DataError: see `training_images`.
    """
    folder = Path(run)
    place = next((one for one in (folder, folder.resolve().parent) if (one / SETTINGS).is_file()), folder) / SETTINGS
    try:
        settings = json.loads(place.read_text(encoding="utf-8"))
        found: dict[str, Any] = {"val_share": 0.0, "val_split": None}
        found |= {key: settings[key] for key in ("data", "train_splits", "val_share", "val_split") if key in settings}
        data, splits, share, val = (found[key] for key in ("data", "train_splits", "val_share", "val_split"))
        data = found["data"] = [data] if isinstance(data, str) else list(data)
        known = bool(data) and bool(splits) and all(isinstance(text, str) for text in (*data, *splits))
        known = known and isinstance(share, float | int) and 0 <= share < 1 and isinstance(val, str | None)
    except (OSError, ValueError, LookupError, TypeError):
        known = False
    if not known:
        raise ConfigError(f"{need}, and this folder does not say what it was trained on", where=run, fix=fix)
    if gone := next((path for path in data if not Path(path).exists()), None):
        raise DataError(f"{need}, and the data that the run was trained on is no longer there", where=gone, fix=fix)
    return found


def labelled(spec: DataSpec, splits: Sequence[str], images: int) -> Calibration:
    """Choose images with their masks from the splits of a dataset."""
    every = dict.fromkeys(sample for split in splits for sample in spec.samples(split))
    samples = tuple(_spaced(list(every), images))
    name = f"{spec.path.name}, split {' + '.join(splits)}"
    return Calibration(name, tuple(sample.image for sample in samples), samples, spec, spec.reading)


def _spaced(items: Sequence[Any], count: int) -> list[Any]:
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def read_small(path: Path, how: Reading = AS_STORED) -> NDArray[np.uint8]:
    """Read an image as uint8 RGB (H, W, 3), scaled down if its longer side is above `MAX_SIDE`."""
    pixels = read_image(path, how=how)
    if max(pixels.shape) <= MAX_SIDE:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image)


class OneImage(CalibrationDataReader):  # type: ignore[misc]
    """What ONNX Runtime's tools read their inputs from: here a single image (H, W, 3)."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._left = [{"image": image[None]}]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the image the first time, None from then on."""
        return self._left.pop() if self._left else None


def measure_ranges(
    model: Path,
    images: Sequence[Path],
    method: str,
    op_types: Sequence[str],
    on_image: Callable[[], None] = lambda: None,
    how: Reading = AS_STORED,
) -> TensorsData:
    """Return the range of every tensor next to an operator of the given types.

    Memory is that of one image: ONNX Runtime's calibrators are fed one at a time and keep extremes or histograms.

    Args:
        model: a float .onnx file.
        images: the files.
        method: one of `METHODS`.
        op_types: names of operators.
        on_image: called after each.
        how: how the images are read.

    Raises:
        ConfigError: no such method.
        DataError: an image cannot be read, or holds nothing that ranges could be told from.
    """
    if method not in METHODS:
        message = f"no calibration method {method!r}; {nearest(method, METHODS)}"
        raise ConfigError(message, where="calibration-method", fix=f"use {next(iter(METHODS))}")
    kind, settings = METHODS[method]
    # The histogram calibrators print what they do.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(str(model), list(op_types), augmented, kind, extra_options=settings)
        for path in images:
            calibrator.collect_data(OneImage(read_small(path, how)))
            on_image()
        try:
            return calibrator.compute_data()
        except ValueError as error:
            fix = "give more and real images: `calibrate=FOLDER`"
            raise DataError(f"no ranges can be told from these images: {error}", fix=fix) from error
