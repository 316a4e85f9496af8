"""One public dataset: classes, mask values, colours, folder layout; read from `entries/*.yaml` and checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from bridgeseg.classes import IGNORE_INDEX, ClassSet, Colour, colour_of
from bridgeseg.errors import ConfigError, nearest

Split = Literal["train", "val", "test"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Place = Annotated[str, StringConstraints(pattern=r"^[\w.-][\w./-]*$")]
"""A path below the dataset's root."""
Hex = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
"""A colour, `#rrggbb`."""
ADDRESS = r"https?://[^\s?#]+"
Address = Annotated[str, StringConstraints(pattern=f"^{ADDRESS}$")]
"""A plain address of a file: no query, nothing to log in to."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelClass(_Strict):
    """One class.

    Attributes:
        value: what stands for it in the mask files, 0..254; in colour masks, where its colour does, its class id.
        name: its name, in words.
        colour: its published colour, "#rrggbb".
        published: its name in the dataset's own files, where that is another one.
        prompts: phrases for the text encoder; the name if there are none.
    """

    value: Annotated[int, Field(ge=0, lt=IGNORE_INDEX)]
    name: Text
    colour: Hex
    published: Text | None = None
    prompts: tuple[Text, ...] = ()

    @property
    def rgb(self) -> Colour:
        """The colour as three numbers of 0..255."""
        return colour_of(int(self.colour[1:], 16))


class Source(_Strict):
    """Where some images of a split and their masks lie.

    Attributes:
        images: folder of the images.
        image_end: how their names end; what comes before is the key that image and mask share.
        masks: folder of the masks.
        mask_end: how their names end.
        nested: files lie one folder deeper (Cityscapes: one folder for each city).
        only: text file with one key, or path of an image, a line; only these are taken, else all images are.
        without: text file with keys that are left out; then all masks are taken that are not named there.
        frames: sequence -> ranges of frame numbers, both ends included: only keys like `0016E5_07959` within these.
        optional: an addition that not every download has.
    """

    images: Place
    image_end: Text
    masks: Place
    mask_end: Text
    nested: bool = False
    only: Place | None = None
    without: Place | None = None
    frames: Mapping[str, tuple[tuple[int, int], ...]] | None = None
    optional: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """Paths that must exist below the root."""
        return tuple(place for place in (self.images, self.masks, self.only, self.without) if place is not None)


class Layout(_Strict):
    """One published folder structure: folders that may be the root, counted from the one given, and what is in it."""

    roots: tuple[Place, ...]
    splits: Mapping[Split, tuple[Source, ...]]


class Archive(_Strict):
    """One file of a download, and what of it is unpacked.

    Attributes:
        url: its address.
        digest: `md5:`, `sha1:` or `sha256:` and the digest that others publish for the file; None where none is known,
            as for archives that a server packs anew.
        contents: SHA-256 of what `sha256sum` prints for the files taken, sorted by path; None if it is not known.
        strip: how many folders are dropped from the front of the paths in it.
        takes: the files and folders, after that, which are unpacked; the rest is left.
        size_mb: bytes that it may have, in millions; more is not loaded.
        unpacked_mb: bytes that `takes` may have unpacked, in millions.
    """

    url: Address
    digest: Annotated[str, StringConstraints(pattern=r"^(md5:\w{32}|sha1:\w{40}|sha256:\w{64})$")] | None = None
    contents: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    strip: Annotated[int, Field(ge=0, le=4)] = 0
    takes: Annotated[tuple[Place, ...], Field(min_length=1)]
    size_mb: Annotated[int, Field(gt=0)]
    unpacked_mb: Annotated[int, Field(gt=0)]

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]


class Entry(_Strict):
    """A public dataset.

    Attributes:
        name: what the command line calls it.
        title: what people call it.
        home: its home page.
        download: where to download it.
        licence: a note; the terms on the home page hold.
        archives: files at plain addresses that hold it; none where its owners ask for registration or consent first.
        hint: what else to do when the layout is not found.
        masks: `ids` where mask files hold the classes' values, `colours` where they hold the classes' colours.
        ignore: mask values that are neither trained on nor scored, besides 255.
        unlabelled: of colour masks, the colours that are neither trained on nor scored.
        sizes: split -> the published numbers of images (more than one where there are variants).
        layouts: folder structures that are understood.
        classes: the K classes; class id = position.
    """

    name: Text
    title: Text
    home: Text
    download: Text
    licence: Text
    archives: tuple[Archive, ...] = ()
    hint: Text | None = None
    masks: Literal["ids", "colours"] = "ids"
    ignore: tuple[int, ...] = ()
    unlabelled: tuple[Hex, ...] = ()
    sizes: Mapping[Split, tuple[int, ...]]
    layouts: tuple[Layout, ...]
    classes: tuple[LabelClass, ...]

    @model_validator(mode="after")
    def _is_sound(self) -> Entry:
        values = [*(one.value for one in self.classes), *self.ignore]
        if len(set(values)) != len(values):
            raise ValueError("mask values repeat")
        names = [one.name for one in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("class names repeat")
        colours = [one.colour for one in self.classes]
        if self.masks == "colours" and (len(set(colours)) != len(colours) or values != list(range(len(values)))):
            raise ValueError("colour masks need a colour of its own for every class, and ids in order")
        if self.unlabelled and (self.masks == "ids" or set(self.unlabelled) & set(colours)):
            raise ValueError("`unlabelled` lists colours of colour masks that are those of no class")
        if any(set(layout.splits) != set(self.sizes) for layout in self.layouts):
            raise ValueError("layouts and sizes name different splits")
        return self

    def class_set(self) -> ClassSet:
        """Return names, prompts and palette."""
        return ClassSet.build(
            [one.name for one in self.classes],
            {one.name: one.prompts for one in self.classes if one.prompts},
            [one.rgb for one in self.classes],
        )

    def label_map(self) -> dict[int, int | None] | None:
        """Return mask value -> class id, None for ignore; None altogether if the masks hold the class ids."""
        values = [one.value for one in self.classes]
        if not self.ignore and values == list(range(len(values))):
            return None
        ids: dict[int, int | None] = {value: index for index, value in enumerate(values)}
        return dict(sorted((ids | dict.fromkeys(self.ignore)).items()))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready summary."""
        return {
            **{key: getattr(self, key) for key in ("name", "title", "home", "download", "licence")},
            "archives": [archive.url for archive in self.archives],
            "sizes": {split: list(counts) for split, counts in self.sizes.items()},
            "masks": "linked" if self.masks == "ids" else "converted",
            "ignore": list(self.ignore or self.unlabelled),
            "classes": [
                {
                    "id": index,
                    "name": one.name,
                    "published": one.published or one.name,
                    "value": one.value,
                    "colour": one.colour,
                    "prompts": list(one.prompts or (one.name,)),
                }
                for index, one in enumerate(self.classes)
            ],
        }


@cache
def names() -> tuple[str, ...]:
    """Return the names of all entries, sorted."""
    files = (resources.files("bridgeseg.catalog") / "entries").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


@cache
def entry(name: str) -> Entry:
    """Return a dataset by name.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in names():
        raise ConfigError(f"no dataset is called {name!r}; {nearest(name, names())}", fix="see `bridgeseg data list`")
    text = (resources.files("bridgeseg.catalog") / "entries" / f"{name}.yaml").read_text(encoding="utf-8")
    return Entry.model_validate({"name": name, **yaml.safe_load(text)})
