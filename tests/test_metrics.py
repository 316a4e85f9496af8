"""Scores against torchmetrics and against a NumPy reference written from the definitions, pixel set by pixel set."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.errors import DataError, InputError
from bridgeseg.metrics import Scores

CASES = ["random", "absent class", "predicted only", "all ignored", "one class", "300 classes"]


def case(name: str) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Return (K, ignore index, prediction, truth), both (3, 17, 23)."""
    rng = np.random.default_rng(CASES.index(name))
    count, ignore = {"one class": (1, 255), "300 classes": (300, 65535)}.get(name, (6, 255))
    truth = rng.integers(0, count, (3, 17, 23)).astype(np.uint16)
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, count, truth.shape)).astype(np.uint16)
    if name == "absent class":
        truth[truth == 2] = 1
        prediction[prediction == 2] = 3
    if name == "predicted only":
        truth[truth == 2] = 1
    truth[rng.random(truth.shape) < 0.1] = ignore
    if name in ("random", "300 classes"):
        truth.reshape(-1)[:count] = np.arange(count)  # every class is true somewhere
    if name == "all ignored":
        truth[:] = ignore
    return count, ignore, prediction, truth


def reference(count: int, ignore: int, prediction: np.ndarray, truth: np.ndarray) -> dict[str, object]:
    """Score by sets of pixels; None where a set to divide by is empty."""
    known = truth != ignore
    iou, accuracy = [], []
    for index in range(count):
        true, predicted = known & (truth == index), known & (prediction == index)
        union = int((true | predicted).sum())
        iou.append(int((true & predicted).sum()) / union if union else None)
        accuracy.append(int((true & predicted).sum()) / int(true.sum()) if true.any() else None)
    means = [[value for value in values if value is not None] for values in (iou, accuracy)]
    return {
        "iou": iou,
        "miou": sum(means[0]) / len(means[0]) if means[0] else None,
        "macc": sum(means[1]) / len(means[1]) if means[1] else None,
        "aacc": float((prediction == truth)[known].mean()) if known.any() else None,
    }


def score(count: int, ignore: int, prediction: np.ndarray, truth: np.ndarray) -> Scores:
    counts = ConfusionMatrix(count, ignore)
    counts.update(prediction, truth)
    return Scores.from_confusion(counts, [f"class {index}" for index in range(count)])


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_numpy_reference(name: str) -> None:
    expected = reference(*case(name))
    found = score(*case(name)).to_dict()
    assert list(found["iou"].values()) == pytest.approx(expected["iou"])
    assert {key: found[key] for key in ("miou", "macc", "aacc")} == pytest.approx(
        {key: expected[key] for key in ("miou", "macc", "aacc")}
    )


@pytest.mark.parametrize("name", CASES)
def test_confusion_matrix_equals_torchmetrics(name: str) -> None:
    count, ignore, prediction, truth = case(name)
    arguments = torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)), max(count, 2)
    expected = multiclass_confusion_matrix(*arguments, ignore_index=ignore).numpy()
    assert np.array_equal(score(count, ignore, prediction, truth).confusion, expected[:count, :count])


@pytest.mark.parametrize("name", ["random", "absent class", "predicted only", "300 classes"])
def test_scores_equal_torchmetrics(name: str) -> None:
    count, ignore, prediction, truth = case(name)
    arguments = torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)), count
    found = score(count, ignore, prediction, truth)
    assert found.miou == pytest.approx(float(multiclass_jaccard_index(*arguments, ignore_index=ignore)), abs=1e-6)
    assert found.aacc == pytest.approx(float(multiclass_accuracy(*arguments, "micro", ignore_index=ignore)), abs=1e-6)
    if name != "predicted only":  # torchmetrics counts an accuracy of 0 for a class that is never true
        assert found.macc == pytest.approx(float(multiclass_accuracy(*arguments, ignore_index=ignore)), abs=1e-6)
    each = multiclass_jaccard_index(*arguments, average="none", ignore_index=ignore).tolist()
    for value, theirs in zip(found.iou.values(), each, strict=True):
        assert value is None or value == pytest.approx(theirs, abs=1e-6)


def test_conventions_on_a_worked_example() -> None:
    counts = ConfusionMatrix(4)
    counts.update(np.array([[0, 0, 1, 2, 0]]), np.array([[0, 0, 0, 1, 255]]))
    scores = Scores.from_confusion(counts, ["sky", "road", "car", "tree"])
    assert scores.to_dict() == {
        "images": 1,
        "miou": pytest.approx((2 / 3 + 0 + 0) / 3),  # car is predicted and never true: 0; tree is neither: left out
        "macc": pytest.approx((2 / 3 + 0) / 2),
        "aacc": 0.5,
        "iou": {"sky": pytest.approx(2 / 3), "road": 0.0, "car": 0.0, "tree": None},
    }


def test_nothing_labelled_becomes_json_null() -> None:
    scores = score(*case("all ignored"))
    assert math.isnan(scores.miou)
    assert math.isnan(scores.aacc)
    report = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert report["miou"] is None
    assert report["macc"] is None
    assert report["aacc"] is None
    assert set(report["iou"].values()) == {None}
    assert report["images"] == 3


