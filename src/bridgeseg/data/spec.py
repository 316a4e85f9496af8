"""data.yaml -> DataSpec, validated once."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bridgeseg.classes import ClassSet
from bridgeseg.data import declaration
from bridgeseg.data.finding import Finding
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
        masks_dir: what replaces the folder `images` in an image's path.
        label_map: mask value -> class id (or ignore index); None where masks hold class ids.
        colour_map: colour 0xRRGGBB -> class id (or ignore index); None unless `label_map` lists colours.
        mask_suffix: what the name of a mask has behind the name of its image.
        reading: how images are read.
        val_share: share of the images of train, told by their names, that are the split val; 0 if that is its own.
        labelled: names that are labelled wherever they occur; None if all are, and the masks leave nothing out.
        unlabelled: what pixels of the other names are: `ignore` (unknown), or `other` (none of the labelled names).
        labelled_images: image -> names it was labelled for, where that is not `labelled`; relative to the root.
        labelled_file: the file that says so, as written.
        same: groups of names, of this dataset or others, that are one.
        parts: coarse name -> names, of this dataset or others, that are its parts.
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
    val_share: float = 0.0
    labelled: tuple[str, ...] | None = None
    unlabelled: str = "ignore"
    labelled_images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labelled_file: str = ""
    same: tuple[tuple[str, ...], ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    digest: str = ""

    @property
    def all_splits(self) -> tuple[str, ...]:
        """The names of the splits, with val where that is taken from train."""
        return (*self.splits, *(["val"] if self.val_share else []))

    @property
    def partial(self) -> bool:
        """Whether the file says what is labelled: then an image may show what its mask does not say."""
        return self.labelled is not None or bool(self.labelled_images)

    @property
    def name(self) -> str:
        """A short name: that of the file, or of its folder if it is called data.yaml."""
        return self.path.stem if self.path.name != "data.yaml" else self.path.absolute().parent.name or "data"

    @classmethod
    def load(cls, path: str | Path, val_share: float = 0.0) -> DataSpec:
        """Read a data.yaml, or the `data.yaml` of a folder.

        Args:
            path: the file or folder.
            val_share: takes the split val from train, as the key of that name does; 0 leaves that to the file.

        Raises:
            ConfigError: `val_share` is given, and there is a split val.
            DataError: the file cannot be read, a key is unknown or its value not allowed; the text says which, what was
                found, what is allowed and how to repair it.
        """
        spec = cls(**declaration.read(path).values or {})
        return spec.shared(val_share) if val_share else spec

    def shared(self, val_share: float) -> DataSpec:
        """Return the dataset with the split val taken from train.

        Raises:
            ConfigError: there is a split val, or no train.
        """
        if "val" in self.splits and not self.val_share:
            message = "val_share takes the split val from train, and the data has a split val"
            raise ConfigError(message, where=self.path, fix="leave val_share out")
        if "train" not in self.splits:
            message = "val_share takes the split val from train, and the data has no train"
            raise ConfigError(message, where=self.path, fix="add `train: images/train` to it")
        return replace(self, val_share=val_share)

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
        if self.val_share and split in ("train", "val"):
            whole = list_pairs(self, "train")
            for_val = _for_validation([self.key(sample) for sample in whole.samples], self.val_share)
            wanted = [sample for sample, held in zip(whole.samples, for_val, strict=True) if held == (split == "val")]
            if split == "train":
                return Listing(wanted, whole.findings)
            refused = any(finding.severity == "error" for finding in whole.findings)
            return Listing(wanted, [] if wanted or refused else [self._one_image(len(whole.samples))])
        if split not in self.splits:
            message = f"no split {shown(split)}; {nearest(str(split), self.all_splits)}"
            fix = "choose one of these, or add the split to the file"
            if split == "val" and "train" in self.splits:
                fix = "before a training, write `val_share: 0.1` in it, which takes val from train; or add the split"
            raise DataError(message, where=self.path, fix=fix)
        return list_pairs(self, split)

    def _one_image(self, train: int) -> Finding:
        message = (
            f"val_share {self.val_share:g} takes the split val from train, and leaves it none: train {train}, val 0"
        )
        fix = "add images to train, or train without validation: bridgeseg train --set val_split=none"
        return Finding("val-empty", "error", message, fix=fix, files=(self.path.name,), count=1)

    def key(self, sample: Sample) -> str:
        """Return the path of an image from the root, with `/` between its parts."""
        return Path(os.path.relpath(sample.image, self.root)).as_posix()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description for provenance; it names no folder of this machine."""
        maps = {"label_map": self.label_map, "colour_map": self.colour_map}
        return {
            "file": self.path.name,
            "sha256": self.digest,
            "splits": {name: [self._short(place) for place in places] for name, places in self.splits.items()},
            "masks_dir": self.masks_dir,
            **({"mask_suffix": self.mask_suffix} if self.mask_suffix else {}),
            **self.reading.to_dict(),
            **({"val_share": self.val_share} if self.val_share else {}),
            "classes": self.classes.to_dict(),
            **({"labelled": list(self.labelled)} if self.labelled is not None else {}),
            **({"labelled_file": self.labelled_file} if self.labelled_file else {}),
            **({"unlabelled": self.unlabelled} if self.partial else {}),
            **({"same": [list(group) for group in self.same]} if self.same else {}),
            **({"parts": {whole: list(listed) for whole, listed in self.parts.items()}} if self.parts else {}),
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


def _for_validation(names: Sequence[str], share: float) -> list[bool]:
    """Say of each image whether it is for validation: a hash of its name does, so that new images move no other.

    Of several images at least one is, and at least one is not; a single one is not.
    """
    if len(names) < 2:
        return [False] * len(names)
    places = [
        int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
        for name in names
    ]
    first, last = min(places), max(places)
    return [place < last and (place < share or place == first) for place in places]


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
