"""Images next to their truth, their prediction and its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet, Colour, hexadecimal
from bridgeseg.errors import InputError
from bridgeseg.report.figures import MIDDLE, label, new_figure, save_png

PANEL_INCHES = 3.3
PANEL_PIXELS = 495
"""Sides longer than this are drawn smaller: it is what a panel has room for."""
COLUMNS = ("image", "truth", "prediction", "errors")
IGNORED: Colour = (0, 0, 0)
ERROR: Colour = (229, 56, 59)
LEGEND_COLUMNS = 8


@dataclass(frozen=True)
class SideBySide:
    """One image as it is drawn next to its truth and its prediction.

    Attributes:
        name: what is written below.
        image: uint8 RGB (H, W, 3), its longer side at most `PANEL_PIXELS`.
        truth: class ids (H, W).
        prediction: class ids (H, W).
        wrong: share of the labelled pixels, of the whole image, that are wrong; None if none is labelled.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.integer[Any]]
    prediction: NDArray[np.integer[Any]]
    wrong: float | None

    @classmethod
    def of(
        cls,
        name: str,
        image: NDArray[np.uint8],
        truth: NDArray[np.integer[Any]],
        prediction: NDArray[np.integer[Any]],
        classes: ClassSet,
        longest: int = PANEL_PIXELS,
    ) -> SideBySide:
        """Compare an image of any size (H, W, 3) with its truth and prediction (H, W); what is kept is small.

        Its longer side has `longest` pixels at most.
        """
        labelled = truth != classes.ignore_index
        count = int(np.count_nonzero(labelled))
        wrong = float(np.count_nonzero((truth != prediction) & labelled) / count) if count else None
        height, width = truth.shape
        factor = longest / max(height, width)
        if factor >= 1:
            return cls(name, image, truth, prediction, wrong)
        rows = np.minimum(np.arange(max(1, round(height * factor))) / factor, height - 1).astype(int)
        columns = np.minimum(np.arange(max(1, round(width * factor))) / factor, width - 1).astype(int)
        small = Image.fromarray(image).resize((len(columns), len(rows)), Image.Resampling.BOX)
        chosen = np.ix_(rows, columns)
        return cls(name, np.asarray(small), truth[chosen], prediction[chosen], wrong)


def save_examples(path: str | Path, examples: Sequence[SideBySide], classes: ClassSet) -> None:
    """Draw a row per image: image, truth, prediction, errors in red; below, the colours of the classes that occur.

    Ignored pixels are black in the truth and never errors.

    Raises:
        InputError: there is nothing to draw, or the file cannot be written.
    """
    if not examples:
        raise InputError("no images to draw", where=path, fix="give at least one")
    entries = _legend_entries(examples, classes)
    lines = math.ceil(len(entries) / LEGEND_COLUMNS)
    heights = [PANEL_INCHES * _aspect(example) + 0.25 for example in examples]
    figure = new_figure(PANEL_INCHES * len(COLUMNS), sum(heights) + 0.25 * lines + 0.5)
    grid = figure.add_gridspec(len(examples), len(COLUMNS), height_ratios=heights)
    for row, example in enumerate(examples):
        panels = (
            example.image,
            coloured(example.truth, classes),
            coloured(example.prediction, classes),
            errors(example, classes),
        )
        notes = (label(example.name), "", "", _share_wrong(example))
        for column, (panel, note) in enumerate(zip(panels, notes, strict=True)):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(panel, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(note, fontsize=8, color=MIDDLE)
            if row == 0:
                axes.set_title(COLUMNS[column], fontsize=11)
    _draw_legend(figure, entries)
    save_png(figure, path)


def coloured(ids: NDArray[np.integer[Any]], classes: ClassSet) -> NDArray[np.uint8]:
    """Turn class ids (H, W) into their colours (H, W, 3); ids of no class, such as the ignore index, become black."""
    table = np.array([*classes.palette, IGNORED], np.uint8)
    return table[np.where((ids >= 0) & (ids < len(classes)), ids, len(classes))]


def errors(example: SideBySide, classes: ClassSet) -> NDArray[np.uint8]:
    """Return the image in faint grey with wrong pixels in red and ignored ones in black, (H, W, 3)."""
    grey = 0.5 * example.image.mean(axis=2, keepdims=True) + 110
    drawn = np.repeat(grey, 3, axis=2).astype(np.uint8)
    ignored = example.truth == classes.ignore_index
    drawn[(example.truth != example.prediction) & ~ignored] = ERROR
    drawn[ignored] = IGNORED
    return drawn


def _aspect(example: SideBySide) -> float:
    """Height / width, within limits: a strip of an image must not make a figure of metres."""
    height, width = example.truth.shape
    return float(min(max(height / width, 0.2), 2.5))


def _share_wrong(example: SideBySide) -> str:
    return "nothing labelled" if example.wrong is None else f"{100 * example.wrong:.1f} % wrong"


def _legend_entries(examples: Sequence[SideBySide], classes: ClassSet) -> list[tuple[str, Colour]]:
    present = {
        int(value) for example in examples for ids in (example.truth, example.prediction) for value in np.unique(ids)
    }
    entries = [(classes.names[value], classes.palette[value]) for value in sorted(present) if value < len(classes)]
    if classes.ignore_index in present:
        entries.append(("(ignored)", IGNORED))
    return [*entries, ("(error)", ERROR)]


def _draw_legend(figure: Any, entries: Sequence[tuple[str, Colour]]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=hexadecimal(colour), label=label(name)) for name, colour in entries]
    columns = min(LEGEND_COLUMNS, len(entries))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
