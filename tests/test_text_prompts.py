"""Templates, and the means over templates and phrases."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.text.prompts import PHOTO, SETS, class_vectors, phrase_vectors, resolve_templates


def test_sets_are_those_of_open_clip() -> None:
    open_clip = pytest.importorskip("open_clip")
    assert tuple(template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES) == PHOTO
    assert len(set(resolve_templates("imagenet"))) == 80
    assert "a photo of many {}." in resolve_templates("imagenet")


@pytest.mark.parametrize("name", SETS)
def test_every_template_has_a_place_for_the_phrase(name: str) -> None:
    assert all(template.count("{}") == 1 for template in resolve_templates(name))


def test_own_templates() -> None:
    assert resolve_templates("seen from a car: {}") == ("seen from a car: {}",)
    assert resolve_templates(["{}", "the {}"]) == ("{}", "the {}")


@pytest.mark.parametrize("choice", ["phto", [], ["a {}", "no place"], ["a %s"], [3]])
def test_unusable_templates(choice: object) -> None:
    with pytest.raises(ConfigError, match=r"fix:"):
        resolve_templates(choice)  # type: ignore[arg-type]


def test_nearest_set_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'photo'"):
        resolve_templates("phot")


def test_means_of_unit_vectors() -> None:
    table = {"a x": [3.0, 0.0], "the x": [0.0, 0.5], "a y": [0.0, 2.0], "the y": [0.0, 7.0]}
    vectors = phrase_vectors(
        lambda texts: torch.tensor([table[text] for text in texts]), ["x", "y"], ["a {}", "the {}"]
    )
    diagonal = 0.5**0.5  # x: the mean of (1, 0) and (0, 1), however long the vectors were
    torch.testing.assert_close(vectors, torch.tensor([[diagonal, diagonal], [0.0, 1.0]]))
    classes = class_vectors(vectors, ["x", "y"], [("y",), ("x", "y"), ("x",)])
    expected = torch.tensor([[0.0, 1.0], [diagonal, 1 + diagonal], [diagonal, diagonal]])
    torch.testing.assert_close(classes, normalize(expected, dim=1))


def test_braces_in_phrases_and_templates_are_plain_text() -> None:
    seen: list[str] = []

    def encode(texts: object) -> torch.Tensor:
        seen.extend(texts)  # type: ignore[call-overload]
        return torch.ones(1, 3)

    phrase_vectors(encode, ["{0.x}"], ["{a} {}"])
    assert seen == ["{a} {0.x}"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_broken_vectors_are_refused(value: float) -> None:
    with pytest.raises(ModelFileError, match="'sky'"):
        phrase_vectors(lambda texts: torch.tensor([[1.0, 1.0], [value, value]]), ["road", "sky"], ["{}"])
