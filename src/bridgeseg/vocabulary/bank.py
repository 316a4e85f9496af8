"""The banks that come with the package: embeddings of common names, one file for a text encoder.

`benchmarks/bank.py` makes them. OpenAI's CLIP, whose text towers computed two of them, is under the MIT licence, and
MiniLM under Apache-2.0; each file says so in its metadata, with its encoder and the sentences that the names were put
into.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bridgeseg.vocabulary.embeddings import Embeddings, canonical, find_rows, read, unit

FOLDER = Path(__file__).parent / "banks"
FILES = {
    "open_clip:ViT-B-16/openai": "ViT-B-16-openai.safetensors",
    "open_clip:ViT-B-32/openai": "ViT-B-32-openai.safetensors",
    "hf:sentence-transformers/all-MiniLM-L6-v2": "sentence-transformers-all-MiniLM-L6-v2.safetensors",
}
"""Text encoder -> its bank."""
LARGEST = "open_clip:ViT-B-32/openai"
"""The bank whose names are the common ones: of an encoder that costs nothing, these are encoded."""


@cache
def bank(encoder: str | None) -> Embeddings | None:
    """Return the bank of a text encoder, its vectors (N, D) of unit length; None if there is none."""
    name = FILES.get(canonical(encoder) or "")
    if name is None:
        return None
    found = read(FOLDER / name)
    return found._replace(vectors=unit(found.vectors))


def having(phrases: Sequence[str], preferred: str) -> list[str]:
    """Return the text encoders whose banks have all of these phrases, the preferred one first."""
    found = {encoder: bank(encoder) for encoder in FILES}
    whole = [name for name, own in found.items() if own is not None and None not in find_rows(phrases, own.names)]
    return sorted(whole, key=lambda name: name != canonical(preferred))
