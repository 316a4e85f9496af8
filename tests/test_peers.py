"""Decoders of other libraries: what those libraries compute, on our backbone and in everything we do with a network."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.segmentation.lraspp import LRASPPHead

from bridgeseg.api import quantize
from bridgeseg.classes import ClassSet
from bridgeseg.commands.arguments import variants
from bridgeseg.comparing.grid import make_plan
from bridgeseg.errors import ConfigError, MissingDependencyError
from bridgeseg.exporting.onnx import export_segmentor
from bridgeseg.extend import DECODERS, PEERS
from bridgeseg.models.backbone import TimmBackbone
from bridgeseg.models.base import STRIDES
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.settings.compare import Compare
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.building import refuse_single_values
from tiny_networks import BACKBONE, embeddings, make_network, noise
from tiny_onnx import photo

smp = pytest.importorskip("segmentation_models_pytorch")
SegformerDecoder = pytest.importorskip("segmentation_models_pytorch.decoders.segformer.decoder").SegformerDecoder

WIDTHS = {"smp:FPN": 64, "smp:Unet": 8, "smp:DeepLabV3Plus": 16, "smp:Segformer": 16, "torchvision:lraspp": 16}
THEIRS = {
    "smp:FPN": ("FPN", {"decoder_segmentation_channels": 64, "decoder_dropout": 0.1}),
    "smp:Unet": ("Unet", {"decoder_channels": (128, 64, 32, 16, 8)}),
    "smp:DeepLabV3Plus": ("DeepLabV3Plus", {"decoder_channels": 16}),
}
CLASSES = 5


@pytest.fixture(scope="module")
def networks() -> dict[str, Segmentor]:
    """A settled network of every peer without language; tests that change one copy it first."""
    return {name: make_network(config(name), CLASSES) for name in PEERS}


def config(decoder: str, method: str = "none", **further: Any) -> ModelConfig:
    return ModelConfig(method=method, backbone=BACKBONE, decoder=decoder, width=WIDTHS[decoder], **further)


@pytest.mark.parametrize("name", PEERS)
class TestPeers:
    def test_the_backbone_is_that_of_our_own_decoders(self, name: str) -> None:
        path = TimmBackbone(BACKBONE)
        torch.manual_seed(1)
        ours = build(ModelConfig(method="none", backbone=BACKBONE), CLASSES).backbone.state_dict()
        torch.manual_seed(1)
        theirs = build(config(name), CLASSES).backbone.state_dict()
        assert theirs.keys() == ours.keys() == path.state_dict().keys()
        assert all(torch.equal(theirs[key], ours[key]) for key in ours)

    @pytest.mark.parametrize("method", ["none", "bridge", "denseclip", "lseg"])
    def test_every_method_learns_on_it(self, name: str, method: str) -> None:
        network = build(config(name, method), CLASSES, embeddings(CLASSES)).train()
        images = noise(2, 3, 64, 96)
        out = network(images)
        assert out.logits.shape == (2, CLASSES, 64 // network.stride, 96 // network.stride)
        network.logits(images).square().mean().backward()
        weights = [value for key, value in network.named_parameters() if key.startswith(("decoder.", "head."))]
        assert all(value.grad is not None and value.grad.isfinite().all() for value in weights)

    def test_any_size(self, name: str, networks: dict[str, Segmentor]) -> None:
        assert networks[name].logits(noise(1, 3, 33, 70)).shape == (1, CLASSES, 33, 70)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["smp:FPN", "smp:Unet", "torchvision:lraspp"]
)  # one of every stride: an export takes seconds
def test_the_exported_files_agree(name: str, networks: dict[str, Segmentor], tmp_path: Path) -> None:
    network = copy.deepcopy(networks[name])
    names = ClassSet.build([f"class {index}" for index in range(CLASSES)])
    done = export_segmentor(network, names, {}, tmp_path / "peer.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 45, 70, 3), np.uint8)
    ids = OnnxRuntime(done.path).classes(image)
    with torch.no_grad():
        wanted = DeployNetwork(network)(torch.from_numpy(image))
    assert (ids == np.asarray(wanted)).mean() > 0.999
    assert {entry.domain for entry in onnx.load(done.path).opset_import} == {""}
    (tmp_path / "images").mkdir()
    for index in range(2):
        Image.fromarray(photo(index)).save(tmp_path / "images" / f"{index}.png")
    smaller = quantize(done.path, tmp_path / "int8.onnx", tmp_path / "images")
    assert smaller.facts["agreement"] > 0.8  # of a network that was never trained
    assert smaller.facts["int8_layers"] > 5
    assert smaller.bytes < 0.6 * smaller.bytes_before


@pytest.mark.parametrize("name", THEIRS)
def test_logits_are_those_of_the_library(name: str, networks: dict[str, Segmentor]) -> None:
    """The library's own model with our weights gives our logits, before both upsample them."""
    architecture, options = THEIRS[name]
    ours = networks[name]
    theirs = getattr(smp, architecture)(f"tu-{BACKBONE}", encoder_weights=None, classes=CLASSES, **options).eval()
    theirs.encoder.model.load_state_dict(renamed(ours.backbone.body.state_dict(), theirs.encoder.model.state_dict()))
    theirs.decoder.load_state_dict(ours.decoder.decoder.state_dict())
    head, last = ours.head.conv, theirs.segmentation_head[0]
    if name == "smp:Unet":  # the 3x3 convolution and the head, as one
        matrix = head.weight[:, :, 0, 0]
        last.weight.data = torch.einsum("kc,cdyx->kdyx", matrix, ours.decoder.last.weight).detach()
        last.bias.data = (matrix @ ours.decoder.last.bias + head.bias).detach()
    else:
        last.load_state_dict(head.state_dict())
    theirs.segmentation_head[1] = nn.Identity()
    images = noise(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).logits, theirs(images), rtol=1e-4, atol=1e-4)


