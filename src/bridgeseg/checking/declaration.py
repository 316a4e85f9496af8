"""What is wrong with a data.yaml: all of it, not only the first thing as `DataSpec.load` has it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgeseg.checking.report import Finding, of_error
from bridgeseg.classes import ClassSet
from bridgeseg.data import fields, listing
from bridgeseg.data.spec import FOREIGN_KEYS, KEYS, SPLITS, DataSpec
from bridgeseg.data.yamlfile import MAX_BYTES, read_mapping, read_text
from bridgeseg.errors import DataError, nearest
from bridgeseg.wording import shown

_UNNAMED = 255
"""Classes that stand in where `names` cannot be used, so that the files can be looked at all the same."""

MOST_OF_A_KIND = 20
"""Findings with one code; more are counted."""
MOST_WORK = 2_000_000
"""Entries times classes up to which a key that is wrong is read entry by entry."""


@dataclass(frozen=True)
class Declaration:
    """A data.yaml, as far as it can be used.

    Attributes:
        spec: what it says, without the parts that are wrong; None if no file can be found with it.
        findings: what is wrong.
        classes_known: whether mask values have a meaning: False if `names` or `label_map` is wrong.
    """

    spec: DataSpec | None
    findings: tuple[Finding, ...]
    classes_known: bool = True


def read_declaration(path: str | Path) -> Declaration:
    """Read a data.yaml (or the one of a folder) and collect everything that `DataSpec.load` would refuse."""
    path = Path(path)
    try:
        path = listing.yaml_file(path)
        text = read_text(path, MAX_BYTES)
        data = read_mapping(text, path)
    except DataError as error:
        return Declaration(None, (of_error(error, "yaml-unreadable", path.name),))
    return _Reader(path, data).declaration(hashlib.sha256(text.encode()).hexdigest())


class _Reader:
    """Reads key after key; what is refused becomes a finding and is left out."""

    def __init__(self, path: Path, data: Mapping[Any, Any]) -> None:
        self.path, self.data = path, data
        self.found: list[Finding] = []
        self.counts = Counter[str]()

    def declaration(self, digest: str) -> Declaration:
        self._keys()
        names = self._names()
        classes = (
            ClassSet.build([f"id {index}" for index in range(_UNNAMED)]) if names is None else self._classes(names)
        )
        label_map, colour_map, mapped = (None, None, False) if names is None else self._label_maps(classes)
        splits = self._splits()
        masks_dir = self._try("masks-dir-invalid", fields.masks_dir, self.data, self.path)
        root = self._try("path-invalid", listing.root_folder, self.data.get("path"), self.path)
        if not self.found:  # reading piece by piece must not let pass what reading as a whole refuses
            self._try("yaml-invalid", DataSpec.load, self.path)
        if root is None or masks_dir is None or not splits:
            return Declaration(None, self._all())
        spec = DataSpec(self.path, root, classes, splits, masks_dir, label_map, colour_map, digest)
        return Declaration(spec, self._all(), mapped)

    def _try(self, code: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `read(*arguments)` returns, or None and put its refusal down."""
        try:
            return read(*arguments)
        except DataError as error:
            self._put(of_error(error, code, self.path.name))
            return None

    def _put(self, finding: Finding) -> None:
        self.counts[finding.code] += 1
        if self.counts[finding.code] <= MOST_OF_A_KIND:
            self.found.append(finding)

    def _add(self, code: str, message: str, fix: str) -> None:
        self._put(Finding(code, "error", message, fix, (self.path.name,), 1))

    def _all(self) -> tuple[Finding, ...]:
        """Return what was found, and how many of each kind were left out."""
        more = {code: count - MOST_OF_A_KIND for code, count in self.counts.items() if count > MOST_OF_A_KIND}
        for code, count in more.items():
            self.found.append(
                Finding(code, "error", f"and {count:,} more of this kind", "correct them too", (self.path.name,), 1)
            )
        return tuple(self.found)

    def _keys(self) -> None:
        unknown = [key for key in self.data if key not in KEYS and key not in FOREIGN_KEYS]
        for key in unknown[:MOST_OF_A_KIND]:
            message = f"unknown key {shown(key)}; {nearest(key if isinstance(key, str) else shown(key), KEYS)}"
            self._add("unknown-key", message, "rename or remove it")
        self.counts["unknown-key"] = len(unknown)

    def _names(self) -> list[str] | None:
        names: list[str] | None = self._try("names-invalid", fields.names, {"names": self.data.get("names")}, self.path)
        count = self.data.get("nc")
        if names is not None and count is not None and count != len(names):
            self._add("nc-mismatch", f"`nc` is {shown(count)} but `names` has {len(names)} classes", "remove `nc`")
        return names

    def _classes(self, names: list[str]) -> ClassSet:
        """Return the classes with those entries of `prompts` and `palette` that can be used."""

        def read(part: Mapping[Any, Any]) -> ClassSet:
            return fields.class_set(names, part, self.path)

        good: dict[str, Any] = {}
        for key, code in (("prompts", "prompts-invalid"), ("palette", "palette-invalid")):
            if self.data.get(key) is not None:
                good[key] = self._usable(key, code, read, len(names))
        return read(good)

    def _label_maps(self, classes: ClassSet) -> tuple[dict[int, int] | None, dict[int, int] | None, bool]:
        """Return the two maps of `fields.label_maps`, and whether they are free of mistakes."""

        def read(part: Mapping[Any, Any]) -> Any:
            return fields.label_maps(part, classes, self.path)

        before = self.counts["label-map-invalid"]
        for key in ("label_map", "label_mapping"):
            if self.data.get(key) is not None:
                self._usable(key, "label-map-invalid", read, len(classes))
        if self.counts["label-map-invalid"] > before:
            return None, None, False
        values, colours = self._try("label-map-invalid", read, self.data) or (None, None)
        return values, colours, self.counts["label-map-invalid"] == before

    def _usable(self, key: str, code: str, read: Callable[[Mapping[Any, Any]], Any], classes: int) -> Any:
        """Return the value of a key without the entries that `read` refuses; None if nothing of it can be used."""
        given = self.data[key]
        try:
            read({key: given})
            return given
        except DataError as error:
            whole = error
        kept, before = {}, self.counts[code]
        if isinstance(given, Mapping) and len(given) * classes <= MOST_WORK:
            for name, value in given.items():
                if self._try(code, read, {key: {name: value}}) is not None:
                    kept[name] = value
        if self.counts[code] == before:  # not the entries are wrong but the whole
            self._put(of_error(whole, code, self.path.name))
            return None
        return kept or None

    def _splits(self) -> dict[str, tuple[str, ...]]:
        given = {name: self.data[name] for name in SPLITS if self.data.get(name) is not None}
        if not given:
            self._add("no-split", "none of train, val and test is given", "add `train: images/train`")
        splits = {}
        for name, value in given.items():
            if places := self._try("split-invalid", fields.locations, value, name, self.path):
                splits[name] = places
        return splits
