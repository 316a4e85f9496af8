"""Crops and scales that are taken from the sizes of the training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bridgeseg.api import train
from bridgeseg.cli import main
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training.crop import chosen, settled_crop, told
from tiny_data import TINY, write_dataset


def config(**values: Any) -> TrainConfig:
    return TrainConfig.parse({"data": "d", **values})


@pytest.mark.parametrize(
    ("image", "crop", "scale"),
    [
        ((96, 96), (96, 96), (0.5, 2.0)),
        ((20, 300), (32, 288), (0.5, 2.0)),
        ((360, 480), (256, 320), (0.5, 2.0)),
        ((480, 360), (320, 256), (0.5, 2.0)),
        ((720, 1280), (224, 384), (0.3, 1.2)),
        ((1024, 2048), (192, 416), (0.25, 1.0)),
        ((6000, 8000), (256, 320), (0.25, 1.0)),
    ],
)
def test_what_is_chosen(image: tuple[int, int], crop: tuple[int, int], scale: tuple[float, float]) -> None:
    found, (low, high) = chosen(*image)
    assert found == crop
    assert (low, high) == pytest.approx(scale)
    assert low <= 1 <= high


class TestSettled:
    @pytest.fixture
    def spec(self, tmp_path: Path) -> DataSpec:
        path = write_dataset(tmp_path, train=5, height=96, width=64)
        large = tmp_path / "images/train/0.png"  # one of five: the median is not moved
        for file in (large, tmp_path / "masks/train/0.png"):
            Image.open(file).resize((640, 960)).save(file)
        return DataSpec.load(path)

    def test_by_the_median_of_the_training_images(self, spec: DataSpec) -> None:
        found = settled_crop(config(augment={"crop_size": "auto"}), [spec])
        assert found.augment.crop == (96, 64)
        assert found.augment.scale == (0.5, 2.0)
        assert told(found) == "crops by the sizes of the training images: 96x64 pixels, images scaled by 0.5 to 2"

    def test_a_given_scale_stays(self, spec: DataSpec) -> None:
        found = settled_crop(config(augment={"crop_size": "auto", "scale": [1.0, 3.0]}), [spec])
        assert (found.augment.crop, found.augment.scale) == ((96, 64), (1.0, 3.0))

    def test_a_given_crop_stays_and_the_default_is_none(self, spec: DataSpec) -> None:
        for given in (config(), config(augment={"crop_size": [64, 32]})):
            assert settled_crop(given, [spec]) is given
        assert config().augment.crop == (256, 320)

    def test_one_that_is_not_settled(self) -> None:
        with pytest.raises(ValueError, match="not settled"):
            _ = config(augment={"crop_size": "auto"}).augment.crop
        with pytest.raises(ConfigError, match="crop_size"):
            config(augment={"crop_size": "large"})


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "d", "--crop", "automatic"]) == 2
    assert "--crop: a size is HEIGHTxWIDTH in pixels, found 'automatic'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_says_it_keeps_it_and_goes_on_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_dataset(tmp_path / "data"), tmp_path / "run"
    values = {key: value for key, value in TINY.items() if key != "augment"} | {"model.method": "none"}
    train(data, out, **set_values(values, {"augment.crop_size": "auto"}))
    said = "crops by the sizes of the training images: 64x64 pixels, images scaled by 0.5 to 2"
    assert said in capsys.readouterr().err
    log = (out / "train.log").read_text()
    assert log.index("started") < log.index(said) < log.index("epoch 1")
    assert TrainConfig.load(out / "train.json").augment.crop == (64, 64)
    train(out=out, resume=True, epochs=3, quiet=True)
    assert (out / "train.log").read_text().count(said) == 1
