"""Class embeddings under each other's names: the control that keeps their geometry and takes their meaning.

    python benchmarks/shuffled_embeddings.py --data data/camvid/data.yaml --out shuffled.safetensors

Every class of data.yaml gets the vector of another class. The file is a `text_encoder` for that data.yaml.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from rich import print

from bridgeseg.data.spec import DataSpec
from bridgeseg.text import export_embeddings
from bridgeseg.text.store import load_embeddings, save_embeddings


def derangement(count: int, seed: int) -> list[int]:
    """A random order of `count` >= 2 places in which none stays where it was."""
    order = list(range(count))
    generator = random.Random(seed)
    while any(place == index for index, place in enumerate(order)):
        generator.shuffle(order)
    return order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--text-encoder", default="open_clip:ViT-B-16/openai")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    classes = DataSpec.load(options.data).classes
    content = load_embeddings(export_embeddings(options.out, classes, options.text_encoder))
    phrases = [phrase for own in classes.prompts for phrase in own]
    vectors = content.vectors[[content.names.index(phrase) for phrase in phrases]]
    order = derangement(len(phrases), options.seed)
    save_embeddings(options.out, vectors[order], phrases)
    for phrase, index in zip(phrases, order, strict=True):
        print(f"{phrase}: the vector of {phrases[index]}")


if __name__ == "__main__":
    main()
