"""Names as input: what is asked for, and where its vectors come from. Needs no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError
from bridgeseg.vocabulary import lookup
from bridgeseg.vocabulary.asked import asked, listed
from bridgeseg.vocabulary.bank import bank
from bridgeseg.vocabulary.embeddings import unit
from bridgeseg.vocabulary.lookup import Vocabulary, look_up

CLIP = "open_clip:ViT-B-16/openai"


def vectors(count: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, width)))


def write(path: Path, names: list[str], rows: np.ndarray, **meta: str) -> Path:
    save_file({"embeddings": rows}, path, metadata={"names": json.dumps(names), **meta})
    return path


def of_clip(names: list[str], encoder: str | None = CLIP, **facts: object) -> Vocabulary:
    """A network trained with the bank's own vectors of these names."""
    found = bank(CLIP)
    assert found is not None
    rows = found.vectors[[found.names.index(name) for name in names]]
    return Vocabulary(ClassSet.build(names), rows, encoder, **facts)  # type: ignore[arg-type]


class TestAsked:
    @pytest.mark.parametrize(
        "names",
        [
            "road, person=pedestrian|person",
            ["road", "person = pedestrian | person"],
            {"road": None, "person": ["pedestrian", "person"]},
        ],
    )
    def test_forms(self, names: object) -> None:
        found = asked(names)  # type: ignore[arg-type]
        assert found.names == ("road", "person")
        assert found.prompts == (("road",), ("pedestrian", "person"))
        assert asked(listed(found)) == found

    @pytest.mark.parametrize(
        "text",
        [
            "[road, person=pedestrian|person]",
            "road:\nperson: [pedestrian, person]\n",
            "names: [road, person]\nprompts:\n  person: [pedestrian, person]\n",
            "names: {1: person, 0: road}\nprompts:\n  person: [pedestrian, person]\ntrain: images\n",
            "names: [road, person]\nprompts:\n  1: [pedestrian, person]\n",
        ],
    )
    def test_files(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "names.yaml"
        path.write_text(text)
        assert asked(str(path)) == asked(path) == asked("road, person=pedestrian|person")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[road, on, car]", r"read as .*True"),
            ("no: [car]", r"read as .*False"),
            ("names: [road, off]", r"read as .*False"),
            ("names: [road]\nprompts: {raod: [street]}", "'raod' is no class"),
        ],
    )
    def test_files_that_are_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "names.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            asked(path)
        assert caught.value.fix

    def test_known_names_keep_their_phrases_and_colours_and_no_colour_comes_twice(self) -> None:
        known = ClassSet.build(["sky", "road"], {"road": ["street"]}, [(1, 2, 3), ClassSet.build(["a"]).palette[0]])
        found = asked("car, road, tree, bus", known)
        assert found.prompts[1] == ("street",)
        assert found.palette[1] == known.palette[1]
        assert len(set(found.palette)) == 4
        assert asked("road=lane", known).prompts == (("lane",),)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("", "no class names"),
            ("road, road", "distinct"),
            ("road=", "phrases of 'road'"),
            ("gone.yaml", "expected a file"),
            ({"road": 3}, "phrases of 'road'"),
            ([1], "must be text"),
            ({False: ["car"]}, "a name is read as"),
        ],
    )
    def test_what_is_refused(self, names: object, message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            asked(names)  # type: ignore[arg-type]
        assert caught.value.fix


class TestLookUp:
    def test_trained_names_have_the_vectors_they_were_trained_with(self) -> None:
        rows = vectors(2)
        known = Vocabulary(ClassSet.build(["sky", "car"], {"car": ["car", "truck"]}), rows, "random:8/0")
        found = look_up(asked("car, sky", known.classes), known)
        np.testing.assert_array_equal(found, rows[::-1])

    def test_other_names_come_from_the_bank_of_the_encoder(self) -> None:
        known, shipped = of_clip(["road", "sky"]), bank(CLIP)
        assert shipped is not None
        found = look_up(asked("window, road, way=road|floor"), known)
        rows = {name: shipped.vectors[shipped.names.index(name)] for name in ("window", "road", "floor")}
        np.testing.assert_allclose(found[0], rows["window"], atol=1e-6)
        np.testing.assert_allclose(found[2], unit(rows["road"] + rows["floor"]), atol=1e-6)

    def test_a_file_of_embeddings_without_a_name_is_known_by_its_vectors(self) -> None:
        assert of_clip(["road", "sky", "car"], "mine.safetensors").space == CLIP
        strange = Vocabulary(ClassSet.build(["road", "sky", "car"]), vectors(3, 512), "mine.safetensors")
        assert strange.space is None

    def test_a_file_comes_before_all_others(self, tmp_path: Path) -> None:
        rows = vectors(2, 512, seed=3)
        file = write(tmp_path / "own.safetensors", ["road", "helmet"], rows, encoder=CLIP)
        known = of_clip(["road", "sky"])
        found = look_up(asked("road, helmet, sky"), known, file)
        np.testing.assert_allclose(found[:2], rows, atol=1e-6)
        np.testing.assert_allclose(found[2], known.vectors[1], atol=1e-6)

    def test_a_file_leaves_the_vectors_of_trained_classes_with_several_phrases(self, tmp_path: Path) -> None:
        rows = vectors(2, 16)
        known = Vocabulary(ClassSet.build(["sky", "car"], {"car": ["car", "truck"]}), rows, "mine.safetensors")
        file = write(tmp_path / "own.safetensors", ["zebra", "car"], vectors(2, 16, seed=3))
        np.testing.assert_array_equal(look_up(asked("car, zebra", known.classes), known, file)[0], rows[1])
        both = write(tmp_path / "both.safetensors", ["truck", "car"], vectors(2, 16, seed=3))
        assert not np.allclose(look_up(asked("car", known.classes), known, both)[0], rows[1])

    def test_a_bank_of_other_templates_comes_after_the_encoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shipped = bank(CLIP)
        assert shipped is not None
        far = unit(shipped.vectors + vectors(1, 512, seed=5))  # cosines of about 0.7 with those of the bank
        classes = ClassSet.build(["road", "sky"])
        known = Vocabulary(classes, far[[shipped.names.index(name) for name in classes.names]], CLIP, "none")
        right = {"window": far[shipped.names.index("window")]}
        monkeypatch.setattr(lookup, "_encoded", lambda *_: right)
        np.testing.assert_array_equal(look_up(asked("window"), known)[0], right["window"])
        monkeypatch.setattr(lookup, "_encoded", lambda *_: None)
        with pytest.warns(UserWarning, match="'window' are of other templates"):
            found = look_up(asked("window"), known)
        np.testing.assert_allclose(found[0], shipped.vectors[shipped.names.index("window")], atol=1e-6)
        with pytest.raises(ConfigError, match="no vector is at hand for 'streetwall'"):
            look_up(asked("window, streetwall"), known)

    @pytest.mark.parametrize(("encoder", "width"), [("open_clip:RN50/openai", 512), (CLIP, 16)])
    def test_a_file_of_another_encoder(self, tmp_path: Path, encoder: str, width: int) -> None:
        file = write(tmp_path / "other.safetensors", ["road"], vectors(1, width), encoder=encoder)
        with pytest.raises(ConfigError, match="was trained with those of open_clip:ViT-B-16/openai in 512"):
            look_up(asked("road"), of_clip(["road"]), file)

    def test_an_unknown_name_suggests_known_ones_that_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lookup, "_encoded", lambda *_: None)
        known = of_clip(["road", "sky"])
        with pytest.raises(ConfigError, match=r"'streetwall' \(nearest: '.*wall'.*not on this machine") as caught:
            look_up(asked("road, streetwall"), known)
        fix = str(caught.value.fix).split("`names=")[1].split("`")[0]
        assert asked(fix).names == ("road", "streetwall")
        assert look_up(asked(fix), known).shape == (2, 512)

    def test_learned_prompts_have_no_vectors_of_other_names(self) -> None:
        known = of_clip(["road", "sky"], learned=True)
        assert look_up(asked("sky"), known).shape == (1, 512)
        with pytest.raises(ConfigError, match="prompts are learned"):
            look_up(asked("sky, window"), known)

    def test_the_encoder_itself_is_asked_last(self) -> None:
        text = pytest.importorskip("bridgeseg.text")
        rows = text.embed(ClassSet.build(["red", "green", "moon"]), "random:8/0").vectors.numpy()
        known = Vocabulary(ClassSet.build(["red", "green"]), rows[:2], "random:8/0")
        np.testing.assert_allclose(look_up(asked("moon, red"), known), rows[[2, 0]], atol=1e-6)
