"""The report of a comparison as one HTML page: tables, plots, what reproduces them; nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from bridgeseg.comparing.tables import LABELS, NOTE, Rows, class_table, main_table, run_table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #e2e2e2; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #999; } th.name, td.name { text-align: left; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
pre { background: #f5f5f5; padding: 0.7rem 1rem; overflow-x: auto; font-size: 0.82rem; white-space: pre-wrap; }
p.note { color: #555; font-size: 0.86rem; }
"""
CAPTIONS = {
    "scores.png": "mIoU: mean (bar), standard deviation (line) and every seed (dots). The axis does not begin at zero.",
    "latency.png": "mIoU against latency; the line is the standard deviation over the seeds.",
    "fractions.png": "mIoU against the share of labelled images; every share trains for the same number of steps.",
    "classes.png": "IoU of every class minus that of none, paired by seed.",
}


def make_page(results: dict[str, Any], plots: Sequence[Path]) -> str:
    """Return the page.

    Args:
        results: what `results.json` holds.
        plots: PNG files, which are put into the page.
    """
    split, cells, runs = results["split"], results["cells"], results["runs"]
    title = f"Comparison on {split}: {', '.join(dict.fromkeys(cell['variant'] for cell in cells))}"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{len(runs)} finished runs, {len(cells)} cells.</p>"]
    parts += [_problems(results)]
    parts += ["<h2>Results</h2>", _table(*main_table(cells, split, results["against"]))]
    parts += [f'<p class="note">{escape(NOTE)}</p>']
    parts += [_figure(path) for path in plots]
    parts += [f"<h2>IoU per class on {escape(split)}, %</h2>", _table(*class_table(cells))]
    parts += ["<h2>Runs</h2>", _table(*run_table(runs, split))]
    parts += [_reproduce(results), _surroundings(results)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _table(header: Sequence[str], rows: Rows) -> str:
    def line(values: Sequence[str], tag: str) -> str:
        named = (' class="name"' if place < LABELS else "" for place in range(len(values)))
        cells = "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(named, values, strict=True))
        return f"<tr>{cells}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>\n<thead>{line(header, "th")}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _figure(path: Path) -> str:
    caption = CAPTIONS[path.name]
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    picture = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f'<figure>{picture}<figcaption class="note">{escape(caption)}</figcaption></figure>'


def _problems(results: dict[str, Any]) -> str:
    lines = [f"{name}: failed" for name in results["failed"]]
    lines += [f"{name}: not finished" for name in results["unfinished"] if name not in results["failed"]]
    if not lines:
        return ""
    return "<h2>Missing</h2>\n<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _reproduce(results: dict[str, Any]) -> str:
    commands = "\n".join(results["commands"])
    parts = ["<h2>How to reproduce</h2>", f"<pre>{escape(commands)}</pre>"]
    parts += ["<p>Settings that the variants change:</p>", _json(results["variants"])]
    if results["runs"]:
        first = results["runs"][0]
        parts += [f"<p>All settings of {escape(first['name'])}; those of every run are in results.json:</p>"]
        parts += [f"<details><summary>settings</summary>{_json(first['settings'])}</details>"]
    return "\n".join(parts)


def _surroundings(results: dict[str, Any]) -> str:
    parts = ["<h2>Machine and versions</h2>"]
    for entry in results["environments"]:
        parts += [f"<p>{entry['runs']} runs were trained with:</p>", _json(entry["facts"])]
    parts += ["<p>Costs were measured, and this page was made, with:</p>", _json(results["machine"])]
    return "\n".join(parts)


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
