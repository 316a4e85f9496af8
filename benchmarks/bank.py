"""Make the bank of a text encoder that the package carries: the embeddings of common names in 16 bits.

    python benchmarks/bank.py EMBEDDINGS.safetensors           # a file with a row per name
    python benchmarks/bank.py --encoder open_clip:ViT-B-16/openai --names names.txt
    python benchmarks/bank.py --encoder hf:sentence-transformers/all-MiniLM-L6-v2 --known --licence "vectors of ..."

`--known` takes the names and phrases of CLIP's banks and of the datasets that `data prepare` knows. A file is what
`bridgeseg.text.export_embeddings` writes. The bank goes to src/bridgeseg/vocabulary/banks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from bridgeseg.vocabulary.bank import FILES, FOLDER
from bridgeseg.vocabulary.embeddings import TENSOR, Embeddings, canonical, plain, read, unit

CLIP = [file for encoder, file in FILES.items() if encoder.startswith("open_clip:")]
LICENCE = "vectors computed with the text tower of OpenAI's CLIP (MIT licence, github.com/openai/CLIP)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="a file of embeddings")
    parser.add_argument("--encoder", help="a text encoder, in place of a file")
    parser.add_argument("--names", type=Path, help="a text file, one name a line")
    parser.add_argument("--known", action="store_true", help="all names that the package knows, in place of a file")
    parser.add_argument("--licence", default=LICENCE, help="what the bank says of its licence")
    options = parser.parse_args()
    if options.file:
        found = read(options.file)
    else:
        found = encoded(options.encoder, known() if options.known else listed(options.names))
    encoder = found.encoder
    if encoder is None:
        raise SystemExit("the file does not say its text encoder: metadata `encoder`, or `model` and `pretrained`")
    vectors = unit(found.vectors).astype(np.float16)
    facts = {
        "names": json.dumps(list(found.names)),
        "encoder": encoder,
        "templates": found.meta.get("templates", found.meta.get("prompt", "")),
        "licence": options.licence,
        "sha256": hashlib.sha256(vectors.tobytes()).hexdigest(),
    }
    path = FOLDER / f"{encoder.partition(':')[2].replace('/', '-')}.safetensors"
    path.write_bytes(save({TENSOR: vectors}, metadata=facts))
    print(f"{path}: {len(vectors)} names of {encoder}, {path.stat().st_size / 1e6:.2f} MB")


def listed(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def known() -> list[str]:
    """Return the names of all banks, and names and phrases of the catalogue, in order of the alphabet."""
    from bridgeseg.catalog.schema import entry, names

    found = {plain(name): name for file in CLIP for name in read(FOLDER / file).names}
    for title in names():
        for item in entry(title).classes:
            for phrase in (item.name, *(item.prompts or ())):
                found.setdefault(plain(phrase), phrase)
    return sorted(found.values(), key=str.casefold)


def encoded(encoder: str, names: Sequence[str]) -> Embeddings:
    from bridgeseg.classes import ClassSet
    from bridgeseg.text import export_embeddings

    with tempfile.TemporaryDirectory() as folder:
        return read(export_embeddings(Path(folder) / "all.safetensors", ClassSet.build(names), str(canonical(encoder))))


if __name__ == "__main__":
    main()
