"""Labels that leave names out: what is scored, what the losses take part of, what classes weigh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.joining import Joined, join
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.stats import class_statistics
from bridgeseg.evaluating.partial import Partial
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.building import make_task
from bridgeseg.training.defaults import settled_head
from bridgeseg.training.drawing import _in_vocabulary
from bridgeseg.training.task import Task
from bridgeseg.training.weighing import column_shares
from bridgeseg.vocabulary.asked import asked

Make = Callable[..., Path]
FIRST = torch.zeros(1, dtype=torch.int64)
"""The place of a batch of the first image alone."""


@pytest.fixture
def dataset(tmp_path: Path) -> Make:
    """Give a function that writes a data.yaml."""

    def make(name: str, names: list[str], **keys: Any) -> Path:
        path = tmp_path / name / "data.yaml"
        (path.parent / "images").mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"train": "images", "names": names, **keys}))
        return path

    return make


def per_image(dataset: Make, unlabelled: str = "other") -> Path:
    """Write a dataset of three images that are labelled for car, for person and for both."""
    names = ["road", "car", "person"]
    path = dataset("per", names, labelled=["car"], unlabelled=unlabelled, labelled_file="labelled.csv")
    (path.parent / "masks").mkdir(exist_ok=True)
    for index in range(3):
        (path.parent / "images" / f"{index}.png").touch()
        (path.parent / "masks" / f"{index}.png").touch()
    lines = ["image,labelled", "images/1.png,person", "images/2.png,car;person"]
    (path.parent / "labelled.csv").write_text("\n".join(lines))
    return path


def joined(*paths: Path, **more: Any) -> Joined:
    return join([DataSpec.load(path) for path in paths], **more)


def task_of(whole: Joined, index: int = 0, **loss: Any) -> Task:
    config = TrainConfig.parse({"data": ["a", "b"], "loss": loss})
    task = make_task(config, whole.members[index], len(whole.classes), None, chooses=True)
    task.start("cpu")
    return task


def predicted(ids: Any, names: int) -> torch.Tensor:
    """Return logits (B, V, H, W) of predicted ids (B, H, W)."""
    return torch.nn.functional.one_hot(torch.as_tensor(ids), names).movedim(-1, 1).float()


def test_a_name_of_another_dataset_counts_as_none_of_those_that_are_labelled(dataset: Make) -> None:
    street = dataset("street", ["road", "car"], labelled=["road", "car"])
    whole = joined(street, dataset("rooms", ["bed", "wall"]))
    task = task_of(whole)
    masks = torch.tensor([[[0, 0, 1, 255]]])
    task.count(predicted([[[0, 3, 2, 3]]], 4), masks, FIRST)
    assert task.confusion.matrix.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert task.scores(torch.from_numpy(task.confusion.matrix), 1).iou == {"road": 0.5, "car": 0.0}
    assert task.targets(masks, FIRST).tolist() == [[[0, 0, 1, -1]]]
    assert np.isfinite(float(task.loss(predicted([[[0, 3, 2, 3]]], 4), task.targets(masks, FIRST))))


def test_pixels_that_can_be_one_name_only_are_not_scored_as_it(dataset: Make) -> None:
    """Columns and classes have the same numbers then, and the last class is none of the names that are scored."""
    street = dataset("street", ["road", "car", "nothing"], labelled=["road", "car"], unlabelled="other")
    task = task_of(joined(street, dataset("people", ["road", "person"])))
    masks = torch.tensor([[[0, 1, 2, 2]]])
    assert task.targets(masks, FIRST).tolist() == masks.tolist()
    task.count(predicted([[[0, 1, 2, 1]]], 3), masks, FIRST)
    assert task.confusion.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert task.scores(torch.from_numpy(task.confusion.matrix), 1).iou == {"road": 1.0, "car": 0.5}


class TestOverlap:
    """Columns that overlap: Dice and Lovasz take each from the pixels that tell whether it is true."""

    @pytest.fixture
    def whole(self, dataset: Make) -> Joined:
        """Give images labelled for car, for person and for both; and a dataset with a coarse name beside its part."""
        coarse = dataset("coarse", ["road", "car", "vehicle"], parts={"vehicle": ["car", "bus"]})
        return joined(per_image(dataset), coarse, dataset("buses", ["bus", "sky"]))

    masks = torch.arange(3 * 4 * 5).reshape(3, 4, 5) % 7 % 3
    places = torch.arange(3)

    def loss(self, whole: Joined, index: int, logits: torch.Tensor, **loss: Any) -> torch.Tensor:
        """Return a loss without the cross-entropy; the sets of the images of the first dataset are 0, 1 and 2."""
        task = task_of(whole, index, **loss)
        if index == 0:
            task.train_sets = self.places
        targets = task.targets(self.masks, self.places)
        return task.loss(logits, targets) - task.loss.cross_entropy(logits, targets)  # type: ignore[no-any-return]

    def right(self, whole: Joined, index: int) -> torch.Tensor:
        """Return the logits of a perfect prediction; what masks call a vehicle is a bus."""
        labels = whole.members[index].labels
        true = ["road", "car", ("person", "bus")[index]]
        columns = [labels.rows.index(whole.classes.names.index(name)) for name in true]
        return 60 * predicted(torch.tensor(columns)[self.masks], len(labels.rows)) - 30

    @pytest.mark.parametrize("partial", ["softmax", "sigmoid"])
    @pytest.mark.parametrize("index", [0, 1])
    @pytest.mark.parametrize("term", ["dice", "lovasz"])
    def test_a_perfect_prediction_gives_0(self, whole: Joined, term: str, index: int, partial: str) -> None:
        more = {term: 1.0, "partial": partial}
        right = self.right(whole, index)
        assert float(self.loss(whole, index, right, **more)) == pytest.approx(0, abs=1e-5)
        assert float(self.loss(whole, index, right.roll(1, dims=1), **more)) > 0.3

    @pytest.mark.parametrize("term", ["dice", "lovasz"])
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, 2**32))
    def test_sigmoid_says_nothing_of_names_that_are_not_labelled(self, whole: Joined, term: str, seed: int) -> None:
        rows, names = whole.members[0].labels.rows, whole.classes.names
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(3, len(rows), 4, 5, generator=generator).requires_grad_()
        loss = self.loss(whole, 0, logits, **{term: 1.0, "partial": "sigmoid"})
        (gradient,) = torch.autograd.grad(loss, logits)
        for image, told in enumerate(({"car"}, {"person"}, {"car", "person"})):
            found = {names[row] for column, row in enumerate(rows) if gradient[image, column].abs().max() > 1e-7}
            assert found == told

    def test_label_smoothing_says_nothing_of_them_either(self, whole: Joined) -> None:
        rows, names = whole.members[0].labels.rows, whole.classes.names
        logits = torch.zeros(3, len(rows), 4, 5, requires_grad=True)
        task = task_of(whole, partial="sigmoid", label_smoothing=0.1)
        task.train_sets = self.places
        loss = task.loss(logits, task.targets(self.masks, self.places))
        (gradient,) = torch.autograd.grad(loss, logits)
        for image, told in enumerate(({"car"}, {"person"}, {"car", "person"})):
            assert {names[row] for column, row in enumerate(rows) if gradient[image, column].any()} == told
        assert float(loss.detach()) == pytest.approx(4 / 3 * float(np.log(2)), rel=1e-5)

    @pytest.mark.parametrize("term", ["dice", "lovasz"])
    def test_a_name_that_is_not_labelled_may_be_itself(self, whole: Joined, term: str) -> None:
        """To call a car something else is no gain where the image was labelled for person alone."""
        rows, names = whole.members[0].labels.rows, whole.classes.names
        car, sky = (rows.index(names.index(name)) for name in ("car", "sky"))
        truth = self.right(whole, 0)
        swapped = list(range(len(rows)))
        swapped[car], swapped[sky] = sky, car
        lie = truth.clone()
        lie[1] = truth[1, swapped].where(self.masks[1] == 1, truth[1])
        found = [float(self.loss(whole, 0, logits, **{term: 1.0})) for logits in (truth, lie)]
        assert found == pytest.approx([0, 0], abs=1e-5)


class TestBalance:
    """A name for what is nothing competes with names that others label, and should not take all of their pixels."""

    @pytest.fixture
    def whole(self, dataset: Make) -> Joined:
        street = dataset("street", ["road", "void"], labelled=["road"], unlabelled="other")
        people = dataset("people", ["background", "person"], labelled=["person"], unlabelled="other")
        return joined(street, people, asked=asked("road, person, void"))

    masks = torch.tensor([[[0, 1, 1, 1, 1]]])
    """A pixel of the first name, four of the second."""

    def term(self, whole: Joined, index: int, logits: torch.Tensor) -> torch.Tensor:
        found = []
        for weight in (1.0, 0.0):
            task = task_of(whole, index, balance=weight)
            found.append(task.loss(logits, task.targets(self.masks, FIRST)))
        return found[0] - found[1]

    @pytest.mark.parametrize(("pixels", "share"), [(0, 0.0), (1, 0.25), (2, 0.5), (4, 1.0)])
    def test_it_is_lowest_where_half_of_the_pixels_are_nothing(self, whole: Joined, pixels: int, share: float) -> None:
        ids = torch.tensor([[[0, *[2] * pixels, *[1] * (4 - pixels)]]])
        expected = np.log(2) + sum(part * np.log(part) for part in (share, 1 - share) if part)
        assert float(self.term(whole, 0, 60 * predicted(ids, 3))) == pytest.approx(expected, abs=1e-3)

    def test_it_draws_no_pixel_of_another_label(self, whole: Joined) -> None:
        logits = torch.zeros(1, 3, 1, 5).index_fill_(1, torch.tensor(2), 1.0).requires_grad_()
        (gradient,) = torch.autograd.grad(self.term(whole, 0, logits), logits)
        assert not gradient[..., 0].any()
        assert not gradient[:, 0].any()
        assert (gradient[:, 2, :, 1:] > 0).all()
        assert (gradient[:, 1, :, 1:] < 0).all()

    def test_it_says_nothing_where_no_such_name_competes(self, whole: Joined) -> None:
        """What the street calls void is not looked for in rooms."""
        assert whole.members[1].labels.added == ()
        assert float(self.term(whole, 1, torch.randn(1, 2, 1, 5))) == 0


@pytest.mark.parametrize("unlabelled", ["other", "ignore"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_validation_and_evaluate_count_alike(dataset: Make, unlabelled: str, seed: int) -> None:
    """Images differ in what they were labelled for: a name that an image was not labelled for is none of its names."""
    whole = joined(per_image(dataset, unlabelled), dataset("rooms", ["bed", "wall"]))
    spec, task, names = whole.first, task_of(whole), whole.classes.names
    task.val_sets = torch.arange(3)
    generator = torch.Generator().manual_seed(seed)
    masks = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (3, 4, 5), generator=generator)]
    found = torch.randint(0, len(names), (3, 4, 5), generator=generator)
    partial = Partial(spec, names)
    other = ConfusionMatrix(len(partial.classes), partial.classes.ignore_index)
    for index, sample in enumerate(spec.samples("train")):
        task.count(predicted(found[index : index + 1], len(names)), masks[index : index + 1], torch.tensor([index]))
        truth, prediction = partial.of(sample, masks[index].numpy(), found[index].numpy())
        other.update(prediction, truth)
    assert task.confusion.matrix.tolist() == other.matrix.tolist()
    task.start("cpu")
    task.count(predicted(found, len(names)), masks, torch.arange(3))
    assert task.confusion.matrix.tolist() == other.matrix.tolist()


def test_names_that_are_one_are_scored_as_one(dataset: Make) -> None:
    """A false positive is charged once, and a prediction is right for either name."""
    same = {"same": [["person", "pedestrian", "rider"]]}
    streets = dataset("streets", ["rider", "road", "pedestrian", "car"], **same)
    whole = joined(streets, dataset("rooms", ["bed", "person"]))
    labels, task = whole.members[0].labels, task_of(whole)
    assert labels.own == ("rider", "road", "pedestrian", "car")
    assert labels.scored == ("rider", "road", "car")
    person, road, car = range(3)
    assert [whole.classes.names[row] for row in labels.rows] == ["person", "road", "car"]
    task.count(predicted([[[person, person, road, person, car]]], 3), torch.tensor([[[0, 2, 2, 1, 3]]]), FIRST)
    scores = task.scores(torch.from_numpy(task.confusion.matrix), 1)
    assert scores.iou == {"rider": 0.5, "road": 0.0, "car": 1.0}
    alone = joined(dataset("alone", ["rider", "road", "person"], same=[["person", "rider"]]))
    assert alone.members[0].labels.scored == ("person", "road")


def test_classes_weigh_what_each_image_says_of_them(dataset: Make) -> None:
    path = per_image(dataset)
    for index, values in enumerate(([0, 1, 1, 1], [1, 1, 2, 255], [0, 0, 1, 2])):
        Image.fromarray(np.array([values], np.uint8)).save(path.parent / "masks" / f"{index}.png")
    whole = joined(path, dataset("rooms", ["bed", "wall"]))
    member, names = whole.members[0], whole.classes.names
    labels, samples = member.labels, whole.first.samples("train")
    shares = column_shares(member, samples, class_statistics(whole.first, samples))
    columns = [*names, *({names[column] for column in group} for group in labels.groups)]
    found = {
        str(sorted(column)) if isinstance(column, set) else column: 11 * share
        for column, share in zip(columns, shares, strict=True)
    }
    assert found == pytest.approx(
        {
            "car": 4,
            "person": 2,
            "bed": 0,
            "wall": 0,
            "['bed', 'person', 'wall']": 1,
            "['bed', 'car', 'wall']": 2,
            "['bed', 'wall']": 2,
        }
    )


def test_pictures_show_what_each_image_says(dataset: Make) -> None:
    whole = joined(per_image(dataset), dataset("rooms", ["bed", "wall"]))
    car, person = (whole.classes.names.index(name) for name in ("car", "person"))
    shown = [
        _in_vocabulary(np.array([[0, 1, 2]]), sample, whole.members[0], whole).tolist()
        for sample in whole.first.samples("train")
    ]
    assert shown == [[[255, car, 255]], [[255, 255, person]], [[255, car, person]]]


class TestHead:
    """Which head a training takes by itself."""

    def head(self, whole: Joined, **given: Any) -> str:
        return settled_head(TrainConfig.parse({"data": ["a"], **given}), whole).model.head

    def test_of_the_names_alone_where_one_dataset_labels_all(self, dataset: Make) -> None:
        whole = joined(dataset("street", ["road", "car"]))
        assert self.head(whole) == "text"
        assert self.head(whole, model={"head": "linear"}) == "linear"
        assert self.head(whole, model={"method": "none"}) == "auto"
        assert self.head(whole, init="street") == "auto"

    def test_a_run_that_was_begun_with_another_keeps_it(self, dataset: Make) -> None:
        whole, config = joined(dataset("street", ["road", "car"])), TrainConfig.parse({"data": ["a"]})
        for key, head in (("segmentor.head.project.weight", "auto"), ("segmentor.head.rows.weight", "text")):
            assert settled_head(config, whole, {"state_dict": {key: torch.zeros(1)}}).model.head == head

    def test_of_the_method_elsewhere(self, dataset: Make) -> None:
        street = dataset("street", ["road", "car"])
        assert self.head(joined(street, dataset("rooms", ["bed", "wall"]))) == "auto"
        assert self.head(joined(dataset("silent", ["road", "car", "sky"], labelled=["road", "car"]))) == "auto"
