"""Figures of results: confusion matrix, IoU per class, learning curves.

Figures are built as objects, without pyplot, so nothing global changes and no display is needed; files are written
whole or not at all.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.metrics import Scores, percent
from bridgeseg.report.figures import (
    BLUE,
    DARK,
    LIGHT,
    LINES,
    MIDDLE,
    ORANGE,
    RED,
    label,
    new_figure,
    plain,
    save_png,
)

ANNOTATED = 25
"""Confusion matrices up to this many classes carry their numbers."""

History = Mapping[str, Sequence[tuple[float, float]]]
"""Name of a quantity -> its (epoch, value) points."""


def save_confusion(path: str | Path, matrix: NDArray[np.integer[Any]], names: Sequence[str]) -> None:
    """Draw a confusion matrix (K, K), each row as shares of its true class; rows of classes that never occur are grey.

    Numbers (percent) are written into the cells up to 25 classes; names are thinned out above 150.

    Raises:
        InputError: the names do not fit the matrix, or the file cannot be written.
    """
    count = len(names)
    if np.shape(matrix) != (count, count):
        raise InputError(f"{count} names do not fit a confusion matrix of shape {np.shape(matrix)}")
    counts = np.asarray(matrix, np.float64)
    true = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, true, out=np.full_like(counts, np.nan), where=true > 0)
    numbered = count <= ANNOTATED
    side = max(2.4, count * (0.46 if numbered else 0.115 if count <= 150 else 17.25 / count))
    figure = new_figure(side + 2.6, side + 1.6)
    axes = figure.add_subplot()
    axes.set_facecolor(LIGHT)
    from matplotlib.colors import PowerNorm

    # The square root shows small confusions, which a linear scale would leave white.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    step, size = math.ceil(count / 150), 9 if numbered else 6
    places = range(0, count, step)
    shown = [label(names[place]) for place in places]
    axes.set_xticks(places, shown, rotation=45 if numbered else 90, fontsize=size)
    axes.set_yticks(places, shown, fontsize=size)
    if numbered:
        for text in axes.get_xticklabels():
            text.set(horizontalalignment="right", rotation_mode="anchor")
        _write_numbers(axes, shares)
    else:
        for tenth in range(10, count, 10):  # lead the eye from a far cell to its name
            axes.axhline(tenth - 0.5, color="#c8d4e3", linewidth=0.4)
            axes.axvline(tenth - 0.5, color="#c8d4e3", linewidth=0.4)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted class", color=MIDDLE)
    axes.set_ylabel("true class", color=MIDDLE)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 6 / side), aspect=30, pad=0.02, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("% of the true class", color=MIDDLE)
    bar.outline.set_visible(False)
    save_png(figure, path)


def save_iou(path: str | Path, scores: Scores, order: str = "score") -> None:
    """Draw the IoU of every class as a bar, with a line at the mean.

    Args:
        path: the .png file.
        scores: what to draw; classes without an IoU are named last, without a bar.
        order: `score`, best first, or `class`, by class id.

    Raises:
        InputError: the order is unknown, or the file cannot be written.
    """
    if order not in ("score", "class"):
        raise ConfigError(f"bars are in order of `score` or `class`, found {order!r}", where="order")
    bars = [(name, value) for name, value in scores.iou.items() if value is not None]
    if order == "score":
        bars.sort(key=lambda bar: -bar[1])
    bars += [(f"{name} (absent)", math.nan) for name, value in scores.iou.items() if value is None]
    names, values = [label(name) for name, _ in bars], np.array([value for _, value in bars])
    height, size = (0.27, 9) if len(bars) <= 60 else (0.15, 6)
    figure = new_figure(7.2, max(2.0, height * len(bars) + 1.0))
    axes = figure.add_subplot()
    plain(axes, grid="x")
    places = np.arange(len(bars))
    axes.barh(places, np.nan_to_num(values), height=0.72, color=BLUE)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # keeps numbers legible on the line
    for place, value in zip(places, values, strict=True):
        if not math.isnan(value):
            axes.text(value + 0.008, place, f"{100 * value:.1f}", va="center", fontsize=size, color=DARK, bbox=behind)
    axes.axvline(scores.miou, color=ORANGE, linestyle="--", linewidth=1.3)
    axes.set_title(f"mIoU {percent(scores.miou)} %, {scores.images} images", fontsize=11, color=ORANGE)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
    axes.set(xlim=(0, 1.07), ylim=(len(bars) - 0.4, -0.6), xlabel="IoU")
    axes.tick_params(axis="y", length=0)
    save_png(figure, path)


def read_history(path: str | Path) -> dict[str, list[tuple[float, float]]]:
    """Read the metrics.csv of a run: name -> (epoch, mean of the values logged in that epoch), in order of epochs.

    Rows may leave cells empty; values that are no finite number are left out.

    Raises:
        DataError: the file cannot be read or has no column `epoch`.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=path, fix="name the metrics.csv of a run") from error
    collected: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        epoch = _finite(row.get("epoch"))
        for name, text in row.items():
            value = _finite(text)
            if epoch is not None and value is not None and name not in ("epoch", "step"):
                collected.setdefault(name, {}).setdefault(epoch, []).append(value)
    if rows and "epoch" not in rows[0]:
        raise DataError("there is no column `epoch`", where=path, fix="name the metrics.csv of a run")
    return {
        name: [(epoch, sum(v) / len(v)) for epoch, v in sorted(epochs.items())] for name, epochs in collected.items()
    }


