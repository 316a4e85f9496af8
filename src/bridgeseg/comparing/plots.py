"""Figures of a comparison: scores with their spread, against latency, against the share of labels, and per class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridgeseg.comparing.tradeoff import INT8, PRECISIONS, tradeoff
from bridgeseg.report.figures import DARK, LINES, MIDDLE, label, new_figure, plain, save_png

Cells = Sequence[dict[str, Any]]
COLUMNS = 2
"""Panels side by side."""


def save_plots(folder: Path, cells: Cells, runs: Sequence[dict[str, Any]], split: str) -> list[Path]:
    """Draw what the cells have data for, and return the files in the order of a report.

    Args:
        folder: `scores.png`, `latency.png`, `fractions.png` and `classes.png` go there.
        cells, runs: as in `results.json`.
        split: whose mIoU it is.
    """
    colours = {name: LINES[index % len(LINES)] for index, name in enumerate(_distinct(cells, "variant"))}
    made: list[Path] = []

    def draw(name: str, wanted: Cells, save: Callable[[Path], None]) -> None:
        if wanted:
            made.append(folder / name)
            save(made[-1])
        else:  # a figure of an earlier report would no longer fit
            (folder / name).unlink(missing_ok=True)

    draw("scores.png", cells, lambda path: _save_scores(path, cells, runs, split, colours))
    timed = [row for row in tradeoff(cells) if row["ms"] is not None]
    draw("latency.png", timed, lambda path: _save_latency(path, timed, split, colours))
    several = cells if len(_distinct(cells, "fraction")) > 1 else []
    draw("fractions.png", several, lambda path: _save_fractions(path, cells, split, colours))
    differing = [cell for cell in cells if cell["iou_difference"]]
    draw("classes.png", differing, lambda path: _save_classes(path, differing, split, colours))
    return made


def _save_scores(path: Path, cells: Cells, runs: Sequence[dict[str, Any]], split: str, colours: dict[str, str]) -> None:
    groups = _groups(cells, "backbone", "fraction")
    figure, panels = _panels(groups, max(3.4, 0.75 * len(colours) + 1.2), 3.6)
    for axes, (title, members) in zip(panels, groups.items(), strict=True):
        for place, cell in enumerate(members):
            mean, deviation = 100 * cell["miou"]["mean"], 100 * (cell["miou"]["deviation"] or 0)
            colour = colours[cell["variant"]]
            axes.bar(place, mean, 0.66, color=colour, alpha=0.55)
            axes.errorbar(place, mean, deviation, color=DARK, capsize=5, linewidth=1.2)
            dots = [100 * run["scores"][split]["miou"] for run in runs if _same(run, cell)]
            axes.scatter(
                [place + 0.18] * len(dots), dots, s=16, color=colour, edgecolors=DARK, linewidths=0.6, zorder=3
            )
        _zoom(axes, members)
        names = [label(cell["variant"], 24) for cell in members]
        axes.set_xticks(range(len(members)), names, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_title(title, fontsize=10)
        axes.set_ylabel(f"{split} mIoU, %", color=MIDDLE)
        plain(axes, grid="y")
    save_png(figure, path)


def _save_latency(path: Path, rows: Cells, split: str, colours: dict[str, str]) -> None:
    groups, backbones = _groups(rows, "fraction"), _distinct(rows, "backbone")
    markers = dict(zip(backbones, "osD^vP*X" * len(backbones), strict=False))
    figure, panels = _panels(groups, 6.4, 4.2)
    for axes, (title, members) in zip(panels, groups.items(), strict=True):
        for row in members:
            point, colour = _point(row), colours[row["variant"]]
            hollow = {"markerfacecolor": "white"} if row["precision"] == INT8 else {}
            deviation = 100 * (row["miou"]["deviation"] or 0)
            marks = {"fmt": markers[row["backbone"]], "markersize": 7, **hollow}
            axes.errorbar(*point, deviation, color=colour, capsize=4, **marks)
            words = [row["variant"], *([row["backbone"]] if len(markers) > 1 else [])]
            words += [PRECISIONS[INT8]] if row["precision"] == INT8 else []
            text = label(", ".join(words))
            beside = (7, -11 if row["precision"] == INT8 else 5)  # off the dotted line, which usually rises
            axes.annotate(text, point, beside, textcoords="offset points", fontsize=8, color=DARK)
            for other in members:
                if row["precision"] == INT8 != other["precision"] and _same(row, other):
                    axes.plot(*zip(_point(other), point, strict=True), ":", color=colour, linewidth=1, zorder=1)
        axes.margins(y=0.15)
        axes.set_xlim(0, 1.25 * max(row["ms"] for row in members))
        axes.set_title(title if len(groups) > 1 else "", fontsize=10)
        axes.set_xlabel("latency, ms (ONNX Runtime, 512x512)", color=MIDDLE)
        axes.set_ylabel(f"{split} mIoU, %", color=MIDDLE)
        plain(axes, grid="both")
    save_png(figure, path)


def _point(row: dict[str, Any]) -> tuple[float, float]:
    return row["ms"], 100 * row["miou"]["mean"]


def _save_fractions(path: Path, cells: Cells, split: str, colours: dict[str, str]) -> None:
    groups = _groups(cells, "backbone")
    figure, panels = _panels(groups, 5.2, 3.8)
    for axes, (title, members) in zip(panels, groups.items(), strict=True):
        for name in _distinct(members, "variant"):
            own = sorted((cell for cell in members if cell["variant"] == name), key=lambda cell: cell["fraction"])
            shares, means = [100 * cell["fraction"] for cell in own], [100 * cell["miou"]["mean"] for cell in own]
            errors = [100 * (cell["miou"]["deviation"] or 0) for cell in own]
            axes.errorbar(
                shares, means, errors, fmt="o-", color=colours[name], capsize=4, markersize=4, label=label(name)
            )
        ticks = sorted({100 * cell["fraction"] for cell in members})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("labelled images, % of the training split", color=MIDDLE)
        axes.set_ylabel(f"{split} mIoU, %", color=MIDDLE)
        axes.legend(frameon=False, fontsize=8)
        plain(axes, grid="both")
    save_png(figure, path)


def _save_classes(path: Path, cells: Cells, split: str, colours: dict[str, str]) -> None:
    groups = _groups(cells, "backbone", "fraction")
    names = list(dict.fromkeys(name for cell in cells for name in cell["iou_difference"]))
    most = max(len(members) for members in groups.values())
    figure, panels = _panels(groups, 5.4, max(2.4, 0.11 * len(names) * (most + 1) + 1.1))
    height = 0.8 / most
    for axes, (title, members) in zip(panels, groups.items(), strict=True):
        for index, cell in enumerate(members):
            found = [cell["iou_difference"].get(name) for name in names]
            axes.barh(
                [place + (index - (len(members) - 1) / 2) * height for place in range(len(names))],
                [math.nan if value is None else 100 * value["mean"] for value in found],
                height,
                xerr=[100 * ((value or {}).get("error") or 0) for value in found],
                color=colours[cell["variant"]],
                error_kw={"elinewidth": 0.8, "ecolor": DARK},
                label=label(cell["variant"]),
            )
        axes.axvline(0, color=DARK, linewidth=0.8)
        axes.set_yticks(range(len(names)), [label(name) for name in names])
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        other = label(members[0]["iou_against"])
        axes.set_xlabel(f"{split} IoU minus that of {other}, points (± standard error)", color=MIDDLE)
        axes.legend(frameon=False, fontsize=8)
        plain(axes, grid="x")
    save_png(figure, path)


def _panels(groups: dict[str, Any], width: float, height: float) -> tuple[Any, list[Any]]:
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = new_figure(width * columns, height * rows)
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(len(groups))]


def _groups(cells: Cells, *keys: str) -> dict[str, list[dict[str, Any]]]:
    """Group cells by some of their keys, under a title that names them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        words = [f"{100 * cell[key]:g} % of the labels" if key == "fraction" else label(cell[key]) for key in keys]
        groups.setdefault(", ".join(words), []).append(cell)
    return groups


def _zoom(axes: Any, cells: Cells) -> None:
    """Begin the axis below the lowest value: differences of a point are what these bars are about."""
    ends = [
        100 * (cell["miou"]["mean"] + 1.5 * way * (cell["miou"]["deviation"] or 0)) for cell in cells for way in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    room = max(1.0, 0.15 * (high - low))
    axes.set_ylim(max(0.0, low - 2 * room), high + room)


def _distinct(cells: Cells, key: str) -> list[Any]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("variant", "backbone", "fraction"))
