"""Print which runtimes give the class ids of ONNX Runtime, and in how much of its time.

    python benchmarks/runtimes/run.py                        # all of them: the bundled model, in float and in 8 bits
    python benchmarks/runtimes/run.py --only opencv,mnn --size 256x256

Each runtime gets an environment of its own, made with `uv` (or npm) below `--envs` and kept for the next time. It gets
a plain file of one size, made as `bridgeseg export --plain --size HxW` makes it, and the images of `examples/` at that
size. A runtime that cannot be installed, crashes or refuses the file is a row that says so.

Time is that of the processor, with one thread, as a ratio to ONNX Runtime's with the same kind of numbers: the smallest
of `--rounds`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnx
from PIL import Image

import bridgeseg
from bridgeseg.exporting.graph import drop_dead
from bridgeseg.runtime.onnx_runtime import OnnxRuntime

sys.path.insert(0, str(Path(__file__).parent))
from adapters import FORMS, PACKAGES

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
NODE = ("onnxruntime-node", "onnxruntime-web")
MODELS = {"float": "street", "8 bits": "street-int8"}
TIME_LIMIT = 900
"""Seconds for one runtime and one file, conversion included."""


class Row(NamedTuple):
    """What one runtime did with one file: the share of equal ids and ms of processor time, or what went wrong."""

    agreement: float | None
    milliseconds: float | None
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names, separated by commas", default=",".join((*PACKAGES, *NODE)))
    parser.add_argument("--size", default="512x512", help="HEIGHTxWIDTH of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--envs", type=Path, default=Path.home() / ".cache" / "bridgeseg" / "runtimes")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    given = parser.parse_args()
    size = tuple(int(side) for side in given.size.split("x"))
    names = given.only.split(",")
    if "onnxruntime" not in names:
        names.insert(0, "onnxruntime")
    found: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        images = pictures(size)
        for kind, model in MODELS.items():
            files = plain_files(model, size, Path(folder) / kind.replace(" ", "-"))
            expected = OnnxRuntime(files["bytes"], 1).classes(images)
            for name in names:
                row = measure(name, files, images, expected, given)
                found.setdefault(name, {})[kind] = row._asdict()
                print(f"{name}, {kind}: {row}", file=sys.stderr)
    print(json.dumps(found, indent=2) if given.json else table(found))


def pictures(size: tuple[int, ...]) -> Any:
    """Return the images of `examples/` at one size, (B, H, W, 3) uint8."""
    paths = sorted(EXAMPLES.glob("*.jpg"))
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize(size[::-1])) for path in paths])


def plain_files(model: str, size: tuple[int, ...], folder: Path) -> dict[str, Path]:
    """Write the plain files of a model: bytes to ids, floats to ids, floats to logits."""
    folder.mkdir()
    files = {form: folder / f"{form}.onnx" for form in ("bytes", "floats", "logits")}
    height, width = size
    bridgeseg.export(model, files["bytes"], plain=True, size=(height, width))
    for form in ("floats", "logits"):
        wanted = {"layout": "nchw", "input": "float", "logits": form == "logits"}
        bridgeseg.export(model, files[form], plain=True, size=(height, width), **wanted)
    network = onnx.load(files["logits"])
    network.graph.output.remove(next(value for value in network.graph.output if value.name == "classes"))
    drop_dead(network.graph)
    onnx.save(network, files["logits"])
    return files


def measure(name: str, files: dict[str, Path], images: Any, expected: Any, given: argparse.Namespace) -> Row:
    """Run one file in one runtime."""
    with TemporaryDirectory() as folder:
        file = Path(shutil.copy(files[FORMS.get(name, "bytes")], folder))
        try:
            run = in_node if name in NODE else in_python
            ids, milliseconds = run(name, file, images, given)
        except subprocess.TimeoutExpired:
            return Row(None, None, f"not done after {TIME_LIMIT} s")
        except (RuntimeError, OSError) as error:
            return Row(None, None, str(error))
    return Row(float((ids == expected).mean()), min(milliseconds))


def in_python(name: str, file: Path, images: Any, given: argparse.Namespace) -> tuple[Any, list[float]]:
    """Run a file in an environment of Python that has the runtime."""
    home = given.envs.absolute() / name
    if not (home / "done").exists():
        checked(["uv", "venv", "--clear", "--python", sys.executable, str(home)])
        checked(["uv", "pip", "install", "--python", str(home / "bin" / "python"), "numpy", *PACKAGES[name]])
        (home / "done").touch()
    np.save(file.with_name("images.npy"), images)
    out = file.with_name("found.npz")
    inputs = [file, file.with_name("images.npy"), out, given.rounds]
    words = [str(home / "bin" / "python"), str(HERE / "child.py"), name, *map(str, inputs)]
    checked(words, cwd=file.parent, SIZE=given.size)
    with np.load(out) as found:
        return found["ids"], found["milliseconds"].tolist()


def in_node(name: str, file: Path, images: Any, given: argparse.Namespace) -> tuple[Any, list[float]]:
    """Run a file in Node.js."""
    home = given.envs.absolute() / name
    if not (home / "done").exists():
        home.mkdir(parents=True, exist_ok=True)
        checked(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home), name])
        (home / "done").touch()
    pixels, out = file.with_name("images.bin"), file.with_name("ids.bin")
    pixels.write_bytes(images.tobytes())
    shape = "x".join(map(str, images.shape[:3]))
    words = ["node", str(HERE / "node.mjs"), name, *map(str, (file, pixels, shape, out, given.rounds))]
    told = checked(words, cwd=home)
    return np.frombuffer(out.read_bytes(), np.uint8).reshape(images.shape[:3]), json.loads(told.splitlines()[-1])


def checked(words: list[str], cwd: Path | None = None, **variables: str) -> str:
    """Run a program with one thread and return what it prints.

    Raises:
        RuntimeError: it fails; with the last line that says why, or the signal that ended it.
    """
    # no tool may install anything into an environment that it happens to find
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIP_NO_INDEX": "1", **variables}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT)
    if done.returncode < 0:
        raise RuntimeError(f"ended by signal {-done.returncode}")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1].removeprefix("RuntimeError: ") if lines else f"ends with {done.returncode}")
    return done.stdout


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| runtime | float: same ids | time | 8 bits: same ids | time |", "|---|---|---|---|---|"]
    base = {kind: found["onnxruntime"][kind]["milliseconds"] for kind in MODELS}
    for name, kinds in found.items():
        cells = []
        for kind in MODELS:
            row = kinds[kind]
            known = row["agreement"] is not None
            ratio = row["milliseconds"] / base[kind] if known and base[kind] else None
            cells += [
                f"{row['agreement']:.3%}" if known else row["note"].partition(". ")[0][:100],
                f"{ratio:.2f}" if ratio else "-",
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
