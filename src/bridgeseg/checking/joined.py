"""Several datasets that are to be trained together: each is checked, and then their names against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bridgeseg.checking.report import Report
from bridgeseg.data.finding import Finding, errors_first, of_error, some
from bridgeseg.data.joining import Joined, join, short_names
from bridgeseg.data.likeness import alike, propose
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.extras import extra
from bridgeseg.settings.check import Check

MOST = 12
"""Names or pairs that a finding lists."""


def check_together(asked: Check, paths: Sequence[str | Path], check_one: Callable[[Check], Report]) -> Report:
    """Check every dataset by itself, then what they say of names together.

    Args:
        asked: what is asked for; only its `data` is not looked at.
        paths: the datasets.
        check_one: checks one dataset.

    Raises:
        ConfigError: masks were to be converted, or a model to be asked.
        InputError: the text encoder cannot be used, or see `check_one`.
    """
    if asked.fix_masks is not None:
        raise ConfigError("the masks of one dataset are converted at a time", fix="give one `data`, or no `fix_masks`")
    if asked.model is not None:
        raise ConfigError("a model is asked about one dataset at a time", fix="give one `data`, or no `model`")
    reports = [check_one(asked.model_copy(update={"data": path, "html": None})) for path in paths]
    specs, findings = list[DataSpec](), list[Finding]()
    for path in paths:
        try:
            specs.append(DataSpec.load(path))
        except DataError:  # its own report says so
            continue
    if len(specs) == len(paths):
        findings += _of_names(specs, asked.text_encoder)
    names = short_names(specs) if len(specs) == len(paths) else [str(path) for path in paths]
    named = list(zip(names, reports, strict=True))
    findings += [replace(one, message=f"{name}: {one.message}") for name, report in named for one in report.findings]
    return Report(
        reports[0].data,
        {f"{name}: {split}": count for name, report in named for split, count in report.pairs.items()},
        errors_first(findings),
        {},
        asked.quick,
        sum(report.seconds for report in reports),
        others=tuple(report.data for report in reports[1:]),
    )


def _of_names(specs: Sequence[DataSpec], encoder: str | None) -> Iterator[Finding]:
    files = tuple(spec.path.name for spec in specs)
    try:
        joined = join(specs)
    except (ConfigError, DataError) as error:
        where = error.where if isinstance(error.where, Path) else specs[0].path
        yield of_error(DataError(error.message, fix=error.fix), "names-contradict", where.name)
        return

    def note(code: str, message: str, fix: str, count: int) -> Finding:
        return Finding(code, "note", message, fix, files, count)

    if shared := joined.shared():
        told = [f"{name} ({', '.join(owners)})" for name, owners in shared.items()]
        message = f"names that several datasets label are one class each: {some(told, MOST)}"
        yield note("names-shared", message, "nothing; or rename in one file what means something else there", len(told))
    for name, left in joined.left_out().items():
        message = f"{name}: labelled by no dataset, so no class of a training on these: {some(left, MOST)}"
        yield note("names-left-out", message, "add them to `labelled`, or a dataset that labels them", len(left))
    yield from _alike(joined, encoder, note)


def _alike(joined: Joined, encoder: str | None, note: Callable[[str, str, str, int], Finding]) -> Iterator[Finding]:
    if encoder is None:
        message = "names that look alike were not looked for: that takes their embeddings"
        yield note("names-not-compared", message, "give `text_encoder`, such as open_clip:ViT-B-16/openai or a file", 0)
        return
    with extra():
        from bridgeseg.text import embed
    pairs = alike(joined, embed(joined.classes, encoder).vectors.numpy())
    if pairs:
        told = list(map(str, pairs))
        message = f"names of different datasets that look alike by their embeddings (cosine): {some(told, MOST)}"
        lines = "; ".join(propose(pairs, joined))
        one = f"if they are one, or parts, paste into a data.yaml what is true of: {lines}"
        fix = one if lines else "nothing, if they are different things"
        yield note("names-alike", message, fix, len(pairs))
