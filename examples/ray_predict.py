"""Segment a folder or a bucket with Ray: one mask an image, on as many workers as the cluster has room for.

    pip install 'bridgeseg[ray]'
    python examples/ray_predict.py photos/ --out masks/ --workers 2
    python examples/ray_predict.py s3://bucket/photos --out s3://bucket/masks --workers 64 --model model.onnx

Prints one JSON object for every image that could not be done, and the counts at the end. Run it again after a
failure: what is done already is left alone. On a cluster start it on the head node, after `ray start`; --out must be a
place that all nodes see.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import ray

from bridgeseg.predicting.ray_data import FAILED, RayPredictor


def main() -> int:
    """Run the job; exit code 1 if some images failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder or address of a bucket")
    parser.add_argument("--out", required=True)
    parser.add_argument("--model", help="an .onnx file; the bundled model by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="CPUs of a worker")
    options = parser.parse_args()
    local = "://" not in options.source
    source = str(Path(options.source).resolve()) if local else options.source
    out = str(Path(options.out).resolve()) if "://" not in options.out else options.out
    model = None if options.model is None else str(Path(options.model).resolve())
    images = ray.data.read_binary_files(
        source, include_paths=True, file_extensions=["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp"]
    )
    rows = images.map_batches(
        RayPredictor,
        fn_constructor_kwargs={"out": out, "model": model, "root": source, "threads": options.threads},
        batch_size=8,
        num_cpus=options.threads,
        compute=ray.data.ActorPoolStrategy(size=options.workers),
    )
    counts: Counter[str] = Counter()
    for row in rows.iter_rows():
        counts[row["status"]] += 1
        if row["status"] == FAILED:
            print(json.dumps({"source": row["path"], "error": row["error"]}))
    print(json.dumps(counts))
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
