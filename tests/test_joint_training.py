"""Training on several datasets, on partial labels and on coarse ones: steps, losses, scores, runs that go on."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import functional as F

from bridgeseg.api import compare, evaluate, train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.cli import main
from bridgeseg.data.joining import join
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.metrics import Scores, join_scores
from bridgeseg.models.counting import class_dimensions, takes_any_names
from bridgeseg.models.segmentor import Prediction
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training import fit as room
from bridgeseg.training.building import make_task
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.joint import JointSampler, share_steps
from bridgeseg.training.likelihood import Sigmoid, Softmax
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule
from bridgeseg.training.resuming import resumed_settings
from tiny_data import TINY, write_dataset

OTHER = ("crimson", "green", "azure")
LONG: dict[str, Any] = {"epochs": 12, "batch_size": 2, "ema": 0.9, "augment.crop_size": [48, 64]}
GREEN = {"labelled": ["green"], "unlabelled": "other"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("joint")
    write_dataset(root / "one")
    write_dataset(root / "two", train=6, val=3, names=OTHER)
    return root


@pytest.fixture(autouse=True)
def _no_images(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.name != "test_images_of_the_run":
        monkeypatch.setattr(room, "write_images", lambda *_: None)


def said(folder: Path, name: str, source: str = "two", **keys: Any) -> Path:
    """Write one more data.yaml for the images of a dataset."""
    values = yaml.safe_load((folder / source / "data.yaml").read_text())
    path = folder / source / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values | keys))
    return path


def run(data: Any, out: Path, **changes: Any) -> Any:
    return train(data, out, quiet=True, **set_values(TINY, changes))


def table(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestSteps:
    def test_every_image_comes_once_a_turn_and_none_is_lost(self) -> None:
        sampler = JointSampler([10, 7], [2, 2], batch=3, seed=1)
        seen: list[int] = []
        for epoch in range(10):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert [len(batch) for batch in batches] == [3] * len(sampler) == [3] * 4
            firsts = [index for batch in batches for index in batch]
            assert len(set(firsts)) == len(firsts)  # an image that comes twice is another item
            starts = sampler.starts
            kinds = [{int(index >= starts[1]) for index in batch} for batch in batches]
            assert all(len(kind) == 1 for kind in kinds)
            assert [kind.pop() for kind in kinds] == sampler.schedule()
            seen += [index % 10 for index in firsts if index < starts[1]]
        turns = [seen[start : start + 10] for start in range(0, 60, 10)]
        assert all(sorted(turn) == list(range(10)) for turn in turns)
        assert len({tuple(turn) for turn in turns}) == 6

    @pytest.mark.parametrize("length", [1, 3, 5, 11])
    def test_epochs_that_are_no_whole_passes_lose_no_image_and_keep_the_shares(self, length: int) -> None:
        sampler, steps, seen = JointSampler([10, 7], [3, 1], 2, seed=1, length=length), [0, 0], Counter[int]()
        for epoch in range(40):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            firsts = [index for batch in batches for index in batch]
            assert len(batches) == len(sampler) == length
            assert len(set(firsts)) == len(firsts)
            assert max(firsts) < sampler.starts[1] + 7 * sampler.repeats[1]
            for which in sampler.schedule():
                steps[which] += 1
            seen.update(index % 10 for index in firsts if index < sampler.starts[1])
        assert abs(steps[0] - 3 * steps[1]) <= 3
        assert max(seen.values()) - min(seen.values()) <= 1

    def test_devices_share_what_one_would_take(self) -> None:
        whole = JointSampler([10, 7], [3, 1], batch=4, seed=2)
        parts = [JointSampler([10, 7], [3, 1], batch=2, rank=rank, world=2, seed=2) for rank in range(2)]
        for epoch in (0, 3):
            for sampler in (whole, *parts):
                sampler.set_epoch(epoch)
            for batch, first, second in zip(whole, *parts, strict=True):
                assert sorted(batch) == sorted([*first, *second])

    def test_orders_belong_to_seed_and_epoch(self) -> None:
        def drawn(seed: int, epoch: int) -> list[list[int]]:
            sampler = JointSampler([10, 7], [2, 2], batch=3, seed=seed)
            sampler.set_epoch(epoch)
            return list(sampler)

        assert drawn(0, 1) == drawn(0, 1) != drawn(0, 2)
        assert drawn(0, 1) != drawn(1, 1)

    def test_shares(self) -> None:
        assert share_steps([100, 10], 8) == [12, 1]
        assert share_steps([100, 10], 8, (1, 1)) == [6, 6]
        assert share_steps([100, 10], 8, (1000, 1)) == [13, 1]

    def test_batches_are_of_one_dataset_and_say_which(self, folder: Path) -> None:
        joined = join([DataSpec.load(folder / name) for name in ("one", "two")])
        config = TrainConfig.parse(TINY | {"data": ["a", "b"], "batch_size": 2, "shares": [1, 1]})
        data = DataModule(joined, config)
        batches = list(data.train_dataloader())
        assert Counter(which for *_, which in batches) == {0: 4, 1: 4}
        places = [list(chain.from_iterable(b[2].tolist() for b in batches if b[3] == which)) for which in (0, 1)]
        assert sorted(places[0]) == list(range(8))
        assert set(places[1]) == set(range(8, 14))
        assert len(data.val_dataloader()) == 2


def by_hand(logits: torch.Tensor, meant: list[int]) -> float:
    return -float(logits.softmax(0)[meant].sum().log())


class TestLosses:
    @pytest.fixture(scope="class")
    def task(self, folder: Path) -> Callable[..., Any]:
        people = said(folder, "green", **GREEN)
        coarse = said(folder, "coarse", names=["warm", "green", "azure"])
        specs = [DataSpec.load(folder / "one"), DataSpec.load(people), DataSpec.load(coarse)]
        joined = join(specs, same=(("blue", "azure"),), parts={"warm": ("red", "green")})
        assert joined.classes.names == ("red", "green", "blue")

        def make(index: int, **loss: Any) -> Any:
            config = TrainConfig.parse(TINY | {"data": "d", "loss": loss})
            return make_task(config, joined.members[index], 3, None, chooses=True)

        return make

    logits = torch.tensor([[0.3, -1.0], [1.5, 0.2], [-0.7, 0.4]]).reshape(1, 3, 1, 2)

    def loss(self, task: Any, first: int, second: int) -> float:
        masks = task.targets(torch.tensor([[[first, second]]]), torch.zeros(1, dtype=torch.int64))
        return float(task.loss(self.logits[:, task.member.labels.rows and list(task.member.labels.rows)], masks))

    def test_none_of_the_labelled_names_is_one_of_the_others(self, task: Any) -> None:
        left, right = self.logits[0, :, 0, 0], self.logits[0, :, 0, 1]
        assert self.loss(task(1), 1, 0) == pytest.approx((by_hand(left, [1]) + by_hand(right, [0, 2])) / 2)
        assert self.loss(task(1), 2, 255) == pytest.approx(by_hand(left, [0, 2]))

    def test_a_coarse_name_is_one_of_its_parts(self, task: Any) -> None:
        left, right = self.logits[0, :, 0, 0], self.logits[0, :, 0, 1]
        expected = (by_hand(left, [0, 1]) + by_hand(right, [2])) / 2
        assert self.loss(task(2), 0, 2) == pytest.approx(expected)
        cells = task(2)
        masks = cells.targets(torch.tensor([[[0, 2]]]), torch.zeros(1, dtype=torch.int64))
        rows = list(cells.member.labels.rows)
        assert float(cells.loss.auxiliary(self.logits[:, rows], masks, 1)) == pytest.approx(expected)

    def test_sigmoid_says_nothing_of_names_that_are_not_labelled(self, task: Any) -> None:
        own = task(1, partial="sigmoid")
        left, right = self.logits[0, :, 0, 0], self.logits[0, :, 0, 1]
        expected = (F.softplus(-left[1]) + F.softplus(right[1])) / 2  # green; not green
        assert self.loss(own, 1, 0) == pytest.approx(float(expected))

    def test_sigmoid_of_all_names(self, task: Any) -> None:
        own = task(0, partial="sigmoid")
        truth = F.one_hot(torch.tensor([2, 1]), 3).T.float()
        expected = F.binary_cross_entropy_with_logits(self.logits[0, :, 0], truth, reduction="none").sum(0).mean()
        assert self.loss(own, 2, 1) == pytest.approx(float(expected))

    @pytest.mark.parametrize("partial", ["softmax", "sigmoid"])
    def test_every_loss_takes_groups(self, task: Any, partial: str) -> None:
        more = {"dice": 0.5, "lovasz": 0.5, "ohem": 0.5, "label_smoothing": 0.1}
        for index in range(3):
            assert np.isfinite(self.loss(task(index, partial=partial, **more), 1, 0))

    def test_without_groups_it_is_the_cross_entropy(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 4, 5, 6, generator=generator)
        masks = torch.randint(-1, 4, (2, 5, 6), generator=generator)
        config = LossConfig(dice=0.5, lovasz=0.5, ohem=0.5)
        plain, grouped = SegmentationLoss(config, -1), SegmentationLoss(config, -1, likelihood=Softmax([]))
        assert float(grouped(logits, masks)) == pytest.approx(float(plain(logits, masks)), rel=1e-5)

    def test_sets_of_names_have_columns_of_their_own(self) -> None:
        likelihood = Sigmoid([(1, 2)], np.array([[True, False, False], [True, True, True]]))
        found = likelihood(self.logits)
        assert found.shape == (1, 8, 1, 2)
        assert likelihood.probabilities(self.logits).shape == (1, 4, 1, 2)
        falls = F.softplus(self.logits)
        torch.testing.assert_close(found[:, 3], -falls[:, 0])  # none of the first set: its one name is false
        torch.testing.assert_close(found[:, 1], -falls[:, 0])  # nothing is said of the second name
        torch.testing.assert_close(found[:, 5], self.logits[:, 1] - falls.sum(1))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"method": "none"}, {"head.conv.weight": 0, "head.conv.bias": 0}),
        ({"method": "bridge"}, {}),
        ({"method": "bridge", "head": "linear"}, {"head.conv.weight": 0, "head.conv.bias": 0}),
        ({"method": "lseg"}, {}),
    ],
)
def test_what_depends_on_the_number_of_classes(config: dict[str, Any], expected: dict[str, int]) -> None:
    model = ModelConfig.model_validate(TINY["model"] | config)
    assert class_dimensions(model) == expected
    assert takes_any_names(model) == (not expected)


def test_denseclip_fixes_the_number_of_classes() -> None:
    assert not takes_any_names(ModelConfig.model_validate(TINY["model"] | {"method": "denseclip"}))


def test_a_step_asks_for_the_names_of_its_dataset(folder: Path) -> None:
    joined = join([DataSpec.load(folder / name) for name in ("one", "two")])
    config = TrainConfig.parse(TINY | {"data": "d"})
    asked = []

    class Network:
        class_embeddings = torch.arange(5.0)[:, None]

        def __call__(self, images: Any, text: Any) -> Prediction:
            asked.append(text)
            count = 5 if text is None else len(text)
            return Prediction(torch.arange(float(count)).reshape(1, count, 1, 1), None)

    rows = [3, 1, 4]  # crimson, green, azure
    for chooses in (True, False):
        task = make_task(config, joined.members[1], 5, None, chooses=chooses)
        found = task.predict(Network(), torch.zeros(1, 3, 4, 4)).logits  # type: ignore[arg-type]
        assert found.flatten().tolist() == ([0, 1, 2] if chooses else rows)
    assert asked[0].flatten().tolist() == rows
    assert asked[1] is None


def test_joined_scores_are_means_over_datasets() -> None:
    one = Scores.from_confusion(np.array([[3, 1], [0, 4]]), ["a", "b"], 2)
    two = Scores.from_confusion(np.array([[5, 0, 1], [0, 0, 0], [2, 0, 9]]), ["a", "c"], 1)  # and one of no name
    whole = join_scores({"x": one, "y": two})
    assert two.iou == {"a": 5 / 8, "c": None}
    assert two.miou == 5 / 8
    assert whole.miou == pytest.approx((one.miou + two.miou) / 2)
    assert list(whole.iou) == ["x: a", "x: b", "y: a", "y: c"]
    assert whole.images == 3
    assert whole.confusion.sum() == 8 + 17
    rows = [list(column.cells) for column in join_scores({"y": two, "x": one}).table().columns[2:]]
    assert rows == [["83.3", "–", "75.0", "100.0"], ["24.0", "0.0", "16.0", "16.0"]]


@pytest.mark.slow
class TestRuns:
    @pytest.fixture(scope="class")
    def whole(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "write_images", lambda *_: None)
            out = tmp_path_factory.mktemp("runs") / "whole"
            return out, run([folder / "one", folder / "two"], out, **LONG)

    def test_both_are_learned_by_their_own_names(self, whole: tuple[Path, Any]) -> None:
        out, result = whole
        assert min(part.miou for part in result.scores.parts.values()) > 0.6
        kept = load_checkpoint(out)
        assert kept.classes.names == ("red", "green", "blue", "crimson", "azure")
        assert kept.provenance["dataset_scores"]["two"]["iou"].keys() == set(OTHER)
        assert [fact["file"] for fact in kept.provenance["data"]] == ["data.yaml"] * 2
        line = table(out)[result.epoch - 1]
        assert float(line["miou"]) == pytest.approx((float(line["miou one"]) + float(line["miou two"])) / 2)
        assert {"train_loss one", "val_loss two", "iou one: red", "iou two: azure"} <= set(line)
        log = (out / "train.log").read_text()
        assert "one: 3 names: red, green, blue; two: 3 names" in log
        assert "alike by their class embeddings, and not merged" in log
        assert "(one 0." in log
        assert {"data-one.sha256", "data-two.sha256"} <= {path.name for path in out.iterdir()}

    def test_a_stopped_run_equals_an_uninterrupted_one(
        self, folder: Path, whole: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = TrainModule.on_train_epoch_start

        def stop(module: TrainModule) -> None:
            if module.current_epoch == 3:
                raise InputError("enough")
            begin(module)

        monkeypatch.setattr(TrainModule, "on_train_epoch_start", stop)
        with pytest.raises(InputError, match="enough"):
            run([folder / "one", folder / "two"], tmp_path / "run", **LONG)
        monkeypatch.undo()
        monkeypatch.setattr(room, "write_images", lambda *_: None)
        assert len(table(tmp_path / "run")) == 3
        with pytest.raises(InputError, match="another order"):
            train([folder / "two", folder / "one"], tmp_path / "run", resume=True, quiet=True)
        result = train(out=tmp_path / "run", resume=True, quiet=True)
        assert result.scores.parts.keys() == {"one", "two"}
        for name in ("best", "last"):
            paths = [out / name / "model.safetensors" for out in (whole[0], tmp_path / "run")]
            assert paths[0].read_bytes() == paths[1].read_bytes()
        assert (whole[0] / "metrics.csv").read_bytes() == (tmp_path / "run" / "metrics.csv").read_bytes()

    @pytest.mark.parametrize("method", ["none", "denseclip", "lseg"])
    def test_other_methods(self, folder: Path, tmp_path: Path, method: str) -> None:
        model = {"backbone": "test_efficientnet", "width": 16, "method": method}
        result = train([folder / "one", folder / "two"], tmp_path / "run", quiet=True, **TINY | {"model": model})
        assert result.scores.parts.keys() == {"one", "two"}

    @pytest.mark.parametrize("partial", ["softmax", "sigmoid"])
    def test_a_name_that_only_partial_labels_tell(self, folder: Path, tmp_path: Path, partial: str) -> None:
        """The first dataset says nothing of green, the second of nothing else."""
        rest = said(folder, "rest", "one", labelled=["red", "blue"])
        green = said(folder, "green", **GREEN)
        changes = {"epochs": 14, "batch_size": 2, "ema": 0.9, "loss.partial": partial}
        result = run([rest, green], tmp_path / "run", **changes)
        kept = load_checkpoint(tmp_path / "run")
        assert kept.classes.names == ("red", "blue", "green")
        assert result.scores.parts["green"].iou["green"] > 0.5
        assert result.scores.parts["rest"].miou > 0.5

    def test_one_name_and_one_for_all_else(self, folder: Path, tmp_path: Path) -> None:
        green, out = said(folder, "green", **GREEN), tmp_path / "run"
        changes = {"epochs": 14, "batch_size": 2, "ema": 0.9, "names": "green, background"}
        assert run(green, out, **changes).scores.iou["green"] > 0.5
        assert load_checkpoint(out).classes.names == ("green", "background")
        assert "background: in no dataset's labels, so they compete" in (out / "train.log").read_text()
        resumed = train(out=out, resume=True, quiet=True, epochs=15)
        assert resumed.scores.iou["green"] > 0.5

    def test_coarse_names_and_sets_of_images(self, folder: Path, tmp_path: Path) -> None:
        lines = [f"images/{split}/{index}.png,green" for split in ("train", "val") for index in range(2)]
        (folder / "one" / "sets.csv").write_text("\n".join(["image,labelled", *lines]))
        sets = said(folder, "sets", "one", labelled_file="sets.csv", unlabelled="other")
        coarse = said(folder, "cold", names=["crimson", "cold", "cold too"], same=[["cold", "cold too"]])
        loss = {"class_weights": True, "dice": 0.5, "partial": "sigmoid"}
        out = tmp_path / "run"
        result = run(
            [sets, coarse], out, parts={"cold": ["green", "blue"]}, loss=loss, **{"augment.rare_class_prob": 0.5}
        )
        assert load_checkpoint(out).classes.names == ("red", "green", "blue", "crimson")
        assert list(result.scores.parts["cold"].iou) == ["crimson", "cold"]
        found = evaluate(out, coarse, split="val", quiet=True)  # it knows the relations of the run's settings
        assert found.iou == pytest.approx(result.scores.parts["cold"].iou)
        log = (out / "train.log").read_text()
        assert "cold means one of green, blue, and is no class" in log
        assert "one name each, by `same`: cold too is cold" in log
        alone = evaluate(out, sets, quiet=True)
        assert alone.miou == pytest.approx(result.scores.parts["sets"].miou, abs=1e-3)
        assert alone.iou == pytest.approx(result.scores.parts["sets"].iou, abs=1e-3)

    def test_images_of_the_run(self, folder: Path, tmp_path: Path) -> None:
        run([folder / "one", said(folder, "green", **GREEN)], tmp_path / "run", epochs=1)
        assert {"curves.png", "iou.png", "examples.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": [1]}, "`shares` has one number for each dataset, 2, found 1: 1"),
        ({"shares": [1, 0]}, "`shares` must be above 0"),
        ({"data_fractions": [1, 2]}, "`data_fractions` must be above 0 and at most 1"),
        ({"same": [["a"]]}, "`same` lists groups of two names or more"),
        ({"parts": {"a": 3}}, "parts.a must be a list"),
        ({"data": []}, "data must be text"),
    ],
)
def test_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({"data": ["a.yaml", "b.yaml"], **changes})


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("--shares 1,2.5,3", "--shares '[1, 2.5]'"),
        ("--shares 1", "--shares '[1, 1]'"),
        ("--shares 2,0", "--shares '[2, 1]'"),
        ("--set data_fractions=[0.5]", "--set 'data_fractions=[0.5, 1]'"),
    ],
)
def test_the_fix_has_a_number_for_each_dataset(words: str, fix: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--data", "nowhere", "--data", "nowhere too", "--out", "none"]
    for typed in (words, fix):
        assert main([*command, *shlex.split(typed)]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert error.endswith(f" fix: {fix}") is (typed == words)
    assert "nowhere" in error
    with pytest.raises(ConfigError) as caught:
        TrainConfig.parse({"data": "a", "shares": [1, 2]})
    assert caught.value.fix == "leave `shares` out"


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [(["a", "b"], "a", "2 datasets, and is to go on with 1"), ("a", ["a", "b"], "1 dataset, and is to go on with 2")],
)
def test_a_run_goes_on_with_as_many_datasets(before: Any, now: Any, message: str, tmp_path: Path) -> None:
    settings = TINY | {"data": before} | ({"shares": [1, 2]} if len(before) > 1 else {})
    (tmp_path / "train.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=f"this run was started with {message}") as caught:
        resumed_settings(tmp_path, {"data": now})
    assert "leave `data` out" in str(caught.value.fix)
    assert len(resumed_settings(tmp_path, {}).datasets) == len(before)


def test_one_path_in_a_list_is_that_path() -> None:
    assert TrainConfig.parse({"data": ["a.yaml"]}).data == "a.yaml"
    assert TrainConfig.parse({"data": ["a", "b"]}).datasets == ("a", "b")
    assert TrainConfig.parse({"data": "a", "same": ["x", "y"]}).same == (("x", "y"),)


def test_a_comparison_takes_one_dataset(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "two.json"
    config.write_text(json.dumps({"data": [str(folder / "one"), str(folder / "two")]}))
    with pytest.raises(ConfigError, match="one dataset"):
        compare(config=config, out=tmp_path / "out")


@pytest.mark.slow
def test_an_unlabelled_dataset_is_named(folder: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "empty")
    for file in (tmp_path / "empty" / "masks" / "val").iterdir():
        Image.fromarray(np.full((48, 64), 255, np.uint8)).save(file)
    with pytest.raises(DataError, match="4 validation images of empty is labelled"):
        run([folder / "one", tmp_path / "empty"], tmp_path / "run", check=False, epochs=1)
