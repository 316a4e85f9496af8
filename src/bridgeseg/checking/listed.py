"""Findings about `labelled_file`: what it says of images that are not there to be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bridgeseg.data.finding import MOST_FILES, Finding, number, some
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec


def in_no_split(spec: DataSpec, samples: Mapping[str, Sequence[Sample]]) -> Iterator[Finding]:
    """Give a finding about images that `labelled_file` lists and that no split has, as a warning.

    Args:
        spec: the dataset.
        samples: split -> its samples, of the splits that have been listed already.
    """
    left = dict.fromkeys(spec.labelled_images)
    for split in spec.all_splits if left else ():
        for sample in samples[split] if split in samples else spec.listing(split).samples:
            left.pop(spec.key(sample), None)
    if left:
        message = f"{number(len(left), 'image')} of {spec.labelled_file} in no split: {some(list(left))}"
        fix = "add their folder to a split, write their paths as the split has them, or remove these lines"
        yield Finding("labelled-in-no-split", "warning", message, fix, tuple(left)[:MOST_FILES], len(left))
