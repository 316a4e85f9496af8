"""Let libFuzzer choose the inputs of one kind by the lines that they reach; needs `pip install atheris`.

    python benchmarks/fuzz.py --coverage --inputs 1000

starts this script for every kind; `fuzz.py` says what a bug is. The first bug ends the script, and its input is written
into the folder `--out`.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import warnings
from pathlib import Path

import atheris

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

WATCHED = ["bridgeseg", "yaml", "PIL", "fuzzing"]
"""Packages whose branches count; most of the others are no Python."""
with atheris.instrument_imports(include=WATCHED):
    from fuzzing import TARGETS, mutate_bytes

RSS, SECONDS = 4096, 20
"""Megabytes and seconds above which an input is a bug: the imports take 1 GB, coverage takes time."""


def fuzz(name: str, folder: Path, options: argparse.Namespace) -> None:
    """Try inputs until there are enough; ends the process."""
    with atheris.instrument_imports(include=WATCHED):  # what is imported on first use
        target = TARGETS[name](folder / "work", options.seed)
        for content in target.seeds:
            target.accepts(content)
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, content in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(content)
    counts = {True: 0, False: 0}
    warnings.simplefilter("ignore")  # of decoders

    def one(content: bytes) -> None:
        counts[target.accepts(content)] += 1
        done = sum(counts.values())
        if done in (options.inputs, 10_000) or done % 50_000 == 0:
            kept = len(list(corpus.iterdir())) - len(target.seeds)
            print(
                f"{name}: {done:,} inputs, {counts[True]:,} ok, {counts[False]:,} refused, {kept} reached more",
                flush=True,
            )

    def mutate(content: bytes, limit: int, seed: int) -> bytes:
        rng = random.Random(seed)
        ours = rng.random() < 0.5
        changed = (
            mutate_bytes(rng, content, target.seeds) if ours else atheris.Mutate(content, min(limit, len(content) + 64))
        )
        return target.mend(rng, changed)[:limit]

    options.out.mkdir(parents=True, exist_ok=True)
    length = max(4096, 2 * max(map(len, target.seeds)))
    limits = [f"-runs={options.inputs}", f"-max_total_time={int(min(options.seconds, 1e6))}", f"-max_len={length}"]
    limits += [f"-rss_limit_mb={RSS}", f"-timeout={SECONDS}", f"-seed={options.seed + 1}", "-verbosity=0"]
    atheris.Setup(["fuzz", *limits, f"-artifact_prefix={options.out}/{name}-", str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(TARGETS), required=True)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-bugs"))
    parser.add_argument("--folder", type=Path, required=True, help="where files may be written")
    options = parser.parse_args()
    fuzz(options.only, options.folder, options)


if __name__ == "__main__":
    main()
