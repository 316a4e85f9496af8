"""How much memory does `bridgeseg predict` take for a picture of 100 megapixels?

    python benchmarks/big_picture.py
    python benchmarks/big_picture.py --model demo.onnx --side 6000 --memory 400 --json big_picture.json

The picture is a photo enlarged, written as a JPEG by another process than the one that is measured; masks and overlays
are written too. Needs the light core only: pip install .
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from _machine import describe, show, write_json
from cold_start import PHOTO, run

LIMIT_MB = 1500
MAKE = (
    "import sys; from PIL import Image; side = int(sys.argv[3]);"
    "Image.open(sys.argv[1]).convert('RGB').resize((side, side)).save(sys.argv[2], quality=90)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="enlarged to a square")
    parser.add_argument("--side", type=int, default=10_000, help="of the square, pixels (default: 10000)")
    parser.add_argument("--memory", type=int, nargs="+", default=[768], help="values of --memory (default: 768)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    machine = describe("onnxruntime", "numpy", "pillow")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "big.jpg"
        subprocess.run([sys.executable, "-c", MAKE, options.photo, picture, str(options.side)], check=True)
        for memory in options.memory:
            command = ["-m", "bridgeseg", "predict", str(picture), "--out", str(Path(folder) / "out")]
            command += ["--memory", str(memory), *(["--model", str(options.model)] if options.model else [])]
            done = run(command)
            rows.append({"memory_mb": memory, "seconds": done.seconds, "peak_mb": done.megabytes})
    shown = [[f"{row['memory_mb']}", f"{row['seconds']:.0f}", f"{row['peak_mb'] or 0:.0f}"] for row in rows]
    model = "bundled" if options.model is None else options.model.name
    title = f"one picture of {options.side**2 / 1e6:.0f} megapixels, model: {model}"
    show(title, machine, ["--memory", "seconds", "peak MB"], shown, [f"the peak is to stay below {LIMIT_MB} MB"])
    settings = {"side": options.side, "model": model}
    write_json(options.json, benchmark="big_picture", machine=machine, settings=settings, rows=rows)
    if any((row["peak_mb"] or 0) > LIMIT_MB for row in rows if row["memory_mb"] <= 768):
        sys.exit(1)


if __name__ == "__main__":
    main()
