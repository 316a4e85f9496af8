"""How much of the labelled training pixels each column of a dataset has, for class weights."""

from __future__ import annotations

from collections.abc import Sequence

from bridgeseg.data.joining import Member
from bridgeseg.data.labels import set_of
from bridgeseg.data.listing import Sample
from bridgeseg.data.stats import ClassStatistics, class_statistics


def column_shares(member: Member, samples: Sequence[Sample], statistics: ClassStatistics) -> list[float]:
    """Return the share of each column (see `bridgeseg.data.labels`), of 1 in all.

    Args:
        member: the dataset.
        samples: its training images. Where they were labelled for different names, their masks are read once more.
        statistics: of all of them.

    Raises:
        DataError: a mask cannot be used.
    """
    spec, labels = member.spec, member.labels
    found = [statistics]
    if len(labels.sets) > 1:
        rows = [set_of(spec, labels.sets, spec.key(sample)) for sample in samples]
        alike = [
            [sample for sample, own in zip(samples, rows, strict=True) if own == row] for row in range(max(rows) + 1)
        ]
        found = [class_statistics(spec, some) for some in alike]
    pixels = labels.of_ids([one.pixels.tolist() for one in found])
    total = max(1, sum(pixels))
    return [count / total for count in pixels]
