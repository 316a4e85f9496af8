"""A report for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bridgeseg.checking.report import Report
from bridgeseg.data.finding import SEVERITIES, number
from bridgeseg.report.tables import Table
from bridgeseg.wording import printable

_STYLES = {"error": "bold red", "warning": "yellow", "note": "blue"}
MOST_CLASSES = 40
MOST_REGIONS = 20


def render(report: Report) -> Group:
    """Return what a Rich console prints: findings, shares of classes, disputed labels, a summary as the last line."""
    parts: list[RenderableType] = []
    if report.findings:
        table = RichTable("", "finding", "what was found, and what to do", show_lines=True)
        for finding in report.findings:
            style = _STYLES[finding.severity]
            found = Text.assemble(printable(finding.message), "\n", ("fix: ", "bold"), printable(finding.fix))
            table.add_row(Text(finding.severity, style), Text(finding.code), found)
        parts.append(table)
    if (shares := class_shares(report, MOST_CLASSES)) is not None:
        parts.append(shares.rich())
    if report.disputes is not None and report.disputes.regions:
        parts.append(report.disputes.table(MOST_REGIONS).rich())
    return Group(*parts, Text(summary(report)))


def summary(report: Report) -> str:
    """Return `data.yaml: train 367, val 101 pairs; 0 errors, 2 warnings, 1 note; 3.1 s`."""
    pairs = ", ".join(f"{split} {count:,}" for split, count in report.pairs.items())
    counts = ", ".join(number(len(report.of(severity)), severity) for severity in SEVERITIES)
    paths = ", ".join(printable(path) for path in (report.data, *report.others))
    return f"{paths}: {pairs + ' pairs' if pairs else 'no pairs'}; {counts}; {report.seconds:.1f} s"


def class_shares(report: Report, most: int | None = None) -> Table | None:
    """Return the share of every class in each split, of `most` classes at most; None if nothing was counted."""
    if not report.classes:
        return None
    names = list(next(iter(report.classes.values())))
    rows = [[printable(name), *(f"{split[name]:.2%}" for split in report.classes.values())] for name in names[:most]]
    if len(names) > len(rows):
        rows.append([f"and {len(names) - len(rows)} more", *("" for _ in report.classes)])
    return Table(["share of labelled pixels", *map(printable, report.classes)], rows)
