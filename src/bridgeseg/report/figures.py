"""What all figures of results share: made without pyplot, one look, and labels that are safe to draw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from bridgeseg.errors import MissingDependencyError
from bridgeseg.files import write

BLUE, ORANGE, RED = "#2f6db3", "#d9772b", "#e5383b"
LINES = (BLUE, ORANGE, "#3f9b5b", "#8e5ea2", "#8a8a8a", "#b5526b")
DARK, MIDDLE, LIGHT = "#333333", "#666666", "#e6e6e6"
DPI = 150


def require_matplotlib() -> None:
    """Raise `MissingDependencyError` if the plotting library is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("figures need matplotlib", fix="pip install 'bridgeseg[train]'") from error


def new_figure(width: float, height: float) -> Any:
    """Return a white matplotlib figure of width x height inches, belonging to no window and to no global list."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def save_png(figure: Any, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    content = io.BytesIO()
    # A tight box: the layout engine alone cuts the labels of axes whose aspect is fixed.
    figure.savefig(content, format="png", facecolor="white", bbox_inches="tight", pad_inches=0.1)
    write(path, content.getvalue())


def label(name: str, longest: int = 40) -> str:
    """Make a class or file name safe to draw: one line, not too long, no formula markup, not hidden from legends."""
    line = " ".join(name.encode(errors="replace").decode().split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return ("  " if line.startswith("_") else "") + line.replace("$", r"\$")


def plain(axes: Any, grid: str) -> None:
    """Leave a thin frame at the left and bottom, and a faint grid across `x`, `y` or `both`."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=DARK, labelsize=9, color="#bbbbbb")
    axes.grid(axis=grid, color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
