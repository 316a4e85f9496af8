"""Files of embeddings, read with numpy alone: vectors, the names of their rows, and the encoder that they come from."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from bridgeseg.errors import ModelFileError
from bridgeseg.tensors import read_shapes

Vectors = NDArray[np.float32]
TENSOR = "embeddings"
FORMAT_FIX = (
    "a file of embeddings holds the tensor 'embeddings' (K, D) and the metadata 'names', a JSON list of K strings"
)
FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
"""Floating types by safetensors' names; bfloat16, which numpy lacks, is the upper half of a float32."""


class Embeddings(NamedTuple):
    """What a file of embeddings holds.

    Attributes:
        vectors: (K, D) float32.
        names: the K names of the rows.
        meta: the other metadata of the file, as written.
    """

    vectors: Vectors
    names: tuple[str, ...]
    meta: dict[str, str]

    @property
    def encoder(self) -> str | None:
        """The text encoder that made it, if the file says so."""
        model, weights = self.meta.get("model"), self.meta.get("pretrained")
        named = f"open_clip:{model}/{weights}" if model and weights else None
        return canonical(self.meta.get("encoder", named))


def read(path: str | Path) -> Embeddings:
    """Read embeddings of any floating dtype, at the length that they were written with.

    Raises:
        ModelFileError: the file is missing, damaged, lacks the tensor or the names, or holds NaN or zero vectors.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError("no such file of embeddings", where=path, fix=FORMAT_FIX)
    try:
        read_shapes(path)
        with safe_open(path, framework="np") as file:
            meta = dict(file.metadata() or {})
        tensor = dict(deserialize(path.read_bytes()))[TENSOR]  # type: ignore[no-untyped-call]
        names = json.loads(meta.pop("names"))
        checksum = meta.pop("sha256", None)  # files of other tools and of before have none
    except (SafetensorError, ModelFileError, KeyError, ValueError, OSError, RecursionError) as error:
        reason = error.message if isinstance(error, ModelFileError) else error
        raise ModelFileError(f"not a file of embeddings: {reason}", where=path, fix=FORMAT_FIX) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError("the metadata 'names' is not a list of strings", where=path, fix=FORMAT_FIX)
    content, kind, shape = bytes(tensor["data"]), tensor["dtype"], tuple(tensor["shape"])
    if len(shape) != 2 or shape[0] != len(names) or kind not in (*FLOATS, "BF16"):
        raise ModelFileError(f"{len(names)} names, but embeddings of shape {shape}, {kind}", where=path, fix=FORMAT_FIX)
    if checksum not in (None, hashlib.sha256(content).hexdigest()):
        raise ModelFileError("the vectors are not those that were written", where=path, fix="write or copy it again")
    vectors = _floats(content, kind).reshape(shape)
    lengths = np.linalg.norm(vectors, axis=1)
    if bad := [name for name, length in zip(names, lengths, strict=True) if not 0 < length < np.inf]:
        raise ModelFileError(f"NaN, infinite or zero vectors for {bad[:5]}", where=path, fix="write the file again")
    return Embeddings(vectors, tuple(names), meta)


def unit(vectors: NDArray[Any]) -> Vectors:
    """Bring vectors (..., D) to unit length, in float32."""
    scaled = vectors.astype(np.float32)
    scaled /= np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled


def canonical(encoder: str | None) -> str | None:
    """Return one name for a text encoder that has several.

    >>> canonical("open_clip:ViT-B-16-quickgelu/openai"), canonical("bank:open_clip:ViT-B-32/openai")
    ('open_clip:ViT-B-16/openai', 'open_clip:ViT-B-32/openai')
    """
    if encoder is None:
        return None
    # OpenAI's weights have this activation under either name
    return re.sub(r"^(open_clip:.+)-quickgelu/openai$", r"\1/openai", encoder.removeprefix("bank:"))


def find_rows(phrases: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """Return the place of each phrase among names: in its exact spelling, else whatever its case, with `_` as a space.

    >>> find_rows(["sky", "traffic_light", "moon"], ["Traffic light", "sky"])
    [1, 0, None]
    """
    exact: dict[str, int] = {}
    loose: dict[str, int] = {}
    for index, name in enumerate(names):
        exact.setdefault(name, index)
        loose.setdefault(plain(name), index)
    return [exact.get(phrase, loose.get(plain(phrase))) for phrase in phrases]


def plain(name: str) -> str:
    """Return a name without case, `_` and double spaces: what two spellings have in common."""
    return " ".join(name.replace("_", " ").split()).casefold()


def nearest_names(text: str, names: Sequence[str]) -> str:
    """List up to five names that are spelled like a text or share a word with it, else the first ones."""
    known = {plain(name): name for name in names}
    close = difflib.get_close_matches(plain(text), known, n=3, cutoff=0.5)
    within = [name for name in known if set(name.split()) & set(plain(text).split())]
    listed = [known[name] for name in dict.fromkeys([*close, *within])][:5] or list(names)[:5]
    return ", ".join(repr(name) for name in listed)


def closest(text: str, names: Sequence[str]) -> str | None:
    """Return the name that is spelled most like a text, or shares a word with it; None if none does."""
    known = {plain(name): name for name in names}
    close = difflib.get_close_matches(plain(text), known, n=1, cutoff=0.6)
    within = [name for name in known if set(name.split()) & set(plain(text).split())]
    return next((known[name] for name in [*close, *within]), None)


def not_among(missing: Sequence[str], names: Sequence[str]) -> str:
    """Say which phrases are unknown, and which names are nearest to each."""
    return "; ".join(f"{text!r} (nearest: {nearest_names(text, names)})" for text in missing)


def _floats(content: bytes, kind: str) -> Vectors:
    if kind == "BF16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    # an overflow becomes infinity, which is refused
    with np.errstate(over="ignore"):
        return np.frombuffer(content, np.dtype(FLOATS[kind]).newbyteorder("<")).astype(np.float32)
