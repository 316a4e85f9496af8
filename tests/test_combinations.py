"""Every method on backbones of every kind: two steps of training on all of them, and a file that ONNX Runtime runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.onnx import to_graph
from bridgeseg.extend import METHODS
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import STRIDE, to_size
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.training.losses import SegmentationLoss
from tiny_networks import embeddings

pytestmark = pytest.mark.slow

CLASSES = 4
BACKBONES = {
    # light, convolutional
    "efficientnet_lite0": 37,
    "mobilenetv3_small_100": 37,
    "mobilenetv4_conv_small": 37,
    "resnet18": 37,
    # light, hybrid
    "efficientvit_b0": 37,
    # heavy
    "resnet50": 37,
    "swin_tiny_patch4_window7_224": 37,
    # CLIP's own; their embeddings have a width of their own
    "open_clip:RN50": 1024,
    "open_clip:ViT-B-16": 512,
}
"""Backbone -> width of the class embeddings."""
WINDOWED = {"swin_tiny_patch4_window7_224"}
"""Backbones that cannot be exported."""
EXPORTED_WITH = dict(zip([name for name in BACKBONES if name not in WINDOWED], METHODS.names() * 2, strict=True))
"""Every backbone with one method, every method with two backbones: an export takes longer than all steps."""


@pytest.mark.parametrize("backbone", BACKBONES)
def test_two_steps_and_an_export(backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strictly: list[bool] = []
    capture = torch.export.export

    def export(*arguments: Any, strict: bool = False, **options: Any) -> Any:
        strictly.append(strict)
        return capture(*arguments, strict=strict, **options)

    monkeypatch.setattr(torch.export, "export", export)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    masks = (images[:, 0] // 64).long()
    for method in METHODS.names():
        torch.manual_seed(0)
        config = ModelConfig(method=method, backbone=backbone)
        network = build(config, CLASSES, embeddings(CLASSES, BACKBONES[backbone])).train()
        loss = SegmentationLoss(LossConfig(), 255, aux_at=METHODS.get(method).aux_at)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
        losses = []
        for _ in range(2):
            out = network(network.normalise(images))
            total = loss(to_size(out.logits, STRIDE, images), masks)
            if out.score_map is not None:
                total = total + 0.4 * loss.auxiliary(out.score_map, masks, images.shape[-1] // out.score_map.shape[-1])
            optimiser.zero_grad()
            total.backward()
            assert [key for key, value in network.named_parameters() if value.grad is None] == []
            optimiser.step()
            losses.append(total.item())
        assert np.isfinite(losses).all()
        assert losses[0] != losses[1]
        if backbone in WINDOWED and method == "bridge":
            with pytest.raises(ModelFileError, match="attends in windows"):
                to_graph(DeployNetwork(network))
        if EXPORTED_WITH.get(backbone) != method:
            continue
        deployed = DeployNetwork(network)
        onnx.save(to_graph(deployed), tmp_path / "network.onnx")
        assert strictly == [False]  # a second capture, through Dynamo, takes twice the time of the first
        session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
        for height, width in ((64, 96), (71, 50)):
            pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
            with torch.no_grad():
                expected = deployed(torch.from_numpy(pixels)).numpy()
            # untrained networks have ties that the last bit decides
            assert (session.run(None, {"image": pixels})[0] == expected).mean() > 0.97
