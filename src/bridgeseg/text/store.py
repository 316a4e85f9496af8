"""Embeddings on disk: one safetensors file with the vectors, and their names in its metadata.

The same format serves three purposes: the cache, which lets a text encoder run once per vocabulary; the export of
embeddings; and the `.safetensors` text encoder that reads them back on a machine without the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch.nn.functional import normalize

from bridgeseg.errors import DataError, InputError, ModelFileError
from bridgeseg.files import write
from bridgeseg.vocabulary.embeddings import TENSOR, read


class Embeddings(NamedTuple):
    """What a file of embeddings holds.

    Attributes:
        vectors: (K, D) float32, unit length.
        names: the K names of the rows.
        meta: the other metadata of the file, as written.
    """

    vectors: torch.Tensor
    names: tuple[str, ...]
    meta: dict[str, str]


def save_embeddings(path: str | Path, vectors: torch.Tensor, names: Sequence[str], **meta: str) -> Path:
    """Write embeddings and their checksum, so that the old file or the complete new one is there at any time.

    Args:
        path: the file to write; its folder is made when missing.
        vectors: (K, D), any floating dtype.
        names: K names.
        meta: more metadata, strings by name.

    Raises:
        DataError: `vectors` is not (K, D) with one row per name.
        InputError: the file cannot be written.
    """
    path = Path(path)
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise DataError(f"{len(names)} names need as many vectors, found shape {tuple(vectors.shape)}", where=path)
    # clone: a view would be refused by safetensors or drag its whole storage along
    kept = vectors.detach().cpu().clone().contiguous()
    facts = {**meta, "names": json.dumps(list(names)), "sha256": _checksum(kept)}
    write(path, save({TENSOR: kept}, metadata=facts))
    return path


def load_embeddings(path: str | Path) -> Embeddings:
    """Read embeddings of any floating dtype as float32 vectors of unit length.

    Raises:
        ModelFileError: the file is missing, damaged, lacks the tensor or the names, or holds NaN or zero vectors.
    """
    found = read(path)
    return Embeddings(normalize(torch.from_numpy(found.vectors), dim=1), found.names, found.meta)


def _checksum(vectors: torch.Tensor) -> str:
    """Return the SHA-256 of the bytes of a tensor."""
    return hashlib.sha256(vectors.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def fingerprint(path: Path) -> list[list[Any]]:
    """Identify a file, or the files of a folder, by name, size and time of change: what the cache is keyed by."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the folder of the cache: `cache_dir`, else $BRIDGESEG_CACHE, else ~/.cache/bridgeseg."""
    chosen = cache_dir or os.environ.get("BRIDGESEG_CACHE") or Path.home() / ".cache" / "bridgeseg"
    return Path(chosen).expanduser()


def entry(key: Mapping[str, Any], cache_dir: str | Path | None = None) -> Path:
    """Return the file of the cache that embeddings of a key are stored in, be it there or not."""
    text = json.dumps(key, sort_keys=True)
    return cache_folder(cache_dir) / "text" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"


def cached(
    key: Mapping[str, Any],
    names: Sequence[str],
    compute: Callable[[], torch.Tensor],
    cache_dir: str | Path | None = None,
    commit: Callable[[], str | None] = lambda: None,
) -> torch.Tensor:
    """Return the embeddings stored under `key`, or compute and store them.

    A damaged entry is rebuilt with a warning; a cache that cannot be written costs a warning, not the result.

    Args:
        key: all that the result depends on, JSON-ready.
        names: the names of the K rows.
        compute: makes the vectors (K, D).
        cache_dir: see `cache_folder`.
        commit: says which one of a model of the hub is on this machine, before and after `compute`, which may bring
            another: vectors of another one are made again. Without an answer those that are stored are taken.
    """
    text, path = json.dumps(key, sort_keys=True), entry(key, cache_dir)
    if path.exists():
        try:
            found = load_embeddings(path)
            if found.meta.get("key") != text or found.names != tuple(names):
                problem = "it belongs to another vocabulary or encoder"
            elif commit() in (None, found.meta.get("commit")):
                return found.vectors
            else:
                problem = "the model has been replaced, or it does not say which one made it"
        except ModelFileError as error:
            problem = error.message
        warnings.warn(f"{path}: cached embeddings are made again: {problem}", stacklevel=2)
    vectors = compute()
    try:
        now = commit()
        save_embeddings(path, vectors, names, key=text, **({} if now is None else {"commit": now}))
    except InputError as error:
        warnings.warn(f"embeddings cannot be cached: {error.where}: {error.message}", stacklevel=2)
    return vectors
