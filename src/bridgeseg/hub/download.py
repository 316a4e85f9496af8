"""Models of the hub: files of three names, of a bounded size, through the cache of the hub's own client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bridgeseg.description import CONFIG, WEIGHTS
from bridgeseg.errors import ModelFileError
from bridgeseg.extras import extra
from bridgeseg.hub.access import explained, hub_access
from bridgeseg.hub.repository import Repository
from bridgeseg.wording import shown

Kind = Literal["file", "folder"]
"""What is wanted first of a repository that has both: the .onnx file, or the checkpoint."""
ONNX = "model.onnx"
FILES: dict[Kind, tuple[str, ...]] = {"file": (ONNX,), "folder": (CONFIG, WEIGHTS)}
LIMITS = {CONFIG: 2**26, WEIGHTS: 2**32, ONNX: 2**31}
"""Bytes that a file may have; nothing but these files is ever taken."""


def fetch(repository: Repository, prefer: Kind = "file") -> Path:
    """Bring a model of the hub into the cache, unless it is there.

    Args:
        repository: where it is.
        prefer: what to take of a repository that has both.

    Returns:
        The .onnx file, or the folder of the checkpoint; its parent, or itself, is named by the commit.

    Raises:
        MissingDependencyError: the hub's client (extra `hub`) is not installed.
        ModelFileError: the repository has no model, a file is too large, or it is not here and there is no network.
        InputError: the hub refused it; see `access.explained`.
    """
    with extra("hub"):
        from huggingface_hub import HfApi, constants
    if repository.pinned and (found := _cached(repository, FILES[prefer])):
        return found
    with hub_access(needed=True), explained(str(repository)):
        if constants.HF_HUB_OFFLINE:  # it is set where nothing answers, too
            return _offline(repository, prefer, constants.ENDPOINT)
        api = HfApi(endpoint=constants.ENDPOINT)
        info = api.model_info(repository.id, revision=repository.revision, files_metadata=True)
        names = _chosen(repository, {item.rfilename: item.size for item in info.siblings or ()}, prefer)
        files = [Path(api.hf_hub_download(repository.id, name, revision=repository.revision)) for name in names]
        if any(file.parent.name != info.sha for file in files):
            message = "it was changed while it was downloaded"
            raise ModelFileError(message, where=str(repository), fix="run the command again")
        return _meant(files)


def pinned(name: str, prefer: Kind) -> str:
    """Return the name of a repository at the commit that its revision is now; what is wanted is in the cache then.

    Raises:
        InputError: see `fetch`.
    """
    repository = Repository.of(name)
    place = fetch(repository, prefer)
    return str(repository.at((place if place.is_dir() else place.parent).name))


def _chosen(repository: Repository, sizes: Mapping[str, Any], prefer: Kind) -> tuple[str, ...]:
    """Return the names of the files to take."""
    names = next((names for names in _orders(prefer) if all(name in sizes for name in names)), None)
    if names is None:
        message = f"holds no model of bridgeseg: neither {ONNX} nor {CONFIG} with {WEIGHTS}"
        raise ModelFileError(message, where=str(repository), fix="name a repository that `bridgeseg push` made")
    for name in names:
        if not isinstance(sizes[name], int) or not 0 < sizes[name] <= LIMITS[name]:
            message = f"{name} has {shown(sizes[name])} bytes; at most {LIMITS[name]:,} are taken"
            fix = f"if you trust it, download it and name the folder: hf download {repository.id} --local-dir DIR"
            raise ModelFileError(message, where=str(repository), fix=fix)
    return names


def _orders(prefer: Kind) -> list[tuple[str, ...]]:
    return [FILES[prefer], *(names for kind, names in FILES.items() if kind != prefer)]


def _offline(repository: Repository, prefer: Kind, endpoint: str) -> Path:
    for names in _orders(prefer):
        if found := _cached(repository, names):
            return found
    raise ModelFileError(
        f"is not on this machine, and {endpoint} cannot be reached",
        where=str(repository),
        fix="connect to the network (and unset HF_HUB_OFFLINE), or name a file or folder of this machine",
    )


def _cached(repository: Repository, names: tuple[str, ...]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repository.id, name, revision=repository.revision) for name in names]
    files = [Path(file) for file in found if isinstance(file, str)]
    return _meant(files) if len(files) == len(names) and len({file.parent for file in files}) == 1 else None


def _meant(files: list[Path]) -> Path:
    return files[0] if len(files) == 1 else files[0].parent
