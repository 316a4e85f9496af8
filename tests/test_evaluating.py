"""Modes of prediction and the evaluation loop, with predictors whose answers are known."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgeseg.api import evaluate
from bridgeseg.classes import ClassSet
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError, ModelFileError
from bridgeseg.evaluating import answers as answers_module
from bridgeseg.evaluating import modes
from bridgeseg.evaluating.evaluate import count_split, evaluate_split
from bridgeseg.evaluating.matching import match
from bridgeseg.evaluating.modes import MULTISCALE, EvalMode
from bridgeseg.evaluating.predictors import Predictor, as_model
from bridgeseg.reading.pipeline import DEPTH
from bridgeseg.report import progress
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.windows import sliding
from conftest import RGB_CLASSES

NAMES = ["red", "green", "blue"]
SIZES = [(7, 9), (12, 5), (8, 8), (6, 11), (5, 5)]


class Channels:
    """Class = strongest channel; logits = the channels. Sees each pixel alone."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        return images.transpose(0, 3, 1, 2).astype(np.float32)


class Context:
    """Logits that depend on the whole input: on the mean colour, and on how far left and up a pixel is."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        logits = images.transpose(0, 3, 1, 2).astype(np.float32) / 64
        logits += images.mean(axis=(1, 2))[:, :, None, None].astype(np.float32) / 32
        logits[:, 0] += np.arange(images.shape[2], dtype=np.float32) / 5
        logits[:, 1] += np.arange(images.shape[1], dtype=np.float32)[:, None] / 5
        return logits


class ClassesOnly:
    def classes(self, images: np.ndarray) -> np.ndarray:
        return images.argmax(axis=3).astype(np.uint8)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def predict_classes(predictor: Predictor, image: np.ndarray, mode: EvalMode | None = None, **options: Any) -> Any:
    return modes.predict_classes(as_model(predictor, RGB_CLASSES), image, mode, **options)


def predict_logits(predictor: Predictor, image: np.ndarray, window: tuple[int, int] | None = None) -> Any:
    return as_model(predictor, RGB_CLASSES).logits(image, window=window)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def write_data(root: Path, names: list[str] = NAMES, sizes: list[tuple[int, int]] = SIZES) -> DataSpec:
    """Write pictures whose strongest channel is mostly their class; the first row of every mask is ignored."""
    for folder in ("images/val", "masks/val"):
        (root / folder).mkdir(parents=True)
    for index, (height, width) in enumerate(sizes):
        image = photo(height, width, seed=index)
        mask = image.argmax(axis=2).astype(np.uint8)
        mask[0] = 255
        mask[1] = index % 3  # some of these are errors
        Image.fromarray(image).save(root / f"images/val/{index}.png")
        Image.fromarray(mask).save(root / f"masks/val/{index}.png")
    (root / "data.yaml").write_text(json.dumps({"path": ".", "val": "images/val", "names": names}))
    return DataSpec.load(root / "data.yaml")


@pytest.fixture
def spec(tmp_path: Path) -> DataSpec:
    return write_data(tmp_path / "data")


def reference(spec: DataSpec) -> np.ndarray:
    """Count, pixel by pixel, what `Channels` makes of the pictures."""
    matrix = np.zeros((3, 3), int)
    for sample in spec.samples("val"):
        prediction = np.array(Image.open(sample.image)).argmax(axis=2)
        for true, predicted in zip(np.array(Image.open(sample.mask)).flat, prediction.flat, strict=True):
            if true != 255:
                matrix[true, predicted] += 1
    return matrix


# Modes


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
def test_slide_is_whole_on_pictures_of_one_window(height: int, width: int, more_rows: int, more_columns: int) -> None:
    image, window = photo(height, width), (height + more_rows, width + more_columns)
    assert np.array_equal(predict_logits(Context(), image, window), predict_logits(Context(), image))
    sliding = predict_classes(Context(), image, EvalMode(window))
    assert np.array_equal(sliding, predict_classes(Context(), image))


@settings(max_examples=60, deadline=None)
@given(*(st.integers(1, 40) for _ in range(4)))
def test_windows_cover_the_picture_two_thirds_apart(height: int, width: int, rows: int, columns: int) -> None:
    hits = np.zeros((height, width), int)
    down, across = sliding(height, rows), sliding(width, columns)
    places = [(slice(row.begin, row.end), slice(column.begin, column.end)) for row in down for column in across]
    for place in places:
        assert hits[place].shape == (min(rows, height), min(columns, width))
        hits[place] += 1
    assert hits.min() >= 1
    for length, window, axis in ((height, rows, 0), (width, columns, 1)):
        starts = sorted({place[axis].start for place in places})
        steps = [after - before for before, after in itertools.pairwise(starts)]
        stride = max(1, window * 2 // 3)
        assert all(step == stride for step in steps[:-1])
        assert all(1 <= step <= stride for step in steps[-1:])
        assert starts[-1] == max(0, length - window)


def test_slide_averages_logits_where_windows_overlap() -> None:
    image = photo(13, 17)
    expected = np.zeros((3, 13, 17))
    for row, column in itertools.product(range(13), range(17)):
        over = [
            Context().logits(image[None, top : top + 6, left : left + 9])[0, :, row - top, column - left]
            for top, left in itertools.product((0, 4, 7), (0, 6, 8))
            if top <= row < top + 6 and left <= column < left + 9
        ]
        expected[:, row, column] = np.mean(over, axis=0)
    np.testing.assert_allclose(predict_logits(Context(), image, (6, 9)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "mode", [EvalMode((5, 4)), EvalMode((3, 50)), EvalMode(flip=True), EvalMode((4, 4), flip=True)]
)
def test_views_of_a_pixelwise_network_change_nothing(mode: EvalMode) -> None:
    image = photo(11, 14)
    assert np.array_equal(predict_classes(Channels(), image, mode), predict_classes(Channels(), image))


def test_flip_averages_probabilities_of_both_pictures() -> None:
    image = photo(9, 12)
    plain = softmax(Context().logits(image[None])[0])
    mirrored = softmax(Context().logits(image[None, :, ::-1])[0])[:, :, ::-1]
    found = predict_classes(Context(), image, EvalMode(flip=True))
    assert np.array_equal(found, (plain + mirrored).argmax(axis=0))
    assert not np.array_equal(found, plain.argmax(axis=0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_flip_gives_mirrored_answers_for_mirrored_pictures(height: int, width: int, slide: bool) -> None:
    image, mode = photo(height, width), EvalMode((7, 7) if slide else None, flip=True)
    if slide and max(height, width) > 7:  # windows start from the left, so only one window is symmetric
        image = image[:7, :7]
    mirrored = predict_classes(Context(), np.ascontiguousarray(image[:, ::-1]), mode)
    assert np.array_equal(predict_classes(Context(), image, mode), mirrored[:, ::-1])


def test_scales_average_probabilities_at_native_size() -> None:
    image = photo(10, 14)
    halved = np.asarray(Image.fromarray(image).resize((7, 5), Image.Resampling.BILINEAR))
    enlarged = np.stack(
        [
            np.asarray(Image.fromarray(channel).resize((14, 10), Image.Resampling.BILINEAR))
            for channel in Context().logits(halved[None])[0]
        ]
    )
    expected = (softmax(Context().logits(image[None])[0]) + softmax(enlarged)).argmax(axis=0)
    assert np.array_equal(predict_classes(Context(), image, EvalMode(scales=(1.0, 0.5))), expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 15), st.integers(1, 15), st.sampled_from([0.1, 0.5, 1.7]), st.booleans())
def test_every_mode_gives_the_native_size(height: int, width: int, scale: float, flip: bool) -> None:
    mode = EvalMode((4, 6), (1.0, scale), flip)
    assert predict_classes(Context(), photo(height, width), mode).shape == (height, width)


def test_names_of_modes() -> None:
    assert EvalMode.named() == EvalMode()
    assert EvalMode.named("slide", 8) == EvalMode((8, 8))
    assert EvalMode.named("slide", [8, 9], [0.5, 2], True) == EvalMode((8, 9), (0.5, 2.0), True)
    assert EvalMode.named("multiscale") == EvalMode(None, MULTISCALE, True)
    assert EvalMode.named("multiscale", scales=(1.0,)) == EvalMode(None, (1.0,), True)
    assert EvalMode.named("multiscale", (4, 4), (0.5,)) == EvalMode((4, 4), (0.5,), True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slid", (4, 4)), "did you mean 'slide'"),
        (("slide",), "sliding windows need a size"),
        (("whole", (4, 4)), "goes with sliding windows"),
        (("slide", (0, 4)), r"at least 1 pixel each, found \(0, 4\)"),
        (("slide", (4,)), r"found \(4,\)"),
        (("slide", ("a", "b")), "found"),
        (("whole", None, ()), "numbers from 0.01 to 16"),
        (("whole", None, (1.0, 0.0)), "numbers from 0.01 to 16"),
        (("whole", None, (float("nan"),)), "numbers from 0.01 to 16"),
    ],
)
def test_impossible_modes_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalMode.named(*arguments)


@pytest.mark.parametrize("mode", [EvalMode((4, 4)), EvalMode(scales=(0.5, 1.0)), EvalMode(flip=True)])
def test_a_model_without_logits_serves_whole_mode_only(mode: EvalMode) -> None:
    image = photo(6, 6)
    assert np.array_equal(predict_classes(ClassesOnly(), image), image.argmax(axis=2))
    with pytest.raises(ModelFileError, match="bridgeseg export --logits"):
        predict_classes(ClassesOnly(), image, mode)


def test_an_answer_of_another_size_is_refused() -> None:
    class Small:
        def classes(self, images: np.ndarray) -> np.ndarray:
            return images[:, ::4, ::4, 0] % 3

    with pytest.raises(ModelFileError, match=r"class ids of shape \[1, 2, 2\] for an image of \[1, 8, 8\]"):
        predict_classes(Small(), photo(8, 8))


# The loop over a split


def test_scores_of_a_split_at_native_size(spec: DataSpec) -> None:
    scores = evaluate_split(Channels(), spec.samples("val"), spec, progress=False)
    assert np.array_equal(scores.confusion, reference(spec))
    assert scores.images == len(SIZES)
    assert list(scores.iou) == NAMES
    assert 0 < scores.miou < 1


def test_uneven_shards_add_up_exactly(spec: DataSpec) -> None:
    samples = spec.samples("val")
    shards = [count_split(Channels(), samples[rank::3], spec, progress=False) for rank in range(3)]
    total = shards[0] + shards[1] + shards[2]
    assert np.array_equal(total.matrix, reference(spec))
    assert total.images == len(samples)


def test_the_mode_reaches_the_network(spec: DataSpec) -> None:
    seen = []

    class Watched(Channels):
        def logits(self, images: np.ndarray) -> np.ndarray:
            seen.append(images.shape[1:3])
            return super().logits(images)

    evaluate_split(Watched(), spec.samples("val")[:1], spec, mode=EvalMode((4, 9)), progress=False)
    assert seen == [(4, 9)] * 3


def test_each_image_is_handed_on_in_order_and_read_only_a_little_ahead(
    spec: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = spec.samples("val") * 4
    reads: list[Any] = []
    ahead: list[int] = []
    handed: list[Any] = []
    read_image = answers_module.read_image

    def note(path: Path, *how: Any, **options: Any) -> Any:
        reads.append(path)
        return read_image(path, *how, **options)

    def on_image(sample: Any, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
        ahead.append(len(reads) - len(handed))
        handed.append(sample)
        assert image.shape[:2] == truth.shape == prediction.shape
        assert np.array_equal(prediction, image.argmax(axis=2))

    monkeypatch.setattr(answers_module, "read_image", note)
    evaluate_split(Channels(), samples, spec, progress=False, on_image=on_image)
    assert handed == samples
    assert len(reads) == len(samples)
    assert max(ahead) <= DEPTH + 2


def test_the_bar_tells_the_score_so_far(spec: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Bar:
        def __init__(self, title: str, total: int, *, show: bool, note: Any) -> None:
            told.append((title, total, show))
            self.note = note

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            told.append(self.note())

        def advance(self) -> None:
            told.append(1)

    monkeypatch.setattr(progress, "ProgressBar", Bar)
    scores = evaluate_split(Channels(), spec.samples("val"), spec)
    assert told == [("evaluate", 5, True), 1, 1, 1, 1, 1, f"mIoU {scores.miou:.3f}"]


def test_an_unreadable_file_is_named_and_no_thread_is_left(spec: DataSpec) -> None:
    class Failing:
        def classes(self, images: np.ndarray) -> np.ndarray:
            raise ModelFileError("out of order")

    samples = spec.samples("val")
    with pytest.raises(ModelFileError, match="out of order") as kept:
        evaluate_split(Failing(), samples, spec, progress=False)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bridgeseg-")], kept
    samples[2].image.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2\.png"):
        evaluate_split(Channels(), samples, spec, progress=False)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bridgeseg-")]


def test_nothing_to_score_is_an_error(spec: DataSpec) -> None:
    samples = spec.samples("val")
    with pytest.raises(DataError, match="no samples"):
        evaluate_split(Channels(), [], spec, progress=False)
    for sample in samples:
        Image.fromarray(np.full_like(np.array(Image.open(sample.mask)), 255)).save(sample.mask)
    with pytest.raises(DataError, match="all pixels of the 5 masks are ignored"):
        evaluate_split(Channels(), samples, spec, progress=False)


# Memory


def test_an_image_is_scored_as_it_is_predicted(tmp_path: Path) -> None:
    spec = write_data(tmp_path / "data", sizes=[(400, 700)])
    sizes: list[tuple[int, ...]] = []

    class Watched(Context):
        def logits(self, images: np.ndarray) -> np.ndarray:
            sizes.append(images.shape[1:3])
            return super().logits(images)

    image, found = Image.open(spec.samples("val")[0].image), []
    model = Model(as_model(Watched(), spec.classes).runtime, spec.classes, {})
    evaluate_split(
        model, spec.samples("val"), spec, memory=32, progress=False, on_image=lambda *args: found.append(args[3])
    )
    assert len(sizes) > 2
    assert np.prod(sizes, axis=1).max() < 700 * 400 / 2
    np.testing.assert_array_equal(found[0], model.predict(image, memory=32).mask)
    with pytest.raises(ConfigError, match="too few"):
        evaluate(model, spec, memory=1, quiet=True)


def test_views_of_several_scales_keep_to_the_memory_too() -> None:
    sizes: list[tuple[int, ...]] = []

    class Watched(Channels):
        def logits(self, images: np.ndarray) -> np.ndarray:
            sizes.append(images.shape[1:3])
            return super().logits(images)

    image = photo(300, 600)
    found = predict_classes(Watched(), image, EvalMode(scales=(1.0, 2.0)), memory=32)
    assert np.prod(sizes, axis=1).max() < 300 * 600
    np.testing.assert_array_equal(found, predict_classes(Channels(), image, EvalMode(scales=(1.0, 2.0)), memory=10_000))


@pytest.mark.parametrize(("mode", "fix"), [(None, "scale the images"), (EvalMode(flip=True), "`mode=whole`")])
def test_too_little_memory_says_what_can_be_done(spec: DataSpec, mode: EvalMode | None, fix: str) -> None:
    class Hungry:
        def logits(self, images: np.ndarray) -> np.ndarray:
            raise MemoryError

    with pytest.raises(InputError, match=r"0\.png: an image of 9x7 needs more memory") as caught:
        evaluate_split(Hungry(), spec.samples("val"), spec, mode=mode, progress=False)
    assert fix in str(caught.value.fix)


# Models and files


def test_an_onnx_file_scores_like_its_rule(spec: DataSpec, rgb_onnx: Path) -> None:
    scores = evaluate(rgb_onnx, spec.path, threads=1, quiet=True)
    assert np.array_equal(scores.confusion, reference(spec))
    whole = evaluate(rgb_onnx, spec, mode="slide", window=(4, 5), flip=True, threads=1, quiet=True)
    assert np.array_equal(whole.confusion, scores.confusion)


def test_an_onnx_file_without_logits_names_the_export_option(spec: DataSpec, make_onnx: Any) -> None:
    path = make_onnx()
    assert evaluate(path, spec, threads=1, quiet=True).images == len(SIZES)
    with pytest.raises(ModelFileError, match="--logits"):
        evaluate(path, spec, mode="multiscale", threads=1, quiet=True)


def test_the_window_of_a_file_of_one_size_is_that_size(spec: DataSpec) -> None:
    class Sized(Channels):
        size = (3, 4)

        def logits(self, images: np.ndarray) -> np.ndarray:
            assert images.shape[1:3] == self.size
            return super().logits(images)

    model = Model(Sized(), spec.classes, {"image_size": [5, 5]})
    slid = evaluate(model, spec, mode="slide", quiet=True)
    assert np.array_equal(slid.confusion, reference(spec))
    assert evaluate(model, spec, mode="multiscale", scales=[1.0], quiet=True).images == len(SIZES)


def test_the_default_window_is_the_size_the_model_was_trained_at(spec: DataSpec) -> None:
    seen = set()

    class Watched(Channels):
        def logits(self, images: np.ndarray) -> np.ndarray:
            seen.add(images.shape[1:3])
            return super().logits(images)

    evaluate(Model(Watched(), spec.classes, {"image_size": [5, 5]}), spec, mode="slide", quiet=True)
    assert seen == {(5, 5)}
    for size in (None, [5], "5x5", 5):
        with pytest.raises(ConfigError, match="sliding windows need a size"):
            evaluate(Model(Channels(), spec.classes, {"image_size": size}), spec, mode="slide", quiet=True)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["red", "green"], "3 classes and the data 2, and they differ; only in the model: 'blue'"),
        (["red", "green", "sky"], "only in the data: 'sky'; only in the model: 'blue'"),
        (["green", "red", "blue"], "another order: class 0 is 'red' in the model, 'green' in the data, 1 is 'green'"),
    ],
)
def test_models_of_other_classes_are_refused(tmp_path: Path, rgb_onnx: Path, names: list[str], message: str) -> None:
    spec = write_data(tmp_path / "data", names, sizes=[])
    with pytest.raises(DataError, match=message) as error:
        evaluate(rgb_onnx, spec, threads=1, quiet=True)
    assert "in their order: 'red', 'green', 'blue'" in str(error.value)


def test_a_checkpoint_folder_scores_like_its_network(spec: DataSpec, tmp_path: Path) -> None:
    from bridgeseg.checkpoint import Checkpoint, save_checkpoint
    from bridgeseg.models.build import build
    from bridgeseg.runtime.torch_runtime import TorchRuntime
    from bridgeseg.settings.model import ModelConfig

    config = ModelConfig(method="none", backbone="test_efficientnet", width=8)
    network = build(config, 3).eval()
    folder = save_checkpoint(tmp_path / "run" / "best", Checkpoint(network, config, spec.classes))
    scores = evaluate(folder.parent, spec, quiet=True)
    same = evaluate_split(TorchRuntime(network), spec.samples("val"), spec, progress=False)
    assert np.array_equal(scores.confusion, same.confusion)


@pytest.mark.slow
def test_out_holds_scores_and_pictures(spec: DataSpec, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    scores = evaluate(as_model(Channels(), spec.classes), spec, out=out, quiet=True)
    assert json.loads((out / "scores.json").read_text()) == scores.to_dict()
    assert sorted(path.name for path in out.iterdir()) == ["confusion.png", "iou.png", "pictures.png", "scores.json"]
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()


def test_an_impossible_out_is_refused_before_the_work(spec: DataSpec, tmp_path: Path) -> None:
    class Untouched:
        def classes(self, images: np.ndarray) -> np.ndarray:
            raise AssertionError("the network was run")

    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="the folder cannot be made"):
        evaluate(Model(Untouched(), spec.classes, {}), spec, out=tmp_path / "file", quiet=True)
    with pytest.raises(ConfigError, match="no dataset"):
        evaluate(Model(Untouched(), spec.classes, {}))
    with pytest.raises(DataError, match="no split 'test'"):
        evaluate(Model(Untouched(), spec.classes, {}), spec, split="test", quiet=True)


@pytest.mark.slow
def test_data_that_does_not_label_all_is_scored_on_what_it_labels(tmp_path: Path) -> None:
    """The model knows sky, car and tree; the data labels cars, in one image trees as well."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in "ab":
        Image.new("RGB", (4, 1)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(np.array([[0, 1, 1, 2]], np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "sets.csv").write_text("image,labelled\nimages/b.png,car;tree\n")
    text = (
        "path: .\nval: images\nmasks_dir: masks\nnames: [rest, car, tree]\nlabelled: [car]\nlabelled_file: sets.csv\n"
    )

    class Network:
        def classes(self, images: Any) -> Any:
            return np.array([[[1, 1, 0, 2]]])

    model = as_model(Network(), ClassSet.build(["sky", "car", "tree"]))
    for rest, expected in (
        ("other", [[1 + 1, 0, 1 + 1], [0, 1, 0], [1 + 1, 0, 1]]),
        ("ignore", [[1 + 1, 0, 1 + 1], [0, 1, 0], [0, 0, 0]]),
    ):
        (tmp_path / "data.yaml").write_text(f"{text}unlabelled: {rest}\n")
        scores = evaluate(model, tmp_path / "data.yaml", quiet=True, out=tmp_path / rest)
        assert scores.confusion.tolist() == expected
        assert list(scores.iou) == ["car", "tree"]
        assert scores.iou["tree"] == 1
    (tmp_path / "data.yaml").write_text(text.replace("names: [rest", "names: [bus").replace("[car]", "[bus]"))
    with pytest.raises(DataError, match="labels 'bus', which the model does not know"):
        evaluate(model, tmp_path / "data.yaml", quiet=True)


def write_row(folder: Path, mask: list[int]) -> None:
    """Write a black image of one row, and its mask."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    Image.new("RGB", (len(mask), 1)).save(folder / "images" / "a.png")
    Image.fromarray(np.array([mask], np.uint8)).save(folder / "masks" / "a.png")


def test_parts_and_same_of_partial_data_count_as_in_a_validation(tmp_path: Path) -> None:
    """The model knows parts of a vehicle and calls a road a street; the data labels vehicles, roads and one part."""
    write_row(tmp_path, [0, 0, 1, 1, 2])
    text = "val: images\nnames: [vehicle, road, car]\nparts: {vehicle: [car, bus, truck]}\nsame: [[street, road]]\n"
    (tmp_path / "data.yaml").write_text(f"{text}labelled: [vehicle, road, car]\n")

    class Network:
        def classes(self, images: Any) -> Any:
            return np.array([[[0, 1, 2, 3, 1]]])  # car and bus on a vehicle, street and tree on a road, bus on a car

    model = as_model(Network(), ClassSet.build(["car", "bus", "street", "tree"]))
    scores = evaluate(model, tmp_path / "data.yaml", quiet=True)
    assert scores.confusion.tolist() == [[2, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert list(scores.iou) == ["vehicle", "road", "car"]
    (tmp_path / "data.yaml").write_text(f"{text.replace('truck', 'bed').replace('[car,', '[wall,')}labelled: [car]\n")
    model = as_model(Network(), ClassSet.build(["rail", "bus", "street", "tree"]))
    with pytest.raises(DataError, match=r"labels 'car', which .*\n  fix: .*`names=rail, bus, street, tree, car`"):
        evaluate(model, tmp_path / "data.yaml", quiet=True)


class Asked:
    """A model that takes names: its ids are those of four pixels, whatever they mean."""

    def __init__(self, *ids: int) -> None:
        self.ids = ids

    def classes(self, images: Any) -> Any:
        return np.array([[self.ids]])


@pytest.mark.parametrize("unlabelled", ["ignore", "other"])
def test_partial_data_is_asked_for_some_of_its_names(tmp_path: Path, unlabelled: str) -> None:
    write_row(tmp_path, [0, 1, 2, 3])
    text = "val: images\nnames: [Road, car, sky, rest]\nlabelled: [Road, car, sky]\n"
    (tmp_path / "data.yaml").write_text(f"{text}unlabelled: {unlabelled}\n")
    classes = ClassSet.build(["road", "sky", "cow"])
    found = match(as_model(Asked(0, 0, 2, 0), classes), DataSpec.load(tmp_path), list(classes.names))
    assert (found.left.unlabelled, found.left.ignored) == (("cow",), ("car",))  # type: ignore[union-attr]
    scores = evaluate_split(found.model, found.spec.samples("val"), found.spec, progress=False)
    assert list(scores.iou) == ["Road", "sky"]
    wrong = int(unlabelled == "other")
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 0, 1], [wrong, 0, 0]]
    with pytest.raises(DataError, match="none of the names asked for is labelled"):
        match(as_model(Asked(), ClassSet.build(["cow"])), DataSpec.load(tmp_path), ["cow"])


def test_names_asked_for_may_be_the_others_of_the_data(tmp_path: Path) -> None:
    write_row(tmp_path, [0, 1, 2, 1])
    (tmp_path / "data.yaml").write_text("val: images\nnames: [road, pedestrian, sky]\nsame: [[pedestrian, person]]\n")
    classes = ClassSet.build(["road", "person", "car"])
    found = match(as_model(Asked(0, 1, 2, 0), classes), DataSpec.load(tmp_path), list(classes.names))
    assert (found.left.unlabelled, found.left.ignored) == (("car",), ("sky",))  # type: ignore[union-attr]
    scores = evaluate_split(found.model, found.spec.samples("val"), found.spec, progress=False)
    assert scores.iou == {"road": 0.5, "pedestrian": 0.5}  # called as in the data


def test_parts_and_same_of_complete_data_count_too(tmp_path: Path) -> None:
    """The model was trained on data with other words; what this data calls a vehicle is a car or a bus there."""
    write_row(tmp_path, [0, 0, 1, 1, 2])
    text = "val: images\nnames: [vehicle, road, sky]\nsame: [[street, road]]\n"
    (tmp_path / "data.yaml").write_text(f"{text}parts: {{vehicle: [car, bus]}}\n")

    class Network:
        def classes(self, images: Any) -> Any:
            return np.array([[[0, 1, 2, 3, 4]]])  # car and bus on a vehicle, street and tree on a road, sky on the sky

    model = as_model(Network(), ClassSet.build(["car", "bus", "street", "tree", "sky"]))
    scores = evaluate(model, tmp_path / "data.yaml", quiet=True)
    assert scores.iou == {"vehicle": 1.0, "road": 0.5, "sky": 1.0}
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match="only in the data: 'vehicle', 'road'"):
        evaluate(model, tmp_path / "data.yaml", quiet=True)
