"""What the command line prints: tables and lines for people, JSON for machines; all but results goes to stderr."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridgeseg.commands.wording import as_options, worded
from bridgeseg.reading.addresses import whole
from bridgeseg.reading.sources import Failure
from bridgeseg.report.draw import UNKNOWN, percent
from bridgeseg.report.progress import ProgressBar
from bridgeseg.wording import printable, shortened

if TYPE_CHECKING:
    from bridgeseg.classes import ClassSet
    from bridgeseg.images import Note
    from bridgeseg.predicting.run import Prediction
    from bridgeseg.predicting.video_writer import VideoRecord
    from bridgeseg.runtime.saving import Record

FEW, ALL = 40, 1000
"""Classes that `info` prints, and with `--full`."""
SHORT, LONG, MANY = 500, 5000, 100
"""Characters of a fact, and with `--full`; prompts of a class."""
NAMED = 4
"""Classes named on the line of one image among many."""


class Counts(NamedTuple):
    """How many sources were done, and how many failed."""

    done: int
    failed: int


def print_json(value: Any) -> None:
    """Write one JSON object on one line of stdout, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def report(run: Prediction, folder: Path, *, as_json: bool = False, quiet: bool = False) -> Counts:
    """Print what was done for each image as it happens, with a progress bar if there are many, and where it went.

    Args:
        run: what is done, with what is known of it before.
        folder: where results go.
        as_json: print JSON, one object a line.
        quiet: print failures only.
    """
    batch, classes = run.batch, run.model.classes
    total = None if batch is None else batch.total
    frames = (lambda: batch.frames) if batch is not None and batch.videos else None
    done = failed = 0
    notes = _Notes()
    many = total is None or total > 1
    bar = ProgressBar(
        "images",
        total,
        show=not quiet and (many or frames is not None),
        note=lambda: f"{count} frames" if frames is not None and (count := frames()) else "",
        keep_stderr=True,
    )
    console = bar.console
    with bar:
        # Above a moving bar only its own console may write to the screen.
        shared = console if bar.moving and sys.stdout.isatty() else None
        for item in run.items:
            if isinstance(item, Failure):
                failed += 1
                _print_failure(item, console, as_json)
            else:
                done += 1
                notes.add(item)
                _print_record(
                    cast("Record | VideoRecord", item), classes, shared, many=many, as_json=as_json, quiet=quiet
                )
            bar.advance()
    if done and many and not quiet and not as_json:
        console.print(f"results: {printable(folder)}", markup=False, highlight=False, soft_wrap=True)
    if failed and many:
        console.print(f"{failed} of {total or done + failed} failed, {done} done", highlight=False, soft_wrap=True)
    if not quiet:
        for line in [*notes.lines(), *(() if batch is None else batch.left_out.lines())]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return Counts(done, failed)


