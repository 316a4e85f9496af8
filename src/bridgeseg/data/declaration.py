"""Reads a data.yaml key after key: the first thing that is wrong is raised, or everything is collected."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.data import fields, labelling, places
from bridgeseg.data.exports import no_yaml
from bridgeseg.data.finding import Finding, of_error
from bridgeseg.errors import DataError, nearest
from bridgeseg.pixels import AS_STORED
from bridgeseg.wording import shown
from bridgeseg.yamlfile import MAX_BYTES, read_mapping, read_text

SPLITS = ("train", "val", "test")
READING = ("image_range", "bands")
LABELLING = ("labelled", "unlabelled", "labelled_file", "same", "parts")
KEYS = (
    *("path", *SPLITS, "names", "masks_dir", "mask_suffix", "prompts", "palette", "label_map", *READING, "val_share"),
    *LABELLING,
)
FOREIGN_KEYS = (
    *("nc", "label_mapping", "validation", "download", "channels", "kpt_shape", "flip_idx", "kpt_names", "minival"),
    *("yaml_file", "roboflow"),
)
"""Keys of Ultralytics and Roboflow that are understood (the first three) or that change nothing here."""

MOST_OF_A_KIND = 20
"""Findings with one code; more are counted."""
MOST_WORK = 2_000_000
"""Entries times classes up to which a key that is wrong is read entry by entry."""
_UNNAMED = 255
"""Classes that stand in where `names` cannot be used, so that the files can be looked at all the same."""


@dataclass(frozen=True)
class Declaration:
    """A data.yaml, as far as it can be used.

    Attributes:
        values: the attributes of a `DataSpec`; None if no file can be found with them.
        findings: what is wrong.
        classes_known: whether mask values have a meaning: False if `names` or `label_map` is wrong.
    """

    values: dict[str, Any] | None
    findings: tuple[Finding, ...] = ()
    classes_known: bool = True


def read(path: str | Path, *, collect: bool = False) -> Declaration:
    """Read a data.yaml, or the one of a folder.

    Args:
        path: the file or folder.
        collect: put everything that is wrong into the findings, instead of raising the first.

    Raises:
        DataError: something is wrong, unless `collect`.
    """
    path = Path(path)
    try:
        folder, path = path, places.yaml_file(path)
        if path != folder and not places.exists(path):
            raise no_yaml(folder)
        text = read_text(path, MAX_BYTES)
        data = read_mapping(text, path)
    except DataError as error:
        if not collect:
            raise
        return Declaration(None, (of_error(error, "yaml-unreadable", path.name),))
    return _Reader(path, data, collect).declaration(hashlib.sha256(text.encode()).hexdigest())


@dataclass
class _Reader:
    """Reads key after key; what is refused becomes a finding and is left out, or is raised at once."""

    path: Path
    data: Mapping[Any, Any]
    collect: bool
    found: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def declaration(self, digest: str) -> Declaration:
        self._keys()
        names: list[str] | None = self._try("names-invalid", fields.names, self.data, self.path)
        if names is None:
            classes, maps = ClassSet.build([f"id {index}" for index in range(_UNNAMED)]), None
        else:
            self._try("nc-mismatch", fields.check_count, self.data, names, self.path)
            classes = self._classes(names)
            maps = self._label_maps(classes)
        splits = self._splits()
        root = self._try("path-invalid", places.root_folder, self.data.get("path"), self.path)
        masks_dir = self._try("masks-dir-invalid", fields.masks_dir, self.data, self.path)
        suffix = self._try("mask-suffix-invalid", fields.mask_suffix, self.data, self.path)
        reading = self._try("reading-invalid", fields.reading, self.data, self.path)
        share = self._try("val-share-invalid", fields.val_share, self.data, splits, self.path)
        labels = self._labelling(names or [], root)
        findings = self._all()
        if root is None or masks_dir is None or not splits:
            return Declaration(None, findings)
        label_map, colour_map = maps or (None, None)
        values = {"path": self.path, "root": root, "classes": classes, "splits": splits, "masks_dir": masks_dir}
        values |= {"label_map": label_map, "colour_map": colour_map, "mask_suffix": suffix or ""}
        values |= {"reading": reading or AS_STORED, "val_share": share or 0.0, "digest": digest}
        values |= {key: value for key, value in labels.items() if value is not None}
        return Declaration(values, findings, maps is not None)

    def _try(self, code: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `read(*arguments)` returns, or None and put its refusal down."""
        try:
            return read(*arguments)
        except DataError as error:
            self._put(error, code)
            return None

    def _put(self, error: DataError, code: str) -> None:
        if not self.collect:
            raise error
        self.counts[code] += 1
        if self.counts[code] <= MOST_OF_A_KIND:
            self.found.append(of_error(error, code, self.path.name))

    def _all(self) -> tuple[Finding, ...]:
        """Return what was found, and how many of each kind were left out."""
        more = {code: count - MOST_OF_A_KIND for code, count in self.counts.items() if count > MOST_OF_A_KIND}
        rest = (
            Finding(code, "error", f"and {count:,} more of this kind", "correct them too", (self.path.name,), 1)
            for code, count in more.items()
        )
        return (*self.found, *rest)

    def _keys(self) -> None:
        for key in self.data:
            if key not in KEYS and key not in FOREIGN_KEYS:
                text = key if isinstance(key, str) else shown(key)
                # describing the nearest key takes time, and a hostile file may hold 100,000
                hint = nearest(text, KEYS) if self.counts["unknown-key"] < MOST_OF_A_KIND else ""
                message = f"unknown key {shown(key)}; {hint}"
                self._put(DataError(message, where=self.path, fix="rename or remove it"), "unknown-key")

    def _classes(self, names: list[str]) -> ClassSet:
        """Return the classes with those entries of `prompts` and `palette` that can be used."""

        def read(part: Mapping[Any, Any]) -> ClassSet:
            return fields.class_set(names, part, self.path)

        codes = {"prompts": "prompts-invalid", "palette": "palette-invalid"}
        given = {key: code for key, code in codes.items() if self.data.get(key) is not None}
        return read({key: self._usable(key, code, read, len(names)) for key, code in given.items()})

    def _label_maps(self, classes: ClassSet) -> tuple[dict[int, int] | None, dict[int, int] | None] | None:
        """Return the two maps of `fields.label_maps`, None if they have mistakes."""

        def read(part: Mapping[Any, Any]) -> Any:
            return fields.label_maps(part, classes, self.path)

        code = "label-map-invalid"
        for key in ("label_map", "label_mapping"):
            if self.data.get(key) is not None:
                self._usable(key, code, read, len(classes))
        maps = None if self.counts[code] else self._try(code, read, self.data)
        return None if self.counts[code] else maps

    def _usable(self, key: str, code: str, read: Callable[[Mapping[Any, Any]], Any], classes: int) -> Any:
        """Return the value of a key without the entries that `read` refuses; None if nothing of it can be used."""
        given = self.data[key]
        try:
            read({key: given})
            return given
        except DataError as error:
            if not self.collect:
                raise
            whole = error
        kept, before = {}, self.counts[code]
        if isinstance(given, Mapping) and len(given) * classes <= MOST_WORK:
            for name, value in given.items():
                if self._try(code, read, {key: {name: value}}) is not None:
                    kept[name] = value
        if self.counts[code] == before:  # not the entries are wrong but the whole
            self._put(whole, code)
            return None
        return kept or None

    def _labelling(self, names: list[str], root: Path | None) -> dict[str, Any]:
        """Return what the file says of what is labelled, as far as it can be used."""
        code, data, path = "labelling-invalid", self.data, self.path
        found = {
            "labelled": self._try(code, labelling.labelled, data, names, path),
            "unlabelled": self._try(code, labelling.unlabelled, data, path),
            "same": self._try(code, labelling.same, data, path),
            "parts": self._try(code, labelling.parts, data, path),
        }
        if root is not None:
            found["labelled_images"] = self._try(code, labelling.labelled_images, data, names, root, path)
            found["labelled_file"] = data.get("labelled_file") if found["labelled_images"] else None
        return found

    def _splits(self) -> dict[str, tuple[str, ...]]:
        given = {name: self.data[name] for name in SPLITS if self.data.get(name) is not None}
        if "val" not in given and self.data.get("validation") is not None:
            given["val"] = self.data["validation"]
        if not given:
            message, fix = "none of train, val and test is given", "add `train: images/train`"
            self._put(DataError(message, where=self.path, fix=fix), "no-split")
        found = {
            name: self._try("split-invalid", fields.locations, value, name, self.path) for name, value in given.items()
        }
        return {name: places for name, places in found.items() if places}
