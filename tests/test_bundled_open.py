"""The bundled model for any names: the file, and the checkpoint to start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridgeseg.cli import main
from bridgeseg.images import read_image
from bridgeseg.runtime.model import Model

HOME = Path(__file__).parents[1]
STREET = HOME / "examples" / "street.jpg"
ASKED = "sofa, window, person"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load("open")


def test_it_knows_streets_rooms_and_house_fronts(model: Model) -> None:
    assert {"road", "bicyclist", "vegetation", "sofa", "bathtub"} <= set(model.classes.names)
    assert model.takes_names
    assert "research only" in model.provenance["licence"]


def test_it_sees_a_street(model: Model) -> None:
    areas = model.predict(STREET).areas()
    assert {"road", "building"} <= set(list(areas)[:5])


def test_names_that_were_typed(tmp_path: Path) -> None:
    assert main(["predict", str(STREET), "--model", "open", "--names", ASKED, "--out", str(tmp_path), "-q"]) == 0
    assert (tmp_path / "street_mask.png").is_file()


def test_it_says_how_sure_it_is(model: Model) -> None:
    result = model.predict(STREET)
    assert result.confidence is not None
    assert result.confidence.shape == result.mask.shape


def test_the_card_says_what_the_file_says(model: Model) -> None:
    card = (HOME / "docs" / "open-model.md").read_text(encoding="utf-8")
    for name, scores in model.provenance["tested"].items():
        assert f"| {name} | {scores['split']} | {scores['images']} | {100 * scores['miou']:.1f} |" in card


@pytest.mark.slow
def test_the_checkpoint_is_the_same_network(model: Model) -> None:
    pytest.importorskip("torch")
    from bridgeseg.naming import named
    from bridgeseg.training.origin import find

    folder = named("open", "folder")
    assert find("open").names == model.classes.names
    image = read_image(STREET)
    assert np.mean(Model.load(folder).mask(image) == model.mask(image)) > 0.995  # its weights have 16 bits