class _Notes:
    """What was dropped or reinterpreted of images: of each kind the first, and how many there are."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[Path | None, Note]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, item: Any) -> None:
        """Count the notes of one image or video."""
        for note in item.notes:
            self._first.setdefault(note.code, (item.source, note))
            self._counts[note.code] += 1

    def lines(self) -> list[str]:
        """Say it, in the order in which the kinds were met."""
        lines = []
        for code, (source, note) in self._first.items():
            more = self._counts[code] - 1
            others = f" (and {more:,} more)" if more else ""
            where = "" if source is None else f"{printable(whole(str(source)))}: "
            lines.append(f"warning: {where}{as_options(note.message)}{others}\n  fix: {as_options(note.fix)}")
        return lines


def print_stopped(done: int, *, quiet: bool = False) -> None:
    """Say that a run was ended early."""
    if not quiet:
        print(f"stopped, {done} done; what was written is whole", file=sys.stderr)


def print_info(facts: dict[str, Any], *, full: bool = False) -> None:
    """Print what `Model.describe` returns.

    Args:
        facts: what is known of the model.
        full: print the settings of its training, prompts, and many more classes, too.
    """
    provenance = facts["provenance"]
    scores = provenance.get("scores") if isinstance(provenance.get("scores"), dict) else None
    console = Console()
    table = Table.grid(padding=(0, 2))
    rows = {
        "model": facts["path"],
        "chosen": facts.get("chosen"),
        "size": None if facts["bytes"] is None else f"{facts['bytes'] / 1e6:.1f} MB",
        "parameters": f"{facts['parameters']:,}" if isinstance(facts["parameters"], int) else facts["parameters"],
        "inputs": _nodes(facts.get("inputs")),
        "outputs": _nodes(facts.get("outputs")),
        **(reading if isinstance(reading := provenance.get("reading"), dict) and not full else {}),
        **{
            key: value
            for key, value in provenance.items()
            if key not in ("scores", "parameters") and (full or not isinstance(value, dict))
        },
        "scores": ", ".join(f"{key} {_number(value)}" for key, value in (scores or {}).items() if key != "iou"),
    }
    for name, value in rows.items():
        if value not in (None, "", [], {}):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(Text(shortened(name), "bold"), Text(shortened(text, LONG if full else SHORT)))
    console.print(table)
    iou = (scores or {}).get("iou")
    _print_classes(console, facts["classes"], iou if isinstance(iou, dict) else {}, full)


def _print_classes(console: Console, classes: list[dict[str, Any]], iou: dict[str, Any], full: bool) -> None:
    table, most = Table("id", "", "class", "IoU", *(["prompts"] if full else [])), ALL if full else FEW
    for entry in classes[:most]:
        name = entry["name"]
        score = _number(iou[name]) if iou.get(name) is not None else ""
        prompts = [Text(shortened("; ".join(entry["prompts"][:MANY])))] if full else []
        table.add_row(str(entry["id"]), _swatch(entry["colour"]), Text(shortened(name)), score, *prompts)
    console.print(table)
    if (left := len(classes) - most) > 0:
        print(f"and {left:,} more classes; --json has them all")


def _print_failure(failure: Failure, console: Console, as_json: bool) -> None:
    if as_json:
        source = None if failure.source is None else whole(str(failure.source))
        print_json({"source": source, "error": worded(failure.error)})
    else:
        lines = worded(failure.error).split("\n  fix: ")
        console.print(
            "error: " + "\n  fix: ".join(map(printable, lines)), markup=False, highlight=False, soft_wrap=True
        )


def _print_record(
    record: Record | VideoRecord, classes: ClassSet, shared: Console | None, *, many: bool, as_json: bool, quiet: bool
) -> None:
    if as_json:
        print_json(record.to_dict())
    elif quiet:
        return
    elif many:
        shown = [f"{printable(name)} {percent(share)}" for name, share in list(record.areas.items())[:NAMED]]
        more = len(record.areas) - NAMED
        if record.unknown:
            shown.append(f"unknown {percent(record.unknown)}")
        frames = f"{_frames(record)}, " if getattr(record, "frames", 0) else ""
        rest = f", and {more} more" if more > 0 else ""
        line = f"{printable(whole(str(record.source)))}: {frames}{', '.join(shown)}{rest}"
        if shared is None:
            print(line, flush=True)
        else:
            shared.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        _print_table(record, classes)


def _frames(record: Any) -> str:
    return f"{record.frames} frames" + (f", {record.dropped} dropped" if record.dropped else "")


def _print_table(record: Record | VideoRecord, classes: ClassSet) -> None:
    colours = dict(zip(classes.names, classes.palette, strict=True))
    table = Table.grid(padding=(0, 2))
    for name, share in record.areas.items():
        table.add_row(_swatch(colours[name]), Text(printable(name)), Text(percent(share), justify="right"))
    if record.unknown is not None:
        table.add_row(_swatch(UNKNOWN), Text("unknown"), Text(percent(record.unknown), justify="right"))
    console = Console()
    frames = f", {_frames(record)}" if getattr(record, "frames", 0) else ""
    size = f"{record.width} x {record.height}{frames}"
    console.print(f"{printable(whole(str(record.source)))} ({size})", markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    files = {kind: getattr(record, kind, None) for kind in ("mask", "masks", "overlay")} | getattr(record, "files", {})
    for kind, path in files.items():
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
