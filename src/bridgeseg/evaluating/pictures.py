"""Pictures next to their truth, their prediction and its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet, Colour
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
class Example:
    """One picture to show: image (H, W, 3) uint8, truth and prediction (H, W) class ids."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.integer[Any]]
    prediction: NDArray[np.integer[Any]]


def save_examples(path: str | Path, examples: Sequence[Example], classes: ClassSet) -> None:
    """Draw a row per picture: image, truth, prediction, errors in red; below, the colours of the classes that occur.

    Ignored pixels are black in the truth and never errors.

    Raises:
        InputError: there is nothing to draw, or the file cannot be written.
    """
    if not examples:
        raise InputError("no pictures to draw", where=path, fix="give at least one")
    small = [_shrunk(example) for example in examples]
    entries = _legend_entries(small, classes)
    lines = math.ceil(len(entries) / LEGEND_COLUMNS)
    heights = [PANEL_INCHES * _aspect(example) + 0.25 for example in small]
    figure = new_figure(PANEL_INCHES * len(COLUMNS), sum(heights) + 0.25 * lines + 0.5)
    grid = figure.add_gridspec(len(small), len(COLUMNS), height_ratios=heights)
    for row, (example, original) in enumerate(zip(small, examples, strict=True)):
        panels = (
            example.image,
            coloured(example.truth, classes),
            coloured(example.prediction, classes),
            errors(example, classes),
        )
        notes = (label(example.name), "", "", _share_wrong(original, classes))
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


def errors(example: Example, classes: ClassSet) -> NDArray[np.uint8]:
    """Return the image in faint grey with wrong pixels in red and ignored ones in black, (H, W, 3)."""
    grey = 0.5 * example.image.mean(axis=2, keepdims=True) + 110
    picture = np.repeat(grey, 3, axis=2).astype(np.uint8)
    ignored = example.truth == classes.ignore_index
    picture[(example.truth != example.prediction) & ~ignored] = ERROR
    picture[ignored] = IGNORED
    return picture


def _aspect(example: Example) -> float:
    """Height / width, within limits: a strip of a picture must not make a figure of metres."""
    height, width = example.truth.shape
    return float(min(max(height / width, 0.2), 2.5))


def _share_wrong(example: Example, classes: ClassSet) -> str:
    labelled = example.truth != classes.ignore_index
    if not labelled.any():
        return "nothing labelled"
    return f"{100 * (example.truth != example.prediction)[labelled].mean():.1f} % wrong"


def _shrunk(example: Example) -> Example:
    """Return the example with its longer side at most `PANEL_PIXELS` (nearest ids, mean colours)."""
    from PIL import Image

    height, width = example.truth.shape
    factor = PANEL_PIXELS / max(height, width)
    if factor >= 1:
        return example
    rows = np.minimum(np.arange(max(1, round(height * factor))) / factor, height - 1).astype(int)
    columns = np.minimum(np.arange(max(1, round(width * factor))) / factor, width - 1).astype(int)
    image = Image.fromarray(example.image).resize((len(columns), len(rows)), Image.Resampling.BOX)
    chosen = np.ix_(rows, columns)
    return Example(example.name, np.asarray(image), example.truth[chosen], example.prediction[chosen])


def _legend_entries(examples: Sequence[Example], classes: ClassSet) -> list[tuple[str, Colour]]:
    present = {
        int(value) for example in examples for ids in (example.truth, example.prediction) for value in np.unique(ids)
    }
    entries = [(classes.names[value], classes.palette[value]) for value in sorted(present) if value < len(classes)]
    if classes.ignore_index in present:
        entries.append(("(ignored)", IGNORED))
    return [*entries, ("(error)", ERROR)]


def _draw_legend(figure: Any, entries: Sequence[tuple[str, Colour]]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=label(name)) for name, colour in entries]
    columns = min(LEGEND_COLUMNS, len(entries))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