def save_curves(path: str | Path, history: History) -> None:
    """Draw learning curves over epochs: losses, mIoU and learning rate, a panel each, as far as the history has them.

    Args:
        path: the .png file.
        history: name -> (epoch, value) points, e.g. from `read_history`. Names that contain `loss`, `miou` or, as a
            word, `lr` (such as `lr-AdamW`) are drawn, others are not; values that are no finite number are left out.

    Raises:
        InputError: there is nothing to draw, or the file cannot be written.
    """
    panels: dict[str, dict[str, Sequence[tuple[float, float]]]] = {}
    for name, points in history.items():
        finite = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
        if finite and (panel := _panel(name)):
            panels.setdefault(panel, {})[name] = finite
    if not panels:
        raise InputError(f"no learning curves among {sorted(history)}", fix="log a loss, a mIoU or a learning rate")
    figure = new_figure(4.4 * len(panels) + 0.4, 3.5)
    for place, title in enumerate(sorted(panels, key=["loss", "mIoU", "learning rate"].index)):
        axes = figure.add_subplot(1, len(panels), place + 1)
        _draw_panel(axes, title, panels[title])
    save_png(figure, path)


def _draw_panel(axes: Any, title: str, curves: History) -> None:
    for (name, points), colour in zip(curves.items(), cycle(LINES), strict=False):
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= 25 else None
        axes.plot(epochs, values, color=colour, linewidth=1.7, marker=marker, markersize=3, label=label(name))
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if title == "mIoU":
        _mark_best(axes, curves)
    if title == "learning rate":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8)
    plain(axes, grid="both")


def _write_numbers(axes: Any, shares: NDArray[np.float64]) -> None:
    """Write percents into the cells; what rounds to 0 stays empty."""
    for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.5), strict=True):
        share = shares[row, column]
        colour = "white" if share > 35 else DARK
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)


def _panel(name: str) -> str | None:
    """Return which panel a logged quantity belongs to, None if it is not drawn."""
    lowered = name.lower()
    if re.search(r"(^|[^a-z])lr([^a-z]|$)", lowered):
        return "learning rate"
    return "loss" if "loss" in lowered else "mIoU" if "miou" in lowered else None


def _mark_best(axes: Any, curves: History) -> None:
    """Point out the best epoch over all curves of the panel."""
    epoch, best = max((point for points in curves.values() for point in points), key=lambda point: point[1])
    axes.plot([epoch], [best], "o", markersize=7, markerfacecolor="none", markeredgecolor=RED, zorder=3)
    axes.annotate(f"{best:.3f}", (epoch, best), (0, 8), textcoords="offset points", ha="center", fontsize=9, color=RED)
    axes.margins(y=0.15)


def _finite(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
