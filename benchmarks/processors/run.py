"""Time the bundled files as older x86 processors run them: this one, with its answers to CPUID masked.

    python benchmarks/processors/run.py

Needs Linux, a C compiler, and a processor that can trap on CPUID (`cpuid_fault` in /proc/cpuinfo). Prints, for each
level, milliseconds of processor time of ONNX Runtime with one thread, the smallest of the rounds, both in turns, and
the share of the 8-bit file's ids that are those of this processor unmasked. Old processors differ in more than that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
LEVELS = {"as it is": 0, "AVX2": 3, "AVX": 2, "SSE": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return measure(given.rounds, given.child)
    print("| processor | float, ms | 8 bits, ms | ratio | same ids |\n|---|---|---|---|---|")
    expected = None
    with TemporaryDirectory() as folder:
        for name, level in LEVELS.items():
            environment, out = dict(os.environ), Path(folder) / f"{level}.npz"
            if level:
                library = Path(folder) / f"mask{level}.so"
                words = ["cc", "-O1", "-shared", "-fPIC", f"-DLEVEL={level}", "-o", str(library), str(HERE / "mask.c")]
                subprocess.run(words, check=True)
                environment["LD_PRELOAD"] = str(library)
            words = [sys.executable, __file__, "--rounds", str(given.rounds), "--child", str(out)]
            subprocess.run(words, check=True, env=environment)
            found = np.load(out)
            expected = found["ids"] if expected is None else expected
            whole, small = found["times"].min(axis=0)
            same = np.mean(found["ids"] == expected)
            print(f"| {name} | {whole:.1f} | {small:.1f} | {small / whole:.2f} | {same:.3%} |", flush=True)
    return None


def measure(rounds: int, out: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    root = HERE.parents[1]
    files = [root / "src" / "bridgeseg" / "weights" / f"{name}.onnx" for name in ("street", "street-int8")]
    sessions = [onnxruntime.InferenceSession(str(file), options) for file in files]
    photo = Image.open(root / "examples" / "street.jpg").convert("RGB").resize((512, 512))
    image, times, ids = np.asarray(photo)[None], np.zeros((rounds, 2)), None
    for one in range(rounds):
        for place, session in enumerate(sessions):
            begin = time.process_time()
            ids = session.run(["classes"], {"image": image})[0]
            times[one, place] = 1000 * (time.process_time() - begin)
    np.savez(out, times=times, ids=ids)


if __name__ == "__main__":
    main()
