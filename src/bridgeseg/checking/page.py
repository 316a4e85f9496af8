"""A report as one HTML page that needs no other file, with small pictures of the problems."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bridgeseg.checking.pictures import draw_illustration
from bridgeseg.checking.report import Report
from bridgeseg.classes import Colour, default_palette
from bridgeseg.data.finding import SEVERITIES, Finding, number
from bridgeseg.errors import InputError
from bridgeseg.wording import printable

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c1f24;background:#fff}
h1{font-size:1.4rem}
h2{font-size:1.05rem;margin:0 0 .3rem}
section{border-left:4px solid #999;padding:.2rem 1rem;margin:1.4rem 0}
.error{border-color:#c4281c}
.warning{border-color:#d98e04}
.note{border-color:#2f6fb3}
code,pre{font:13px/1.45 ui-monospace,monospace}
p,pre{overflow-wrap:anywhere}
pre{white-space:pre-wrap;background:#f4f5f7;padding:.5rem}
figure{display:inline-block;margin:.5rem 1rem .5rem 0}
figcaption{font-size:12px;color:#555}
td,th{padding:.15rem .8rem .15rem 0;text-align:left}
@media(prefers-color-scheme:dark){body{background:#17191d;color:#e7e9ec}pre{background:#23262c}figcaption{color:#aaa}}
"""


def write_page(report: Report, path: str | Path, palette: Sequence[Colour] = ()) -> None:
    """Write a report as an HTML file, whole or not at all.

    Args:
        report: what to write.
        path: the file; its folder is made if there is none.
        palette: colours of classes in pictures of masks; bridgeseg's own by default.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    part = path.parent / f".bridgeseg-{uuid.uuid4().hex}.part"
    content = page(report, palette or default_palette(256))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(content, encoding="utf-8", errors="backslashreplace")  # names of files may be no Unicode
        part.replace(path)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise InputError(message, where=path, fix="free some space, or choose another --html") from error
    finally:
        with suppress(OSError):  # it is in place, or was never made
            part.unlink()


def page(report: Report, palette: Sequence[Colour]) -> str:
    """Return the page; nothing that stands in file names or in the data.yaml becomes part of its markup."""
    counts = ", ".join(number(len(report.of(severity)), severity) for severity in SEVERITIES)
    pairs = ", ".join(f"{split}: {number(count, 'pair')}" for split, count in report.pairs.items()) or "no pairs"
    title = f"bridgeseg check: {_text(report.data)}"
    body = [f"<h1>{title}</h1><p>{_text(pairs)}. {counts}.{' Quick check.' if report.quick else ''}</p>"]
    body += [_section(finding, palette) for finding in report.findings]
    body.append(_classes(report.classes))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    head += f"<style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _section(finding: Finding, palette: Sequence[Colour]) -> str:
    figures = "".join(
        f'<figure><img alt="{_text(illustration.first.name)}" src="{draw_illustration(illustration, palette)}">'
        f"<figcaption>{_text(illustration.first.name)}{_second(illustration.second)}</figcaption></figure>"
        for illustration in finding.illustrations
    )
    files = ""
    if finding.files:
        more = f"\n... {finding.count - len(finding.files):,} more" if finding.count > len(finding.files) else ""
        names = "\n".join(map(_text, finding.files))
        files = f"<details><summary>{number(finding.count, 'file')}</summary><pre>{names}{more}</pre></details>"
    return (
        f'<section class="{finding.severity}"><h2>{finding.severity}: <code>{_text(finding.code)}</code></h2>'
        f"<p>{_text(finding.message)}</p><pre>fix: {_text(finding.fix)}</pre>{figures}{files}</section>"
    )


def _second(path: Path | None) -> str:
    return "" if path is None else f" | {_text(path.name)}"


def _classes(classes: Mapping[str, Mapping[str, float]]) -> str:
    if not classes:
        return ""
    head = "".join(f"<th>{_text(split)}</th>" for split in classes)
    rows = "".join(
        f"<tr><td>{_text(name)}</td>{''.join(f'<td>{shares[name]:.2%}</td>' for shares in classes.values())}</tr>"
        for name in next(iter(classes.values()))
    )
    return f"<h2>Share of the labelled pixels</h2><table><tr><th>class</th>{head}</tr>{rows}</table>"


def _text(value: object) -> str:
    return html.escape(printable(value))
