"""The text of the data.yaml of a public dataset: written out by hand, so that it reads well and can be edited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from bridgeseg.catalog.schema import Entry


def text(known: Entry, splits: Sequence[str]) -> str:
    """Return a data.yaml whose images and masks lie in `images/SPLIT` and `masks/SPLIT` next to it."""
    return "\n".join(_lines(known, splits)) + "\n"


def _lines(known: Entry, splits: Sequence[str]) -> Iterator[str]:
    yield f"# {known.title}, made by `bridgeseg data prepare {known.name}`"
    yield f"# {known.home}"
    yield f"# Terms: {known.licence}"
    yield "path: ."
    yield from (f"{split}: images/{split}" for split in splits)
    yield "masks_dir: masks"
    yield "names:"
    for index, one in enumerate(known.classes):
        yield f"  {index}: {_quoted(one.name)}" + (f"  # {one.published}" if one.published else "")
    phrases = [one for one in known.classes if one.prompts]
    if phrases:
        yield "prompts:"
        yield from (f"  {_quoted(one.name)}: [{', '.join(map(_quoted, one.prompts))}]" for one in phrases)
    yield "palette:"
    yield from (f"  {_quoted(one.name)}: {_quoted(one.colour)}" for one in known.classes)
    mapped = known.label_map() if known.masks == "ids" else None
    if mapped is not None:
        yield "label_map:"
        yield from (f"  {value}: {'null' if index is None else index}" for value, index in mapped.items())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a YAML string
