"""data.yaml -> DataSpec, validated once."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from bridgeseg.classes import ClassSet
from bridgeseg.data import declaration
from bridgeseg.data.listing import Listing, Sample, list_pairs
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.pixels import AS_STORED, Reading
from bridgeseg.wording import shown

__all__ = ["DataSpec", "Sample", "subset"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class DataSpec:
    """What a data.yaml says, checked.

    Attributes:
        path: the data.yaml.
        root: absolute, resolved root folder of the dataset; every image and mask folder lies inside it.
        classes: names, prompts, palette, ignore index.
        splits: split name -> folders or .txt files, as written.
        masks_dir: what takes the place of the folder `images` in an image's path.
        label_map: mask value -> class id (or ignore index); None where masks hold class ids.
        colour_map: colour 0xRRGGBB -> class id (or ignore index); None unless `label_map` lists colours.
        mask_suffix: what the name of a mask has behind the name of its image.
        reading: how images are read.
        digest: SHA-256 of the data.yaml.
    """

    path: Path
    root: Path
    classes: ClassSet
    splits: Mapping[str, tuple[str, ...]]
    masks_dir: str = "masks"
    label_map: dict[int, int] | None = None
    colour_map: dict[int, int] | None = None
    mask_suffix: str = ""
    reading: Reading = AS_STORED
    digest: str = ""

    @classmethod
    def load(cls, path: str | Path) -> DataSpec:
        """Read a data.yaml, or the `data.yaml` of a folder.

        Raises:
            DataError: the file cannot be read, a key is unknown or its value not allowed; the text says which, what was
                found, what is allowed and how to repair it.
        """
        return cls(**declaration.read(path).values or {})

    def samples(self, split: str) -> list[Sample]:
        """Return the (image, mask) pairs of `train`, `val` or `test`, sorted by path.

        Raises:
            DataError: no such split, no images in it, images without mask, two images for one mask, or paths that lead
                outside the root.
        """
        listing = self.listing(split)
        for finding in listing.findings:
            if finding.severity == "error":
                raise finding.error(self.path)
        return listing.samples

    def listing(self, split: str) -> Listing:
        """Return the pairs of a split and everything that is wrong with the rest of its files.

        Raises:
            DataError: no such split.
        """
        if split not in self.splits:
            message = f"no split {shown(split)}; {nearest(str(split), self.splits)}"
            raise DataError(message, where=self.path, fix="choose one of these, or add the split to the file")
        return list_pairs(self, split)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description for provenance; it names no folder of this machine."""
        maps = {"label_map": self.label_map, "colour_map": self.colour_map}
        return {
            "file": self.path.name,
            "sha256": self.digest,
            "splits": {name: [self._short(place) for place in places] for name, places in self.splits.items()},
            "masks_dir": self.masks_dir,
            **({"mask_suffix": self.mask_suffix} if self.mask_suffix else {}),
            **{key: value for key, value in asdict(self.reading).items() if value is not None},
            "classes": self.classes.to_dict(),
            **{
                key: table and {f"#{value:06x}" if key == "colour_map" else str(value): table[value] for value in table}
                for key, table in maps.items()
            },
        }

    def _short(self, place: str) -> str:
        if not Path(place).is_absolute():
            return place
        path = Path(os.path.realpath(place))  # unlike `resolve`, never fails
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


def subset(items: Sequence[Item], fraction: float, seed: int = 0) -> list[Item]:
    """Return a part of `items`, in their order: the same for the same seed on every machine.

    At least one item is kept. Subsets nest: with one seed, the items of 10% are all among those of 25%.

    Raises:
        ConfigError: `fraction` is not above 0 and at most 1.
    """
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"fraction must be above 0 and at most 1, found {fraction}", fix="1.0 uses every image")
    count = max(1, math.floor(len(items) * fraction + 0.5))
    ranked = sorted(range(len(items)), key=lambda index: hashlib.sha256(f"{seed}:{index}".encode()).digest())
    return [items[index] for index in sorted(ranked[:count])]
