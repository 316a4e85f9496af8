"""Runs one file in one runtime, in its own environment: `python child.py NAME FILE IMAGES.npy OUT.npz ROUNDS`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from adapters import ADAPTERS


def main() -> None:
    name, file, images, out, rounds = sys.argv[1:]
    run = ADAPTERS[name](Path(file))
    batch = np.load(images)
    ids = [np.asarray(run(image[None])).reshape(image.shape[:2]).astype(np.int64) for image in batch]
    milliseconds = []
    for _ in range(int(rounds)):
        # time of the processor, not of the clock: other programs may be running
        begin = time.process_time()
        run(batch[:1])
        milliseconds.append(1000 * (time.process_time() - begin))
    np.savez(out, ids=np.stack(ids), milliseconds=milliseconds)


if __name__ == "__main__":
    main()
