"""A report as one HTML page that needs no other file, with small images of the problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgeseg.checking.disputes import Region
from bridgeseg.checking.illustrations import draw_illustration, draw_region
from bridgeseg.checking.report import Report
from bridgeseg.checking.table import class_shares
from bridgeseg.classes import Colour, default_palette
from bridgeseg.data.finding import SEVERITIES, Finding, Illustration, number
from bridgeseg.report import html
from bridgeseg.wording import printable

MOST_PICTURES, MOST_ROWS = 30, 200
"""Disputed regions that are shown, and listed."""


def write_page(report: Report, path: str | Path, palette: Sequence[Colour] = ()) -> None:
    """Write a report as an HTML file, whole or not at all.

    Args:
        report: what to write.
        path: the file; its folder is made if there is none.
        palette: colours of classes in illustrations of masks; bridgeseg's own by default.

    Raises:
        InputError: the file cannot be written.
    """
    counts = ", ".join(number(len(report.of(severity)), severity) for severity in SEVERITIES)
    pairs = ", ".join(f"{split}: {number(count, 'pair')}" for split, count in report.pairs.items()) or "no pairs"
    html.write_page(
        path,
        "check.html",
        data=printable(report.data),
        summary=f"{pairs}. {counts}.{' Quick check.' if report.quick else ''}",
        sections=[_section(finding, palette or default_palette(256)) for finding in report.findings],
        shares=class_shares(report),
        disputes=None if report.disputes is None else report.disputes.table(MOST_ROWS),
        regions=_regions(report),
    )


def _regions(report: Report) -> list[tuple[str, str]]:
    """Return a picture and a caption of each of the regions that weigh most."""
    if (disputes := report.disputes) is None:
        return []
    return [(draw_region(one, disputes.spec), _told(one)) for one in disputes.regions[:MOST_PICTURES]]


def _told(one: Region) -> str:
    sure = "" if one.confidence is None else f", {one.confidence:.0%} sure"
    said = f"labelled {one.labelled} (left), taken for {one.predicted} (right{sure}): {number(one.pixels, 'pixel')}"
    return printable(f"{one.split}: {one.image} | {said}")


def _section(finding: Finding, palette: Sequence[Colour]) -> tuple[Any, ...]:
    figures = [(draw_illustration(shown, palette), _caption(shown)) for shown in finding.illustrations]
    files = [number(finding.count, "file"), *map(printable, finding.files)] if finding.files else []
    if files and finding.count > len(finding.files):
        files.append(f"... {finding.count - len(finding.files):,} more")
    return finding, printable(finding.message), printable(finding.fix), figures, files


def _caption(shown: Illustration) -> str:
    return printable(shown.first.name) + (f" | {printable(shown.second.name)}" if shown.second else "")
