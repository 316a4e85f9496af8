from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgeseg import pixels
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.images import read_image
from bridgeseg.report import draw
from bridgeseg.runtime import tiling
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.tiling import ALIGN, FADE, MARGIN, OVERLAP, SMALLEST, Tiles, half, plan, segment, spans
from conftest import RGB_CLASSES

SIZES = [(1, 1), (1, 2000), (2000, 1), (300, 301), (700, 290), (513, 640), (257, 1031)]


def convolutions(path: Path, logits: bool) -> Path:
    """Write two 3x3 convolutions with small integer weights: each pixel sees two pixels far, sums are exact."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).integers(-1, 2, (2, 3, 3, 3, 3)).astype(np.float32)
    floats = ["batch", "height", "width"]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=types.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w0"], ["middle"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["middle", "w1"], ["logits"], pads=[1, 1, 1, 1]),
        helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["classes"], to=types.UINT8),
    ]
    outputs = [helper.make_tensor_value_info("classes", types.UINT8, floats)]
    outputs += [helper.make_tensor_value_info("logits", types.FLOAT, ["batch", 3, *floats[1:]])] if logits else []
    inputs = [helper.make_tensor_value_info("image", types.UINT8, [*floats, 3])]
    constants = [onnx.numpy_helper.from_array(weights[index], f"w{index}") for index in range(2)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entries = {"bridgeseg.format": "1", "bridgeseg.classes": json.dumps(RGB_CLASSES.to_dict())}
    helper.set_model_props(model, entries)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["logits", "classes only"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    return Model.load(convolutions(path, request.param), threads=1)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 8, (height, width, 3), np.uint8)


class Blocks:
    """A runtime with a grid: all pixels of a block of 32x32, counted from the tile's corner, get the block's class."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def classes(self, batch: np.ndarray, /) -> np.ndarray:
        self.shapes.append(batch.shape)
        corners = batch[:, ::ALIGN, ::ALIGN, 0] % 3
        blocks = corners.repeat(ALIGN, axis=1).repeat(ALIGN, axis=2)
        return blocks[:, : batch.shape[1], : batch.shape[2]].astype(np.uint8)

    def logits(self, batch: np.ndarray, /) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self.classes(batch)].transpose(0, 3, 1, 2)


class Sides:
    """A runtime that sees the whole tile: what it says of class 0 depends on whether the tile begins at the left."""

    def __init__(self, left: float, right: float) -> None:
        self.left, self.right = left, right

    def classes(self, batch: np.ndarray, /) -> np.ndarray:
        return self.logits(batch).argmax(axis=1).astype(np.uint8)

    def logits(self, batch: np.ndarray, /) -> np.ndarray:
        logits = np.zeros((1, 2, *batch.shape[1:3]), np.float32)
        logits[:, 0] = self.left if batch[0, 0, 0, 0] else self.right
        return logits


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 20_000), st.integers(SMALLEST // ALIGN, 60), st.sampled_from([FADE, tiling.NARROW]))
def test_spans_cover_the_length_on_the_grid(length: int, tile: int, fade: int) -> None:
    found = spans(length, tile * ALIGN, fade)
    assert (found[0].start, found[-1].stop) == (0, length)
    assert (found[0].fade_in, found[-1].fade_out) == ((0, 0), (length, length))
    for span in found:
        assert span.start % ALIGN == 0
        assert span.stop - span.start < tile * ALIGN + ALIGN
        assert span.fade_in[1] <= span.fade_out[0]
    for before, after in pairwise(found):
        assert before.stop - after.start >= OVERLAP
        assert before.fade_out == after.fade_in
        begin, end = after.fade_in
        assert end - begin == fade
        assert begin - after.start >= MARGIN
        assert before.stop - end >= MARGIN


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [256, 288, 416])
def test_result_does_not_depend_on_tiles(network: Model, size: tuple[int, int], tile: int) -> None:
    image = noise(*size)
    whole = network.runtime.classes(image[None])[0]
    tiles = Tiles(min(tile, size[0]), min(tile, size[1]))
    np.testing.assert_array_equal(segment(network.runtime, image, 3, tiles), whole)


@pytest.mark.parametrize("size", SIZES)
def test_grids_of_tiles_coincide_and_no_tile_is_larger_than_planned(size: tuple[int, int]) -> None:
    image, whole, parts = noise(*size), Blocks(), Blocks()
    mask = segment(parts, image, 3, Tiles(256, 256))
    np.testing.assert_array_equal(mask, whole.classes(image[None])[0])
    assert max(max(shape[1:3]) for shape in parts.shapes) < 256 + ALIGN


@pytest.mark.parametrize(("left", "right", "place"), [(1, -1, 0.5), (3, -1, 0.75), (1, -3, 0.25)])
def test_logits_fade_linearly(left: float, right: float, place: float) -> None:
    image = np.zeros((40, 500, 3), np.uint8)
    image[:, 0] = 1
    first, second = spans(500, 320)
    mask = segment(Sides(left, right), image, 2, Tiles(40, 320))
    begin, end = first.fade_out
    turn = round(begin + place * (end - begin))
    assert (mask[:, :turn] == 0).all()
    assert (mask[:, turn:] == 1).all()
    assert second.fade_in == (begin, end)


