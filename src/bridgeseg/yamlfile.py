"""Reads a small YAML file that a stranger may have written: no code, no explosions, no repeated keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bridgeseg.errors import DataError
from bridgeseg.wording import shown

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000


def read_mapping(text: str, path: Path) -> dict[Any, Any]:
    """Return the mapping that YAML text holds; see `read_value`.

    Raises:
        DataError: not YAML, a key given twice, aliases that explode or contain themselves, or no mapping.
    """
    value = read_value(text, path)
    if not isinstance(value, dict):
        raise DataError(
            f"expected keys and values (path, train, val, names, ...), found {kind(value)}",
            where=path,
            fix="write at least `train: images/train` and `names: [...]`",
        )
    return value


def read_value(text: str, path: Path) -> Any:
    """Return what YAML text holds.

    Only YAML's plain types are built. Anchors are allowed as long as the document, with every alias written out, stays
    below `MAX_VALUES` values; this is checked on the parsed graph, before anything is built.

    Args:
        text: the YAML.
        path: where it comes from, for messages.

    Raises:
        DataError: not YAML, a key given twice, or aliases that explode or contain themselves.
    """
    try:
        return _build(text, path)
    except yaml.YAMLError as error:
        raise DataError(f"not valid YAML: {_problem(error)}", where=path, fix="correct that line") from error
    except RecursionError as error:
        raise DataError("the YAML is nested too deeply", where=path, fix="write it flat") from error
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        # What PyYAML's constructors of dates, numbers and tagged values let through.
        raise DataError(f"a YAML value cannot be read: {shown(error)}", where=path, fix="put it in quotes") from error


def read_text(path: Path, limit: int) -> str:
    """Return the text of a UTF-8 file of at most `limit` bytes.

    Raises:
        DataError: missing, unreadable, larger than `limit`, or not UTF-8.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise DataError(f"expected a file, found {found}", where=path, fix="check the path")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix="check path and permissions") from error
    if len(data) > limit:
        raise DataError(f"larger than {limit:,} bytes", where=path, fix="is this really the file you mean?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {shown(error)}", where=path, fix="save the file as UTF-8") from error


def kind(value: object) -> str:
    """Return the everyday name of a YAML value's type: `a list`, `nothing`, ..."""
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a number", float: "a number"}
    return "nothing" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that stops reading at `MAX_VALUES` values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise yaml.YAMLError(f"more than {MAX_VALUES:,} values")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _build(text: str, path: Path) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, set(), path)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, sizes: dict[int, int], ancestors: set[int], path: Path) -> int:
    """Return how many values `node` stands for with every alias written out; refuse what has no sensible answer."""
    key = id(node)
    if key in sizes:
        return sizes[key]
    if key in ancestors:
        raise DataError("an anchor contains itself", where=path, fix="write the values out")
    ancestors.add(key)
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _refuse_repeats(node, path)
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    total = 1 + sum(_count(child, sizes, ancestors, path) for child in children)
    if total > MAX_VALUES:
        raise DataError(f"more than {MAX_VALUES:,} values", where=path, fix="write the values out, without anchors")
    ancestors.discard(key)
    sizes[key] = total
    return total


def _refuse_repeats(node: yaml.MappingNode, path: Path) -> None:
    """PyYAML lets the last of two equal keys win in silence; here both lines are named."""
    seen: dict[tuple[str, str], int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode):
            continue
        line, key = name.start_mark.line + 1, (name.tag, name.value)
        if key in seen:
            lines = f"lines {seen[key]} and {line}"
            raise DataError(f"key {shown(name.value)} is given twice ({lines})", where=path, fix="remove one of them")
        seen[key] = line


def _problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return shown(ValueError(problem)) + (f" (line {mark.line + 1})" if mark is not None else "")
