"""Text encoders by name: open_clip, Hugging Face, a bank of the package, a file of embeddings, random vectors.

Each name means one encoder; when it cannot be loaded there is an error, never another encoder in its place.
"""

from __future__ import annotations

from pathlib import Path

from bridgeseg.errors import ConfigError
from bridgeseg.extend import ENCODERS
from bridgeseg.text.base import TextEncoder
from bridgeseg.text.encoders._file import FileEncoder

DEFAULT_ENCODER = "open_clip:ViT-B-16/openai"
KINDS = "open_clip:MODEL/WEIGHTS, hf:NAME-OR-FOLDER, bank:ENCODER, FILE.safetensors, random:D or random:D/SEED"


def open_encoder(spec: str) -> TextEncoder:
    """Return the encoder that `spec` names; models are loaded when they are first used.

    Args:
        spec: `open_clip:MODEL/WEIGHTS` (a tag or a file; also `open_clip:local-dir:FOLDER`), `hf:NAME-OR-FOLDER`,
            `bank:ENCODER`, `FILE.safetensors`, `random:D` or `random:D/SEED`, or the scheme of one of a package.

    Raises:
        ConfigError: no such kind of encoder.
        ModelFileError: a file or folder that is named is missing or cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if rest and kind in ENCODERS:
        return ENCODERS.get(kind)(rest)
    if spec.endswith(".safetensors"):
        return FileEncoder(Path(spec).expanduser())
    raise ConfigError(f"no such text encoder: {spec!r}", where="text encoder", fix=f"allowed: {KINDS}")