def test_without_logits_tiles_meet_in_the_middle_of_the_overlap() -> None:
    class ClassesOnly(Sides):
        def classes(self, batch: np.ndarray, /) -> np.ndarray:
            return Sides.logits(self, batch).argmax(axis=1).astype(np.uint8)

        def logits(self, batch: np.ndarray, /) -> np.ndarray:
            raise ModelFileError("no logits")

    image = np.zeros((40, 500, 3), np.uint8)
    image[:, 0] = 1
    mask = segment(ClassesOnly(3, -1), image, 2, Tiles(40, 320))
    first, second = spans(500, 320)
    turn = (first.stop + second.start) // 2
    assert (mask[:, :turn] == 0).all()
    assert (mask[:, turn:] == 1).all()


def test_many_classes_are_uint16() -> None:
    class Many(Blocks):
        def logits(self, batch: np.ndarray, /) -> np.ndarray:
            raise ModelFileError("no logits")

        def classes(self, batch: np.ndarray, /) -> np.ndarray:
            return np.full(batch.shape[:3], 299, np.uint16)

    mask = segment(Many(), noise(300, 300), 300, Tiles(256, 256))
    assert (mask.dtype, np.unique(mask).tolist()) == (np.uint16, [299])


@pytest.mark.parametrize("logits", [True, False])
def test_answers_of_another_size_are_refused(logits: bool) -> None:
    class Wrong(Blocks):
        def logits(self, batch: np.ndarray, /) -> np.ndarray:
            if not logits:
                raise ModelFileError("no logits")
            return np.zeros((1, 3, 5, 5), np.float32)

        def classes(self, batch: np.ndarray, /) -> np.ndarray:
            return np.zeros((1, 5, 5), np.uint8)

    with pytest.raises(ModelFileError, match="5, 5"):
        segment(Wrong(), noise(300, 300), 3, Tiles(256, 256))


def test_it_can_be_ended_between_tiles() -> None:
    runtime, calls = Blocks(), []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(runtime, noise(600, 600), 3, Tiles(256, 256), check)
    assert len(runtime.shapes) == 2


class TestPlan:
    def test_what_fits_is_done_in_one_piece(self) -> None:
        assert plan((1080, 1920), 11, tiling.DEFAULT_MEMORY) is None
        assert plan((10_000, 10_000), 11, 100_000) is None

    @settings(deadline=None, max_examples=200)
    @given(st.integers(1, 60_000), st.integers(1, 60_000), st.integers(1, 300), st.integers(600, 4000))
    def test_tiles_stay_within_half_the_memory(self, height: int, width: int, classes: int, memory: int) -> None:
        tiles = plan((height, width), classes, memory)
        each = tiling.BYTES_PER_PIXEL + tiling.BYTES_PER_CLASS * classes
        if tiles is None:
            assert height * width * each <= memory * 1e6
        else:
            assert tiles.height * tiles.width * each <= memory * 1e6 / 2
            for tile, side in ((tiles.height, height), (tiles.width, width)):
                assert tile == side or (tile >= SMALLEST and tile % ALIGN == 0)

    def test_a_strip_is_cut_across_only(self) -> None:
        tiles = plan((100, 1_000_000), 11, 768)
        assert tiles is not None
        assert tiles.height == 100
        assert tiles.width > 10_000

    def test_seams_are_narrow_where_they_would_be_large(self) -> None:
        few, many = plan((10_000, 10_000), 11, 768), plan((10_000, 10_000), 150, 768)
        assert few is not None
        assert many is not None
        assert (few.fade, many.fade) == (FADE, tiling.NARROW)

    def test_half_of_what_an_image_takes(self) -> None:
        assert half((2000, 2000), 11, 768) == 384  # more than it has: half of the limit
        assert half((1000, 1000), 11, 768) == 166  # 332 MB, half of which makes tiles
        assert plan((1000, 1000), 11, 166) is not None
        assert half((64, 64), 11, 768) is None
        assert half((2000, 2000), 11, 80) is None  # too little for the smallest tile

    def test_too_little_memory_says_how_much_is_enough(self) -> None:
        with pytest.raises(ConfigError, match="too few") as caught:
            plan((2000, 2000), 11, 20)
        least = int(str(caught.value.fix).split("=")[1].strip("`"))
        assert plan((2000, 2000), 11, least) is not None
        with pytest.raises(ConfigError):
            plan((2000, 2000), 11, least - 1)


def test_predict_uses_tiles_beyond_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, image = Blocks(), noise(500, 700)
    model = Model(runtime, ClassSet.build(["a", "b", "c"]), {})  # type: ignore[arg-type]
    whole = model.predict(image).mask
    assert len(runtime.shapes) == 1
    tiled = model.predict(image, memory=40).mask
    assert len(runtime.shapes) > 2
    np.testing.assert_array_equal(tiled, whole)
    with pytest.raises(ConfigError, match="too few"):
        model.predict(image, memory=1)


@pytest.mark.parametrize("stripe", [1, 700, 10_000])
def test_stripes_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stripe: int) -> None:
    generator = np.random.default_rng(1)
    image = generator.integers(0, 256, (61, 40, 3), np.uint8)
    mask = generator.integers(0, 3, (61, 40), np.uint8).repeat(3, axis=0)[:61]
    Image.fromarray(np.dstack([image, mask * 80])).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "p.png")

    def everything() -> list[Any]:
        shown = draw.overlay(image, mask, RGB_CLASSES)
        areas = draw.area_shares(mask.astype(np.uint16), RGB_CLASSES)
        return [np.asarray(shown), areas, read_image(tmp_path / "a.png"), read_image(tmp_path / "p.png")]

    expected = everything()
    monkeypatch.setattr(draw, "STRIPE", stripe)
    monkeypatch.setattr(pixels, "STRIPE", stripe)
    for found, wanted in zip(everything(), expected, strict=True):
        np.testing.assert_equal(found, wanted)
