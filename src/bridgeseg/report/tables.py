"""A table of text: for the terminal, as Markdown, and (by the templates' macro) as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table as RichTable

WIDTH = 120
"""Columns of what is not printed to a terminal."""


@dataclass(frozen=True)
class Table:
    """Header and rows of text.

    Attributes:
        header: the columns' names.
        rows: as many cells as the header has.
        title: above the table; none by default.
        names: columns at the left that hold names and are aligned to the left; the others hold numbers.
        folded: columns of long text, which is folded where the terminal is too narrow; no other one is.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    names: int = 1
    folded: Sequence[int] = ()

    def rich(self) -> RichTable:
        """Return the table for a Rich console."""
        from rich.table import Table as RichTable
        from rich.text import Text

        title = Text(self.title, "bold") if self.title else None
        table = RichTable(title=title, title_justify="left")
        for place, name in enumerate(self.header):
            justify: Literal["left", "right"] = "left" if place < self.names else "right"
            table.add_column(Text(name), justify=justify, no_wrap=place not in self.folded)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def markdown(self) -> str:
        """Return the table as Markdown, without its title; no cell breaks out of its column."""
        line = ["---" if place < self.names else "---:" for place in range(len(self.header))]
        lines = [self.header, line, *self.rows]
        return "".join("| " + " | ".join(_escaped(cell) for cell in cells) + " |\n" for cells in lines)

    def print(self, console: Console | None = None) -> None:
        """Print the table whole: in a narrow terminal its lines wrap, and no number is cut short.

        Args:
            console: by default, standard output.
        """
        shown, console = self.rich(), console or Console()
        usual = console.width if console.is_terminal else WIDTH
        wide = Console(width=max(usual, Console(width=10_000).measure(shown).maximum), file=console.file)
        wide.print(shown)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
