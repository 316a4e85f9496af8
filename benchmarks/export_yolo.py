"""Ultralytics YOLO26 semantic segmentation as a file that `latency.py --file` can time.

    python -m venv yolo && yolo/bin/pip install ultralytics onnx onnxscript
    yolo/bin/python benchmarks/export_yolo.py --classes 11 --out yolo26n-sem-11.onnx
    python benchmarks/latency.py --file yolo26n-sem=yolo26n-sem-11.onnx

Ultralytics is licensed under the AGPL: it is no dependency of bridgeseg, and this script runs in an environment of its
own, without bridgeseg. The network is built from Ultralytics' description with random weights; nothing is fetched.

What the file does: uint8 RGB (B, H, W, 3), divided by 255, the network with batch norms folded, its logits at stride 8
upsampled by eight, bilinear, and argmax: class ids uint8 (B, H, W), as Ultralytics' own export ends. `latency.py` puts
these last two steps into the layout of our own files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

SETTINGS = tempfile.TemporaryDirectory()
os.environ |= {"YOLO_CONFIG_DIR": SETTINGS.name, "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}

import onnx  # noqa: E402 (after the settings that Ultralytics reads when it is imported)
import torch  # noqa: E402
import ultralytics  # noqa: E402
from onnx import helper  # noqa: E402
from ultralytics.nn.tasks import SemanticSegmentationModel  # noqa: E402

from _wrap import from_pixels, settle  # noqa: E402

OPSET = 18
NO_MEAN, NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # 0..1 is what it takes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="yolo26n-sem.yaml", help="Ultralytics' name (default: yolo26n-sem.yaml)")
    parser.add_argument("--classes", type=int, default=11, help="at most 256 (default: 11)")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file")
    options = parser.parse_args()
    torch.manual_seed(0)
    network = settle(SemanticSegmentationModel(options.network, nc=options.classes, verbose=False))
    network = network.fuse(verbose=False)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    example = torch.zeros(2, 96, 160, 3, dtype=torch.uint8)
    free = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    program = torch.onnx.export(
        from_pixels(network, NO_MEAN, NO_STD), (example,), dynamo=True, verbose=False,
        opset_version=OPSET, input_names=["image"], output_names=["classes"], dynamic_shapes=(free,),
    )  # fmt: skip
    graph = program.model_proto
    facts = {"classes": options.classes, "parameters": parameters, "ultralytics": ultralytics.__version__}
    helper.set_model_props(graph, {key: str(value) for key, value in facts.items()})
    onnx.save(graph, options.out)
    print(f"{options.out}: {options.network}, {options.classes} classes, {parameters / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
