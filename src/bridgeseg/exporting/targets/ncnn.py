"""ncnn: `model.ncnn.param` and `model.ncnn.bin`, by pnnx. It knows no ArgMax, so it gives logits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.exporting.targets import Run, Target, image_shape, register_target

TIME_LIMIT_S = 900


@register_target("ncnn")
class Ncnn(Target):
    """Floats 0..255 (3, H, W), `in0`, to logits (K, H, W), `out0`; weights stay float32."""

    title, packages, extra = "ncnn", ("ncnn", "pnnx"), "ncnn"
    layout, input, output = "nchw", "float", "logits"

    def convert(self, plain: Path, folder: Path) -> None:
        """Run pnnx, which leaves files of other forms beside those of ncnn.

        Raises:
            RuntimeError: it fails.
        """
        import onnx
        import pnnx

        shape = image_shape(onnx.load(plain))
        with TemporaryDirectory() as scratch:
            given = Path(shutil.copy(plain, Path(scratch) / "model.onnx"))
            words = [pnnx.EXEC_PATH, given.name, f"inputshape=[{','.join(map(str, shape))}]", "fp16=0"]
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=TIME_LIMIT_S)
            made = [Path(scratch) / f"model.ncnn.{ending}" for ending in ("param", "bin")]
            if done.returncode or not all(file.is_file() for file in made):
                raise RuntimeError(f"pnnx ends with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
            for file in made:
                shutil.copy(file, folder)

    def open(self, folder: Path) -> Run:
        """Load it, and compute in float32.

        Raises:
            RuntimeError: it has layers that ncnn does not know.
        """
        import ncnn

        network = ncnn.Net()
        network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
        parts = str(folder / "model.ncnn.param"), str(folder / "model.ncnn.bin")
        if network.load_param(parts[0]) or network.load_model(parts[1]):
            raise RuntimeError("ncnn does not know a layer that pnnx wrote")

        def run(image: NDArray[np.uint8]) -> NDArray[Any]:
            extractor = network.create_extractor()
            # a Mat does not keep the numbers that it is made of
            pixels = np.ascontiguousarray(image[0].transpose(2, 0, 1), np.float32)
            extractor.input("in0", ncnn.Mat(pixels).clone())
            failed, found = extractor.extract("out0")
            if failed:
                raise RuntimeError(f"ncnn ends with {failed}")
            return np.asarray(np.array(found).argmax(axis=0)[None])

        return run
