"""Text encoders by name: open_clip, Hugging Face, a file of embeddings, random vectors.

Each name means one encoder; when it cannot be had there is an error, never another encoder in its place.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError
from bridgeseg.text.huggingface import HuggingFaceEncoder
from bridgeseg.text.openclip import FOLDER, HUB, OpenClipEncoder
from bridgeseg.text.store import Embeddings, load_embeddings

DEFAULT_ENCODER = "open_clip:ViT-B-16/openai"
KINDS = "open_clip:MODEL/WEIGHTS, hf:NAME-OR-FOLDER, FILE.safetensors, random:D or random:D/SEED"


class TextEncoder(Protocol):
    """What every text encoder offers.

    Attributes:
        uses_templates: False when sentences make no sense to it, so that it gets the bare phrases.
    """

    uses_templates: bool

    def identity(self) -> dict[str, Any] | None:
        """Return what its vectors depend on, JSON-ready, without loading the model; None when a cache is no use."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return (N, D) float32 vectors of unit length for N texts."""


def open_encoder(spec: str) -> TextEncoder:
    """Return the encoder that `spec` names; models are loaded when they are first used.

    Args:
        spec: `open_clip:MODEL/WEIGHTS` (a tag or a file; also `open_clip:local-dir:FOLDER`), `hf:NAME-OR-FOLDER`,
            `FILE.safetensors`, `random:D` or `random:D/SEED`.

    Raises:
        ConfigError: no such kind of encoder.
        ModelFileError: a file or folder that is named is missing or cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if kind == "open_clip" and rest:
        named = rest.startswith((FOLDER, HUB)) or all(rest.partition("/"))
        if not named:
            raise ConfigError(
                f"weights are missing after the model {rest!r}",
                where=spec,
                fix=f"write {DEFAULT_ENCODER}, or open_clip:{rest.rstrip('/')}/FILE with a weights file",
            )
        return OpenClipEncoder(rest)
    if kind == "hf" and rest:
        return HuggingFaceEncoder(rest)
    if kind == "random":
        return RandomEncoder.parse(rest)
    if spec.endswith(".safetensors"):
        return FileEncoder(Path(spec).expanduser())
    raise ConfigError(f"no such text encoder: {spec!r}", where="text encoder", fix=f"allowed: {KINDS}")


class FileEncoder:
    """Look up phrases in a file of embeddings, made by `save_embeddings` or any other tool.

    The vectors carry their templates already, so templates do not apply.

    Args:
        path: safetensors file, tensor `embeddings` (K', D) of any floating dtype, metadata `names` (JSON list).
    """

    uses_templates = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Embeddings | None = None

    def identity(self) -> None:
        """Return None: the file is as quick to read as a cache."""
        return

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the vectors of N phrases, (N, D) float32, unit length.

        A name matches in its exact spelling, else whatever its case, with `_` as a space.

        Raises:
            ModelFileError: not a file of embeddings.
            ConfigError: phrases that are not in the file.
        """
        content = self._content = self._content or load_embeddings(self.path)
        exact: dict[str, int] = {}
        plain: dict[str, int] = {}
        for index, name in enumerate(content.names):
            exact.setdefault(name, index)
            plain.setdefault(_plain(name), index)
        found = [exact.get(text, plain.get(_plain(text))) for text in texts]
        missing = [text for text, row in zip(texts, found, strict=True) if row is None]
        if missing:
            listed = "; ".join(f"{text!r} (nearest: {_suggest(text, content.names)})" for text in missing)
            raise ConfigError(
                f"not among the {len(content.names)} embeddings of this file: {listed}",
                where=self.path,
                fix="under `prompts` in data.yaml give these classes phrases that the file has, or use another encoder",
            )
        return content.vectors[[row for row in found if row is not None]]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _suggest(text: str, names: Sequence[str]) -> str:
    plain = {_plain(name): name for name in names}
    close = difflib.get_close_matches(_plain(text), plain, n=3, cutoff=0.5)
    within = [name for name in plain if set(name.split()) & set(_plain(text).split())]
    listed = [plain[name] for name in dict.fromkeys([*close, *within])][:5] or list(names)[:5]
    return ", ".join(repr(name) for name in listed)


class RandomEncoder:
    """Random unit vectors: the control that tells whether language matters, or only the layers around it.

    A phrase has the same vector whatever the order and number of classes.

    Args:
        width: D, the length of a vector.
        seed: other seeds give other vectors.
    """

    uses_templates = False

    def __init__(self, width: int, seed: int = 0) -> None:
        self.width, self.seed = width, seed

    @classmethod
    def parse(cls, text: str) -> RandomEncoder:
        """Read `D` or `D/SEED`."""
        match = re.fullmatch(r"(\d+)(?:/(\d+))?", text)
        if not match or int(match[1]) < 2:
            raise ConfigError(
                f"random vectors need a width of at least 2 and maybe a seed, found {text!r}",
                where=f"random:{text}",
                fix="write random:512 or random:512/1",
            )
        return cls(int(match[1]), int(match[2] or 0))

    def identity(self) -> None:
        """Return None: the vectors are made quicker than they are read."""
        return

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one random direction per text, (N, D) float32, unit length."""
        rows = []
        for text in texts:
            digest = hashlib.sha256(f"{self.seed}/{text}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
            rows.append(torch.randn(self.width, generator=generator))
        return normalize(torch.stack(rows), dim=-1)
