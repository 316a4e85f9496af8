"""Files that a stranger may have made: a few hundred inputs of every kind, and the ones that once did harm."""

from __future__ import annotations

import json
import pickle
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bridgeseg.classes import ClassSet
from bridgeseg.errors import BridgeSegError, ConfigError, DataError, InputError, ModelFileError, nearest
from bridgeseg.runtime.model import Model
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import load_values, set_values
from bridgeseg.training import folder
from conftest import MakeOnnx
from fuzzing import TARGETS, Checkpoints, split

INPUTS = {
    "checkpoints": 25,
    "images": 120,
    "masks": 80,
    "exports": 60,
    "data.yaml": 120,
    "settings": 60,
    "metadata": 80,
}
"""Of each kind; `benchmarks/fuzz.py` tries as many as it is asked for."""

EXPLODING = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 40))
"""Forty lines that stand for a billion values."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_used_or_refused_in_words(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in target.seeds:
            assert target.accepts(content)
        found = [target.accepts(target.make(len(target.seeds) + index)) for index in range(INPUTS.get(name, 100))]
    assert not all(found)


def test_inputs_are_named_by_their_number(tmp_path: Path) -> None:
    for name in ("data.yaml", "images"):
        first, second = (TARGETS[name](tmp_path / side, seed=3) for side in "ab")
        assert [first.make(index) for index in range(40)] == [second.make(index) for index in range(40)]
        assert first.make(39) != TARGETS[name](tmp_path / "c", seed=4).make(39)


def test_what_is_no_refusal_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS["data.yaml"](tmp_path)
    for error in (BridgeSegError("no way out"), BridgeSegError("x" * 30_000, fix="f")):
        monkeypatch.setattr(target, "use", lambda _, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(AssertionError):
            target.accepts(b"")
    monkeypatch.setattr(target, "use", lambda _: {}["a bug"])  # type: ignore[misc]
    with pytest.raises(KeyError):
        target.accepts(b"")


def quick(action: Callable[[], Any], error: type[Exception], match: str) -> None:
    """Expect a refusal that takes no more than a few seconds of the processor, and no more than a page."""
    began = time.process_time()
    with pytest.raises(error, match=match) as caught:
        action()
    assert time.process_time() - began < 10
    assert len(str(caught.value)) < 10_000


class TestClasses:
    def test_very_many_names_that_repeat(self) -> None:
        names = [f"class {index % 20_000}" for index in range(40_000)]
        quick(lambda: ClassSet.build(names), DataError, "must be distinct and not empty, found 'class 0'")

    def test_more_classes_than_a_mask_can_tell_apart(self) -> None:
        quick(lambda: ClassSet.build([str(index) for index in range(70_000)]), DataError, "70000 classes")

    def test_a_palette_for_very_many_names(self) -> None:
        names = [str(index) for index in range(30_000)]
        assert ClassSet.build(names, palette=dict.fromkeys(names, (1, 2, 3))).palette[-1] == (1, 2, 3)

    @pytest.mark.parametrize(
        "colour", [[float("inf"), 0, 0], [float("nan"), 0, 0], [10**400, 0, 0], "abc", [0] * 10**5]
    )
    def test_colours_that_are_none(self, colour: Any) -> None:
        quick(lambda: ClassSet.build(["a"], palette=[colour]), DataError, "a colour is three numbers")

    @pytest.mark.parametrize("options", [{"names": ["a\ud800"]}, {"names": ["a"], "prompts": {"a": ["b", "\udfff"]}}])
    def test_halves_of_characters(self, options: dict[str, Any]) -> None:
        with pytest.raises(DataError, match=r"holds half a character\n  fix"):
            ClassSet.build(**options)
        assert ClassSet.build(["größe", "人", "🚲"]).names[2] == "🚲"

    def test_names_that_are_a_text(self) -> None:
        with pytest.raises(DataError, match="`names` is no list"):
            ClassSet.from_dict({"names": "abc"})

    def test_the_nearest_of_very_many_long_names(self) -> None:
        options = [f"{'ab' * 2000}{index}" for index in range(2000)]
        began = time.process_time()
        assert len(nearest("ba" * 4000, options)) < 5000
        assert time.process_time() - began < 10


class TestSettings:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.json", "[" * 100_000, "cannot be read as a configuration"),
            ("a.yaml", "[" * 5_000, "nested too deeply"),
            ("a.yaml", "a: 1\na: 2\n", "given twice"),
            ("a.yaml", "a: !!python/object/apply:os.system [exit]\n", "not valid YAML"),
            ("a.yaml", "a: !!float ''\n", "cannot be read"),
            ("a.yaml", "a: 2001-13-41\n", "cannot be read"),
            ("a.yaml", f"a: {'9' * 5000}\n", "cannot be read"),
            ("a.yaml", "a: &a {b: *a}\n", "contains itself"),
            ("a.yaml", EXPLODING, "more than 100,000 values"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: str, message: str) -> None:
        path = tmp_path / name
        path.write_text(content)
        quick(lambda: load_values(path), ConfigError, message)

    def test_endless_values_are_cut(self) -> None:
        values = {"data": "d", "epochs": "x" * 10**6, "y" * 10**6: 1}
        quick(
            lambda: TrainConfig.parse(set_values({}, values)), ConfigError, r"epochs must be a whole number, found 'xx"
        )


class TestModelFiles:
    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ("[" * 100_000, "is no JSON"),
            ('{"names": ["a"], "palette": [[Infinity, 0, 0]]}', "a colour is three numbers"),
            (json.dumps({"names": ["red", "green"] * 20_000}), "must be distinct"),
            ('{"names": "abc"}', "`names` is no list"),
            ('{"names": ["a", "b"], "prompts": 3}', "not a description of classes"),
        ],
    )
    def test_classes_of_onnx_files(self, make_onnx: MakeOnnx, classes: str, message: str) -> None:
        path = make_onnx(metadata={"bridgeseg.classes": classes})
        quick(lambda: Model.load(path), ModelFileError, message)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


class TestStates:
    def test_no_code_is_executed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        state = {"epoch": 1, "state_dict": {}, "callbacks": Bomb()}
        (tmp_path / "resume.ckpt").write_bytes(pickle.dumps(state))
        with pytest.raises(ModelFileError, match="is damaged"):
            folder.read_state(tmp_path)
        for new in (True, False):
            torch.save(state, tmp_path / "resume.ckpt", _use_new_zipfile_serialization=new)
            with pytest.raises(ModelFileError, match="is damaged"):
                folder.read_state(tmp_path)
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize(
        "state",
        [
            {"epoch": "1", "state_dict": {}, "callbacks": {}},
            {"epoch": 1, "state_dict": [], "callbacks": {}},
            {"epoch": 1, "state_dict": {}, "callbacks": None},
            ["epoch", "state_dict", "callbacks"],
            torch.zeros(3),
        ],
    )
    def test_states_of_another_kind(self, tmp_path: Path, state: Any) -> None:
        torch.save(state, tmp_path / "resume.ckpt")
        with pytest.raises(ModelFileError, match="is damaged"):
            folder.read_state(tmp_path)


class TestCheckpoints:
    @pytest.mark.parametrize(
        "change",
        [
            {"text_dim": 10**12},
            {"text_dim": -1},
            {"model": {"method": "none", "backbone": "test_efficientnet", "width": 10**6}},
            {"model": {"method": "bridge", "backbone": "test_efficientnet", "bridge": {"dim": 10**6}}},
            {"model": {"method": "bridge", "backbone": "test_efficientnet", "bridge": {"depth": 10**9}}},
        ],
    )
    @pytest.mark.slow
    def test_sizes_that_would_take_all_memory(self, tmp_path: Path, change: dict[str, Any]) -> None:
        target = Checkpoints(tmp_path)
        text, weights = split(target.seeds[1])
        content = json.dumps(json.loads(text) | change).encode() + b"\0" + weights
        quick(lambda: target.use(content), ModelFileError, r"is damaged|model\.bridge\..* must be at most")

    @pytest.mark.parametrize("change", [{"decoder": "nan"}, {"decoder": " "}, {"method": "brige"}])
    def test_names_that_mean_nothing(self, tmp_path: Path, change: dict[str, Any]) -> None:
        target = Checkpoints(tmp_path)
        text, weights = split(target.seeds[0])
        description = json.loads(text)
        description["model"] |= change
        content = json.dumps(description).encode() + b"\0" + weights
        quick(lambda: target.use(content), ModelFileError, r"cannot be built: no \w+ .*\n  fix: ")

    def test_a_header_that_claims_more_than_there_is(self, tmp_path: Path) -> None:
        target = Checkpoints(tmp_path)
        text, weights = split(target.seeds[0])
        for length in (0, 2**40, 2**64 - 1):
            content = text + b"\0" + struct.pack("<Q", length) + weights[8:]
            quick(lambda content=content: target.use(content), ModelFileError, "is damaged")


@pytest.mark.parametrize("key", ["path", "train", "masks_dir"])
def test_paths_of_halves_of_characters(tmp_path: Path, key: str) -> None:
    target = TARGETS["data.yaml"](tmp_path)
    document = {"path": ".", "train": "images/train", "names": ["a"], key: "images/\ud800"}
    quick(lambda: target.use(yaml.safe_dump(document).encode()), DataError, f"`{key}` must be")


def test_a_data_yaml_of_endless_names(tmp_path: Path) -> None:
    target = TARGETS["data.yaml"](tmp_path)
    document = {"train": "images/train", "names": ["a" * 5000, "b"], "prompts": {"c" * 5000: ["x"]}}
    quick(lambda: target.use(yaml.safe_dump(document).encode()), InputError, "is no class")