def test_pixel_features_are_those_of_the_library_where_it_takes_four_levels(networks: dict[str, Segmentor]) -> None:
    ours, images = networks["smp:Segformer"], noise(1, 3, 64, 96)
    theirs = SegformerDecoder([3, 0, *ours.backbone.channels], segmentation_channels=WIDTHS["smp:Segformer"]).eval()
    theirs.load_state_dict(ours.decoder.decoder.state_dict())
    with torch.no_grad():
        features = ours.backbone(images)
        wanted = theirs([images, torch.zeros(1, 0, 32, 48), *features])
        torch.testing.assert_close(ours.decoder(features), wanted, rtol=1e-4, atol=1e-4)


def renamed(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    assert [value.shape for value in state.values()] == [value.shape for value in wanted.values()]
    return dict(zip(wanted, state.values(), strict=True))


def test_logits_are_those_of_torchvision(networks: dict[str, Segmentor]) -> None:
    ours, images = networks["torchvision:lraspp"], noise(1, 3, 64, 96)
    features = ours.backbone(images)
    low, width = features[1].shape[1], WIDTHS["torchvision:lraspp"]
    theirs = LRASPPHead(low, features[3].shape[1], CLASSES, width).eval()
    theirs.cbr, theirs.scale = ours.decoder.cbr, ours.decoder.scale
    theirs.low_classifier.load_state_dict({"weight": ours.head.conv.weight[:, :low], "bias": ours.head.conv.bias})
    theirs.high_classifier.load_state_dict({"weight": ours.head.conv.weight[:, low:], "bias": torch.zeros(CLASSES)})
    with torch.no_grad():
        wanted = theirs({"low": features[1], "high": features[3]})
        torch.testing.assert_close(ours(images).logits, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv2_100"])
def test_dilation_changes_no_weight(name: str) -> None:
    torch.manual_seed(0)
    plain = TimmBackbone(name)
    torch.manual_seed(0)
    dilated = TimmBackbone(name, strides=(2, 4, 8, 16, 16))
    assert all(torch.equal(value, dilated.state_dict()[key]) for key, value in plain.state_dict().items())
    with torch.no_grad():
        coarse = [features.shape[-1] for features in dilated.eval()(noise(1, 3, 64, 96))]
    assert coarse == [48, 24, 12, 6, 6]
    assert plain.strides == STRIDES


def test_a_comparison_takes_them_as_variants() -> None:
    texts = ["ours: model.method=bridge", *(f"{name[4:]}: model.method=none model.decoder={name}" for name in THEIRS)]
    asked = Compare(data="d.yaml", variants=variants(texts, "--variant"), seeds=[0, 1], fractions=[1, 0.25])
    made = make_plan(asked, {})
    assert [run.config.model.decoder for run in made.runs[:4]] == ["wide", *THEIRS]
    assert len({run.name for run in made.runs}) == 4 * 2 * 2


class TestMistakes:
    def test_a_backbone_without_stride_two(self) -> None:
        settings = ModelConfig(method="none", backbone="test_convnext", decoder="smp:Unet")
        with pytest.raises(
            ConfigError, match=r"features at strides \[4, 8, 16, 32\], not at \[2\](.|\n)*another decoder"
        ):
            build(settings, CLASSES)

    def test_a_backbone_that_cannot_be_dilated(self) -> None:
        settings = ModelConfig(method="none", backbone="swin_tiny_patch4_window7_224", decoder="torchvision:lraspp")
        with pytest.raises(ConfigError, match="cannot be used"):
            build(settings, CLASSES)

    def test_a_backbone_of_clip(self) -> None:
        settings = ModelConfig(method="none", backbone="open_clip:RN50", decoder="torchvision:lraspp")
        with pytest.raises(ConfigError, match=r"the decoder wants \[4, 8, 16, 16\]"):
            build(settings, CLASSES)

    @pytest.mark.parametrize(("found", "fix"), [(144, 128), (48, 64), (32, 64)])
    def test_a_width_that_groups_do_not_divide(self, found: int, fix: int) -> None:
        with pytest.raises(ConfigError, match=rf"multiple of 32 from 64 up, found {found}(.|\n)*`width={fix}`"):
            DECODERS.get("smp:FPN")([8, 8, 8, 8], width=found)

    def test_approximate_ids_of_full_logits(self, networks: dict[str, Segmentor]) -> None:
        with pytest.raises(ConfigError, match="save nothing"):
            DeployNetwork(copy.deepcopy(networks["smp:Unet"]), approximate=True)

    def test_a_batch_of_one(self, networks: dict[str, Segmentor]) -> None:
        one = TrainConfig(data="d", batch_size=1)
        refuse_single_values(networks["smp:FPN"], one, images=8)
        with pytest.raises(ConfigError, match="in this decoder"):
            refuse_single_values(networks["smp:DeepLabV3Plus"], one, images=8)

    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
        monkeypatch.delitem(sys.modules, "bridgeseg.models.decoders._smp")
        for name in [name for name in sys.modules if name.startswith("segmentation_models_pytorch.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(DECODERS, "_values", {})
        with pytest.raises(MissingDependencyError, match=r"pip install 'bridgeseg\[peers\]'"):
            DECODERS.get("smp:FPN")
