"""What the command line prints: tables and lines for people, JSON for machines; all but results goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bridgeseg.inference.draw import percent
from bridgeseg.inference.sources import Failure

if TYPE_CHECKING:
    from bridgeseg.classes import ClassSet
    from bridgeseg.inference.writer import Record

NAMED = 4
"""Classes named on the line of one picture among many."""


def printable(value: object) -> str:
    """Escape what would break a line or a terminal: a file name may hold line breaks, control codes, broken Unicode."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in str(value))


def print_json(value: Any) -> None:
    """Write one JSON object on one line of stdout, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def report(
    items: Iterable[Record | Failure],
    total: int,
    classes: ClassSet,
    folder: Path,
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Print what was done for each picture as it happens, with a progress bar if there are many, and where it went.

    Returns:
        How many failed.
    """
    done = failed = 0
    console = Console(stderr=True)
    moving = total > 1 and not quiet and console.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not moving, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task("pictures", total=total)
        # Above a moving bar only its own console may write to the screen.
        shared = console if moving and sys.stdout.isatty() else None
        for item in items:
            if isinstance(item, Failure):
                failed += 1
                _print_failure(item, console, as_json)
            else:
                done += 1
                _print_record(item, classes, shared, many=total > 1, as_json=as_json, quiet=quiet)
            bar.advance(task)
    if done and total > 1 and not quiet and not as_json:
        console.print(f"results: {printable(folder)}", markup=False, highlight=False, soft_wrap=True)
    if failed and total > 1:
        console.print(f"{failed} of {total} failed, {done} done", highlight=False, soft_wrap=True)
    return failed


def print_info(facts: dict[str, Any]) -> None:
    """Print what `Model.describe` returns."""
    provenance = facts["provenance"]
    scores = provenance.get("scores") or {}
    console = Console()
    table = Table.grid(padding=(0, 2))
    rows = {
        "model": facts["path"],
        "size": None if facts["bytes"] is None else f"{facts['bytes'] / 1e6:.1f} MB",
        "parameters": f"{facts['parameters']:,}" if isinstance(facts["parameters"], int) else facts["parameters"],
        "inputs": _nodes(facts.get("inputs")),
        "outputs": _nodes(facts.get("outputs")),
        **{key: value for key, value in provenance.items() if key not in ("scores", "parameters")},
        "scores": ", ".join(f"{key} {_number(value)}" for key, value in scores.items() if key != "iou"),
    }
    for name, value in rows.items():
        if value not in (None, "", [], {}):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(Text(name, "bold"), Text(printable(shown)))
    console.print(table)
    classes = Table("id", "", "class", "IoU", "prompts")
    iou = scores.get("iou") or {}
    for entry in facts["classes"]:
        swatch, name = _swatch(entry["colour"]), entry["name"]
        score = _number(iou[name]) if iou.get(name) is not None else ""
        classes.add_row(
            str(entry["id"]), swatch, Text(printable(name)), score, Text(printable("; ".join(entry["prompts"])))
        )
    console.print(classes)


def _print_failure(failure: Failure, console: Console, as_json: bool) -> None:
    if as_json:
        source = None if failure.source is None else str(failure.source)
        print_json({"source": source, "error": str(failure.error)})
    else:
        lines = str(failure.error).split("\n  fix: ")
        console.print(
            "error: " + "\n  fix: ".join(map(printable, lines)), markup=False, highlight=False, soft_wrap=True
        )


def _print_record(
    record: Record, classes: ClassSet, shared: Console | None, *, many: bool, as_json: bool, quiet: bool
) -> None:
    if as_json:
        print_json(record.to_dict())
    elif quiet:
        return
    elif many:
        shown = [f"{printable(name)} {percent(share)}" for name, share in list(record.areas.items())[:NAMED]]
        more = len(record.areas) - NAMED
        line = f"{printable(record.source)}: {', '.join(shown)}{f', and {more} more' if more > 0 else ''}"
        if shared is None:
            print(line, flush=True)
        else:
            shared.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        _print_table(record, classes)


def _print_table(record: Record, classes: ClassSet) -> None:
    colours = dict(zip(classes.names, classes.palette, strict=True))
    table = Table.grid(padding=(0, 2))
    for name, share in record.areas.items():
        table.add_row(_swatch(colours[name]), Text(printable(name)), Text(percent(share), justify="right"))
    console = Console()
    console.print(f"{printable(record.source)} ({record.width} x {record.height})", markup=False, highlight=False)
    console.print(table)
    for kind, path in (("mask", record.mask), ("overlay", record.overlay)):
        if path is not None:
            console.print(f"{kind}: {printable(path)}", markup=False, highlight=False, soft_wrap=True)


def _swatch(colour: Iterable[int]) -> Text:
    red, green, blue = colour
    return Text("██", style=f"rgb({red},{green},{blue})")


def _nodes(nodes: list[dict[str, Any]] | None) -> str:
    return "; ".join(f"{node['name']} {node['type']} {_shape(node['shape'])}" for node in nodes or [])


def _shape(shape: list[int | str | None]) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_scores(scores: Any) -> None:
    """Print the table of an evaluation; nothing if there was none."""
    if scores is not None:
        Console().print(scores.table())
