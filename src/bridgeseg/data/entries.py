"""The pairs of a dataset with what their files hold, and findings made of sets of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bridgeseg.data.finding import MOST_FILES, Finding, Illustration, Severity, number, some
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.pixels import Note

MOST_ILLUSTRATIONS = 3


class Problem(NamedTuple):
    """Why a file cannot be used: the code of its finding, what was found, what to do."""

    code: str
    text: str
    fix: str


@dataclass(frozen=True)
class ImageFacts:
    """What an image file holds.

    Attributes:
        size: (width, height), upright; None if the file cannot be read.
        stored: (width, height) in the file.
        orientation: of EXIF, 1..8; 1 is upright.
        digest: of the file's bytes; empty unless it was read.
        look: what it looks like (a `Fingerprint`); None unless it was decoded.
        notes: what was dropped or reinterpreted when it was read.
        problem: why it cannot be read.
    """

    size: tuple[int, int] | None = None
    stored: tuple[int, int] | None = None
    orientation: int = 1
    digest: bytes = b""
    look: tuple[int, bytes] | None = None
    notes: tuple[Note, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True)
class MaskFacts:
    """What a mask file holds.

    Attributes:
        size: (width, height), upright; None if the file cannot be read.
        mode: Pillow's name of its kind of pixels.
        values: value -> pixels; None if it was not decoded, or holds colours.
        colours: 0xRRGGBB -> pixels, the most frequent first; None unless it holds colours.
        more: values or colours that are left out.
        transparent: whether it has an alpha channel with pixels that are not opaque.
        palette: index -> colour 0xRRGGBB of the indices that occur, of a palette image.
        repeated: colours that several indices of the palette have.
        blended: values that smooth resizing seems to have made.
        extras: what the file holds besides one image, such as "layers"; it is not read.
        problem: why it cannot be used.
    """

    size: tuple[int, int] | None = None
    mode: str = ""
    values: dict[int, int] | None = None
    colours: dict[int, int] | None = None
    more: int = 0
    transparent: bool = False
    palette: Mapping[int, int] = field(default_factory=dict)
    repeated: frozenset[int] = frozenset()
    blended: frozenset[int] = frozenset()
    extras: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class Entry:
    """A pair of a split and what its files hold."""

    split: str
    sample: Sample
    image: ImageFacts
    mask: MaskFacts


@dataclass(frozen=True)
class Dataset:
    """Everything that findings are made of.

    Attributes:
        spec: the data.yaml.
        entries: all pairs, split after split; a pair of two splits is there twice.
    """

    spec: DataSpec
    entries: Sequence[Entry]

    def name(self, path: Path) -> str:
        """Return a path below the root, with slashes."""
        return os.path.relpath(path, self.spec.root).replace(os.sep, "/")

    def masks(self, entries: Sequence[Entry]) -> list[str]:
        """Return the names of the masks, each once."""
        return list(dict.fromkeys(self.name(entry.sample.mask) for entry in entries))

    def finding(
        self,
        code: str,
        severity: Severity,
        entries: Sequence[Entry],
        what: str,
        fix: str,
        *,
        images: bool = False,
        details: dict[str, Any] | None = None,
        values: frozenset[int] = frozenset(),
    ) -> list[Finding]:
        """Return a finding about the masks (or the `images`) of `entries`; none if there are no entries.

        Args:
            code: of the finding.
            severity: of the finding.
            entries: the pairs concerned.
            what: what is wrong with them; their number and the first names are put behind it.
            fix: of the finding.
            images: name the images instead of the masks.
            details: of the finding.
            values: mask values or colours that illustrations mark.
        """
        if not entries:
            return []
        if images:
            files = list(dict.fromkeys(self.name(entry.sample.image) for entry in entries))
        else:
            files = self.masks(entries)
        samples = list(dict.fromkeys(entry.sample for entry in entries))[:MOST_ILLUSTRATIONS]
        shown = tuple(Illustration(sample.image, sample.mask, values) for sample in samples)
        message = f"{what} (in {number(len(files), 'image' if images else 'mask')}: {some(files)})"
        named = tuple(files[:MOST_FILES])
        return [Finding(code, severity, message, fix, named, len(files), details or {}, shown, what)]