pixels = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, 3, 4, 255])), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(pixels, st.integers(0, 60))
def test_shards_add_up_exactly(pairs: list[tuple[int, int]], cut: int) -> None:
    prediction, truth = (np.array(values)[None] for values in zip(*pairs, strict=True))
    whole, left, right = (ConfusionMatrix(5) for _ in range(3))
    whole.update(prediction, truth)
    left.update(prediction[:, :cut], truth[:, :cut])
    right.update(prediction[:, cut:], truth[:, cut:])
    assert np.array_equal((left + right).matrix, whole.matrix)
    assert (left + right).images == 2


@settings(max_examples=60, deadline=None)
@given(pixels, st.permutations(range(5)))
def test_renaming_classes_renames_their_scores(pairs: list[tuple[int, int]], order: list[int]) -> None:
    prediction, truth = (np.array(values)[None] for values in zip(*pairs, strict=True))
    table = np.concatenate([order, np.arange(5, 256)])
    plain, renamed = score(5, 255, prediction, truth), score(5, 255, table[prediction], table[truth])
    assert list(plain.iou.values()) == [list(renamed.iou.values())[new] for new in order]
    assert plain.miou == pytest.approx(renamed.miou, nan_ok=True)
    assert plain.aacc == pytest.approx(renamed.aacc, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(pixels, st.integers(0, 254))
def test_ignored_pixels_have_no_say(pairs: list[tuple[int, int]], value: int) -> None:
    prediction, truth = (np.array(values)[None] for values in zip(*pairs, strict=True))
    changed = np.where(truth == 255, value, prediction)
    assert np.array_equal(score(5, 255, changed, truth).confusion, score(5, 255, prediction, truth).confusion)


@settings(max_examples=60, deadline=None)
@given(pixels)
def test_scores_are_fractions_and_truth_scores_one(pairs: list[tuple[int, int]]) -> None:
    prediction, truth = (np.array(values)[None] for values in zip(*pairs, strict=True))
    scores = score(5, 255, prediction, truth)
    for value in (scores.miou, scores.macc, scores.aacc, *scores.iou.values()):
        assert value is None or math.isnan(value) or 0 <= value <= 1
    perfect = score(5, 255, truth, truth)
    if perfect.confusion.any():
        assert (perfect.miou, perfect.macc, perfect.aacc) == (1, 1, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
def test_small_integer_types_do_not_overflow(dtype: type) -> None:
    counts = ConfusionMatrix(200)
    counts.update(np.full((2, 2), 120, dtype), np.full((2, 2), 100, dtype))
    assert counts.matrix[100, 120] == counts.matrix.sum() == 4


def test_tensors_and_batches_count_like_arrays() -> None:
    _, _, prediction, truth = case("random")
    one_by_one, batch = ConfusionMatrix(6), ConfusionMatrix(6)
    for item, mask in zip(prediction, truth, strict=True):
        one_by_one.update(item, mask)
    batch.update(torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    assert np.array_equal(one_by_one.matrix, batch.matrix)
    assert one_by_one.images == batch.images == 3


def test_ids_outside_the_classes_are_refused() -> None:
    counts = ConfusionMatrix(3)
    fine, wrong = np.zeros((2, 2), np.int64), np.array([[0, 3], [-1, 0]])
    with pytest.raises(
        DataError, match=r"m\.png: the mask has ids that are no class: \[-1, 3\] \(allowed: 0\.\.2"
    ) as error:
        counts.update(fine, wrong, where="m.png")
    assert "label_map" in str(error.value)
    with pytest.raises(InputError, match=r"ids were predicted that are no class: \[-1, 3\]"):
        counts.update(wrong, fine)
    with pytest.raises(DataError, match=r"\(2, 2\) and \(2, 3\)"):
        counts.update(fine, np.zeros((2, 3), np.int64))
    with pytest.raises(DataError, match="must be integers, found float64"):
        counts.update(fine.astype(float), fine)
    assert counts.images == 0
    assert not counts.matrix.any()


def test_matrices_and_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="2 classes needs as many distinct names"):
        Scores.from_confusion(np.eye(2, dtype=int), ["sky", "sky"])
    with pytest.raises(InputError, match=r"is \(K, K\), found \(2, 3\)"):
        Scores.from_confusion(np.zeros((2, 3), int), ["sky", "road"])
    with pytest.raises(InputError, match=r"3 classes .* to counts of 2"):
        ConfusionMatrix(2) + ConfusionMatrix(3)
    with pytest.raises(InputError, match="at least 1 class"):
        ConfusionMatrix(0)


def test_table_shows_every_class_and_the_means() -> None:
    counts = ConfusionMatrix(3)
    counts.update(np.array([[0, 0, 0, 1]]), np.array([[0, 0, 1, 1]]))
    text = _printed(Scores.from_confusion(counts, ["sky", "road", "car"]))
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if line.count("│") == 5}
    assert "66.7" in rows["sky"]
    assert "50.0" in rows["road"]
    assert rows["car"].count("–") == 2
    assert "58.3" in rows["mean"]
    assert "mIoU 58.3   mAcc 75.0   aAcc 75.0" in text


def test_names_are_no_markup() -> None:
    counts = ConfusionMatrix(2)
    counts.update(np.array([[0, 1]]), np.array([[0, 1]]))
    text = _printed(Scores.from_confusion(counts, ["road [asphalt]", "[/b] \x1b[31m"]))
    assert "road [asphalt]" in text
    assert "\x1b" not in text
    assert r"\x1b[31m" in text


def _printed(scores: Scores) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(scores.table())
    return capture.get()
