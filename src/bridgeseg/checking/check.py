"""A data.yaml -> a report on everything that is wrong with its dataset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bridgeseg.checking import pool
from bridgeseg.checking.balance import class_findings, count_classes, shares, single_class
from bridgeseg.checking.examine import Depth, Job
from bridgeseg.checking.joined import check_together
from bridgeseg.checking.listed import in_no_split
from bridgeseg.checking.report import Report
from bridgeseg.checking.twins import twin_findings
from bridgeseg.data import declaration
from bridgeseg.data.entries import Dataset, Entry
from bridgeseg.data.files import file_findings
from bridgeseg.data.finding import Finding, errors_first
from bridgeseg.data.listing import Listing, Sample, without_image
from bridgeseg.data.maskfile import most_values
from bridgeseg.data.palettes import palette_findings
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.values import value_findings
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.images import DEFAULT_MAX_PIXELS
from bridgeseg.settings.check import Check
from bridgeseg.wording import shown

QUICK_PAIRS = 2000
"""Pairs whose headers a quick check reads at most, spread evenly over a split."""
QUICK_MASKS = 32
"""Masks that a quick check reads in full, of all splits together."""

MISREAD = {"masks-colour", "masks-binary", "ids-off-by-one", "palettes-differ"}
"""Findings after which nothing can be said of classes: their masks mean something else than they seem to."""


def check(asked: Check) -> Report:
    """Look at every file of a dataset, or of several, and report everything that is wrong; see `bridgeseg.check`.

    No file of the dataset is changed, and the report does not depend on the number of processes.
    """
    paths = [asked.data] if isinstance(asked.data, str | Path) else list(asked.data)
    if not paths:
        raise ConfigError("no dataset to check", where="data", fix="give a data.yaml: `data=FOLDER/data.yaml`")
    if len(paths) == 1:
        return _check(asked, paths[0])
    report = check_together(asked, paths, lambda one: _check(one, str(one.data)))
    if asked.html is not None:
        from bridgeseg.checking.page import write_page

        write_page(report, asked.html, ())
    return report


def _check(asked: Check, data: str | Path) -> Report:
    quick, fix_masks = asked.quick, asked.fix_masks
    if quick and fix_masks is not None:
        raise ConfigError("a quick check reads too little to convert masks", fix="leave out `quick`, or `fix_masks`")
    if quick and asked.model is not None:
        raise ConfigError("a quick check asks no model", fix="leave out `quick`, or `model`")
    started = time.monotonic()
    declared = declaration.read(data, collect=True)
    spec, findings = DataSpec(**declared.values) if declared.values else None, list(declared.findings)
    path = Path(data) if spec is None else spec.path
    dataset: Dataset | None = None
    if spec is None:
        report = Report(path, {}, errors_first(findings))
    else:
        samples, unpaired = _pairs(spec, _chosen(spec, asked.split))
        findings += [*unpaired, *([] if quick else without_image(spec, samples)), *_no_validation(spec)]
        findings += in_no_split(spec, samples)
        dataset = _look(spec, samples, asked.workers, quick, asked.max_pixels, asked.quiet)
        report = _report(dataset, findings, samples, quick=quick, classes_known=declared.classes_known)
        if asked.model is not None and declared.classes_known:
            report = _with_disputes(report, asked, spec, samples)
    if fix_masks is not None:
        from bridgeseg.checking.convert import write_converted

        converted = write_converted(dataset if declared.classes_known else None, fix_masks)
        report = replace(report, findings=errors_first([*report.findings, *converted]))
    report = replace(report, seconds=time.monotonic() - started)
    if asked.html is not None:
        from bridgeseg.checking.page import write_page

        write_page(report, asked.html, spec.classes.palette if spec is not None and declared.classes_known else ())
    return report


def _with_disputes(report: Report, asked: Check, spec: DataSpec, samples: Mapping[str, Sequence[Sample]]) -> Report:
    from bridgeseg.checking.disputing import find_disputes

    disputes = find_disputes(asked, spec, samples)
    found = disputes.finding()
    findings = report.findings if found is None else errors_first([*report.findings, found])
    return replace(report, findings=findings, disputes=disputes)


def quick_check(
    spec: DataSpec, samples: Mapping[str, Sequence[Sample]] | None = None, splits: Iterable[str] | None = None
) -> Report:
    """Look at a dataset before a run: sizes from headers, and some masks in full. Takes under 1 ms a pair.

    What reading the data.yaml refuses has been refused when there is a `spec`, and is not looked at again. Of at most
    `QUICK_PAIRS` pairs of a split the headers are read, and `QUICK_MASKS` masks in full; of the images beside these
    masks, those are decoded that have more than 8 bits, transparency or pages. Nothing is said of duplicates and absent
    classes. PNG images that EXIF turns may go unnoticed.

    Args:
        spec: the dataset.
        samples: split -> its samples, if they have been listed already.
        splits: the splits to list, if there are no `samples`; all by default.
    """
    started, findings = time.monotonic(), list[Finding]()
    if samples is None:
        samples, findings = _pairs(spec, spec.all_splits if splits is None else splits)
    findings += in_no_split(spec, samples)
    dataset = _look(spec, samples, 1, True, DEFAULT_MAX_PIXELS, True)
    report = _report(dataset, findings, samples, quick=True, classes_known=True)
    return replace(report, seconds=time.monotonic() - started)


def _no_validation(spec: DataSpec) -> Iterator[Finding]:
    if "train" in spec.splits and "val" not in spec.all_splits:
        message = "there is no split val, which training validates on to keep the best weights"
        fix = "bridgeseg train --val-share 0.1, or `val_share: 0.1` in data.yaml: a tenth of train, told by the names"
        yield Finding("no-validation", "warning", message, fix, (spec.path.name,), 1)


def _chosen(spec: DataSpec, split: str | None) -> Iterable[str]:
    if split is None:
        return spec.all_splits
    if split not in spec.all_splits:
        message = f"no split {shown(split)}; {nearest(split, spec.all_splits)}"
        raise ConfigError(message, where=spec.path, fix="choose one of these, or add the split to the file")
    return (split,)


def _pairs(spec: DataSpec, splits: Iterable[str]) -> tuple[dict[str, list[Sample]], list[Finding]]:
    listings: dict[str, Listing] = {split: spec.listing(split) for split in splits}
    samples = {split: listing.samples for split, listing in listings.items()}
    return samples, [finding for listing in listings.values() for finding in listing.findings]


def _look(
    spec: DataSpec,
    samples: Mapping[str, Sequence[Sample]],
    workers: int | None,
    quick: bool,
    max_pixels: int,
    quiet: bool,
) -> Dataset:
    chosen: list[tuple[str, Sample, Depth]] = []
    for split, listed in samples.items():
        if not quick:
            chosen += [(split, sample, "all") for sample in listed]
            continue
        part = _evenly(listed, QUICK_PAIRS)
        in_full = set(_evenly(part, max(1, QUICK_MASKS // len(samples))))
        chosen += [(split, sample, "masks" if sample in in_full else "headers") for sample in part]
    colours = spec.colour_map is not None
    most = most_values(spec)
    jobs = [
        Job(sample.image, sample.mask, depth, colours, most, max_pixels, spec.reading) for _, sample, depth in chosen
    ]
    facts = pool.examine_all(jobs, workers, quiet=quiet)
    entries = [Entry(split, sample, *found) for (split, sample, _), found in zip(chosen, facts, strict=True)]
    return Dataset(spec, entries)


def _evenly(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Return at most `most` samples, evenly spaced."""
    count = min(most, len(samples))
    return [samples[index * len(samples) // count] for index in range(count)]


def _report(
    data: Dataset,
    findings: list[Finding],
    samples: Mapping[str, Sequence[Sample]],
    *,
    quick: bool,
    classes_known: bool,
) -> Report:
    found = [*findings, *file_findings(data)]
    classes: dict[str, dict[str, float]] = {}
    if classes_known:
        values = [*value_findings(data), *palette_findings(data)]
        found += [*values, *single_class(data)]
        if not quick:
            counts = count_classes(data)
            classes = shares(counts, data)
            if not MISREAD.intersection(finding.code for finding in values):
                found += class_findings(data, counts)
    if not quick:
        found += twin_findings(data)
    return Report(
        data.spec.path, {split: len(listed) for split, listed in samples.items()}, errors_first(found), classes, quick
    )
