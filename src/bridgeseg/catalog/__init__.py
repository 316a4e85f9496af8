"""Public datasets: names, mask values and colours of each, and how to make a data.yaml of its download.

    >>> from bridgeseg.catalog import entry, names, prepare
    >>> names()[:4]
    ('ade20k', 'camvid-11', 'camvid-32', 'cityscapes')
    >>> entry("cityscapes").class_set().names[:3]
    ('road', 'sidewalk', 'building')
    >>> prepare("cityscapes", root="downloads/cityscapes", out="data/cityscapes").data
    PosixPath('data/cityscapes/data.yaml')

Those whose owners offer them at plain addresses can be downloaded, too (`download=True`); the others ask for
registration, for the acceptance of terms, or both.
"""

from __future__ import annotations

from bridgeseg.catalog.build import Prepared, prepare
from bridgeseg.catalog.schema import Entry, entry, names

__all__ = ["Entry", "Prepared", "entry", "names", "prepare"]
