"""What images in memory are taken for, and what is said of values that were dropped or reinterpreted."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import bridgeseg
from bridgeseg.errors import ConfigError, DataError, InputError, MissingDependencyError
from bridgeseg.images import Note, Reading, as_pixels, read_image
from bridgeseg.pixels import AS_STORED
from bridgeseg.runtime.model import Model

CONTIG: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
GREY = np.array([[0, 1000, 4095]], np.uint16)


def read(path: Path, how: Reading = AS_STORED) -> tuple[list[int], list[Note]]:
    notes: list[Note] = []
    return read_image(path, how=how, notes=notes)[0, :, 0].tolist(), notes


def save_deep(path: Path, values: np.ndarray) -> None:
    """Write uint16 (H, W, 3) as a PNG of 16 bits a channel, which Pillow reads and cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"):
        content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(content)


def kinds(path: Path, how: Reading = AS_STORED) -> list[str]:
    return [note.code for note in read(path, how)[1]]


class TestRange:
    @pytest.mark.parametrize(("top", "white"), [(1023, 1023), (4095, 4095), (2500, 4095), (16383, 16383)])
    def test_few_bits_in_sixteen_are_noticed_and_the_fix_works(self, tmp_path: Path, top: int, white: int) -> None:
        Image.fromarray(np.array([[0, top // 2, top]], np.uint16)).save(tmp_path / "a.png")
        values, (note,) = read(tmp_path / "a.png")
        assert values[2] <= 64
        assert note.code == "range"
        assert f"no value above {white}" in note.message
        assert f"`image_range: {white}`" in note.fix
        values, notes = read(tmp_path / "a.png", Reading.of(white))
        assert values[2] == round(top / white * 255)
        assert notes == []

    @pytest.mark.parametrize("values", [[0, 0], [0, 65535], [0, 200]])
    def test_other_values_are_not(self, tmp_path: Path, values: list[int]) -> None:
        Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "a.png")
        assert kinds(tmp_path / "a.png") == []

    def test_colour_of_sixteen_bits(self, tmp_path: Path) -> None:
        save_deep(tmp_path / "dark.png", np.full((2, 2, 3), 4000, np.uint16))
        save_deep(tmp_path / "bright.png", np.full((2, 2, 3), 60_000, np.uint16))
        assert kinds(tmp_path / "dark.png") == ["range"]
        assert kinds(tmp_path / "bright.png") == []

    def test_values_outside_are_cut_and_said(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 100, 150, 300]], np.uint16)).save(tmp_path / "a.png")
        values, (note,) = read(tmp_path / "a.png", Reading.of((100, 200)))
        assert values == [0, 0, 128, 255]
        assert "50.0% of its values lie outside of 100..200" in note.message

    def test_floats(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 100, np.nan, 200]], np.float32)).save(tmp_path / "a.tif")
        Image.fromarray(np.array([[-5, 100]], np.float32)).save(tmp_path / "b.tif")
        with pytest.raises(DataError, match=r"`image_range: \[-5, 100\]`"):
            read(tmp_path / "b.tif")
        assert read(tmp_path / "b.tif", Reading.of((-5, 100)))[0] == [0, 255]
        assert read(tmp_path / "a.tif", Reading.of(200))[0] == [0, 128, 0, 255]
        Image.fromarray(np.array([[0, 255]], np.float32)).save(tmp_path / "c.tif")
        with pytest.raises(DataError, match="`image_range: 255`"):
            read(tmp_path / "c.tif")

    @pytest.mark.parametrize("bands", [1, 4])
    def test_what_is_no_number_is_counted_and_has_no_part_in_the_range(self, tmp_path: Path, bands: int) -> None:
        values = np.repeat(np.array([[[-5], [np.nan], [np.inf], [100]]], np.float32), bands, axis=2)
        if bands == 1:
            Image.fromarray(values[..., 0]).save(tmp_path / "a.tif")
        else:
            pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", values, **CONTIG)
        with pytest.raises(DataError, match=r"found -5\.\.100") as caught:
            read(tmp_path / "a.tif")
        assert "`image_range: [-5, 100]`" in str(caught.value.fix)
        found, notes = read(tmp_path / "a.tif", Reading.of((-5, 100)))
        assert found == [0, 0, 255, 255]
        assert "25.0% of its values are NaN" in notes[-1].message
        assert "25.0% of its values lie outside" in notes[-2].message

    def test_images_of_eight_bits_have_none(self, tmp_path: Path) -> None:
        Image.new("L", (2, 1), 77).save(tmp_path / "a.png")
        assert read(tmp_path / "a.png", Reading.of(4095)) == ([77, 77], [])

    @pytest.mark.parametrize("wrong", ["4095", (5, 5), (1, 2, 3), 0, float("nan"), (0, float("inf"))])
    def test_ranges_that_are_none(self, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="black and of white"):
            Reading.of(wrong)


class TestBands:
    def test_alpha_that_is_no_transparency(self, tmp_path: Path) -> None:
        values = np.zeros((1, 4, 4), np.uint8)
        values[0, :, 0], values[0, 2:, 3] = [10, 20, 30, 40], 255
        Image.fromarray(values).save(tmp_path / "a.png")
        read_values, (note,) = read(tmp_path / "a.png")
        assert read_values == [255, 255, 30, 40]
        assert note.code == "alpha"
        assert "50.0% of it is transparent" in note.message
        assert read(tmp_path / "a.png", Reading.of(bands=[0, 1, 2])) == ([10, 20, 30, 40], [])
        assert read(tmp_path / "a.png", Reading.of(bands=[3]))[0] == [0, 0, 255, 255]
        with pytest.raises(DataError, match="there is no band 4, it has 4"):
            read(tmp_path / "a.png", Reading.of(bands=[4]))

    def test_a_cut_out_object_is_transparency(self, tmp_path: Path) -> None:
        values = np.zeros((1, 4, 4), np.uint8)
        values[0, 2:] = 255
        Image.fromarray(values).save(tmp_path / "a.png")
        assert read(tmp_path / "a.png") == ([255] * 4, [])

    def test_grey_images_stay_grey(self, tmp_path: Path) -> None:
        Image.new("LA", (2, 1), (90, 0)).save(tmp_path / "la.png")
        Image.new("L", (2, 1), 90).save(tmp_path / "l.png")
        for name in ("la.png", "l.png"):
            assert read(tmp_path / name, Reading.of(bands=(0, 1, 2))) == ([90, 90], [])

    @pytest.mark.parametrize("wrong", ["012", [0, 1], [0, 1, -1], [0.5], []])
    def test_bands_that_are_none(self, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="numbers of the bands"):
            Reading.of(bands=wrong)


class TestRasters:
    """More than Pillow holds; it is read with the extra `raster`, or the extra is named."""

    @pytest.fixture
    def tifffile(self) -> Any:
        pytest.importorskip("imagecodecs")
        return pytest.importorskip("tifffile")

    def test_more_bands_than_pillow_opens(self, tmp_path: Path, tifffile: Any) -> None:
        values = np.arange(2 * 3 * 6, dtype=np.uint8).reshape(2, 3, 6) * 5
        tifffile.imwrite(tmp_path / "a.tif", values, **CONTIG)
        tifffile.imwrite(
            tmp_path / "b.tif", np.moveaxis(values, 2, 0), photometric="minisblack", planarconfig="separate"
        )
        for name in ("a.tif", "b.tif"):
            notes: list[Note] = []
            np.testing.assert_array_equal(read_image(tmp_path / name, notes=notes), values[..., :3])
            assert [note.message[:7] for note in notes] == ["6 bands"]
            chosen = read_image(tmp_path / name, how=Reading.of(bands=[5, 3, 1]))
            np.testing.assert_array_equal(chosen, values[..., [5, 3, 1]])
            assert read_image(tmp_path / name, how=Reading.of(bands=[4])).tolist() == values[..., [4] * 3].tolist()
            np.testing.assert_array_equal(as_pixels((tmp_path / name).read_bytes()), values[..., :3])
        with pytest.raises(DataError, match="there is no band 6, it has 6"):
            read_image(tmp_path / "a.tif", how=Reading.of(bands=[6]))
        with pytest.raises(DataError, match="more than the limit of 5 pixels"):
            read_image(tmp_path / "a.tif", max_pixels=5)

    @pytest.mark.parametrize("apart", [False, True])
    @pytest.mark.parametrize("tile", [(16, 32), None])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_in_tiles_it_is_the_same(
        self, apart: bool, tile: Any, dtype: Any, tmp_path: Path, tifffile: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridgeseg.rasters.ROWS", 100)
        values = np.random.default_rng(0).integers(0, 256, (45, 70, 5)).astype(dtype)
        planes = np.moveaxis(values, 2, 0) if apart else values
        options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib", "tile": tile, "rowsperstrip": 7}
        planar = "separate" if apart else "contig"
        tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig=planar, **options)
        for bands in ((0, 1, 2), (4, 0, 4)):
            read_well = read_image(tmp_path / "a.tif", how=Reading.of(255, bands))
            np.testing.assert_array_equal(read_well, values[..., list(bands)].astype(np.uint8))
        grey = read_image(tmp_path / "a.tif", how=Reading.of(255, [3]))
        np.testing.assert_array_equal(grey, values[..., [3, 3, 3]].astype(np.uint8))

    def test_memory_is_that_of_the_pixels(self, tmp_path: Path, tifffile: Any) -> None:
        values = np.zeros((1024, 1024, 6), np.uint16)
        values[::7, ::5] = 300
        tifffile.imwrite(tmp_path / "a.tif", values, tile=(128, 128), compression="zlib", **CONTIG)
        del values
        read_image(tmp_path / "a.tif", how=Reading.of(1000))  # what is imported and kept
        tracemalloc.start()
        try:
            pixels = read_image(tmp_path / "a.tif", how=Reading.of(1000))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < pixels.nbytes + 2**21, "the values alone have 12 MB"

    def test_parts_that_are_left_out_of_a_file(self, tmp_path: Path, tifffile: Any) -> None:
        values = np.zeros((32, 32, 5), np.uint8)
        values[:16, :16] = 9
        tiles = iter([values[:16, :16], None, None, None])
        options: dict[str, Any] = {"shape": values.shape, "dtype": values.dtype, "tile": (16, 16), **CONTIG}
        tifffile.imwrite(tmp_path / "a.tif", tiles, compression="zlib", **options)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), values[..., :3])

    def test_a_fourth_band_that_pillow_drops(self, tmp_path: Path, tifffile: Any) -> None:
        values = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
        assert kinds(tmp_path / "a.tif") == ["bands"]
        notes: list[Note] = []
        infrared = read_image(tmp_path / "a.tif", how=Reading.of(bands=[3, 0, 1]), notes=notes)
        np.testing.assert_array_equal(infrared, values[..., [3, 0, 1]])
        assert notes == []

    def test_twelve_bits_of_colour(self, tmp_path: Path, tifffile: Any) -> None:
        values = np.array([[[0, 2048, 4095], [4095, 0, 16]]], np.uint16)
        save_deep(tmp_path / "a.png", values)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", compression="lzw")
        for name in ("a.png", "a.tif"):
            assert kinds(tmp_path / name) == ["range"]
            notes: list[Note] = []
            read_well = read_image(tmp_path / name, how=Reading.of(4095), notes=notes)
            assert (read_well.tolist(), notes) == ([[[0, 128, 255], [255, 0, 1]]], [])

    def test_bands_of_floats_and_of_few_bits(self, tmp_path: Path, tifffile: Any) -> None:
        tifffile.imwrite(tmp_path / "f.tif", np.full((2, 3, 5), 2.5, np.float32), **CONTIG)
        with pytest.raises(DataError, match=r"image_range: 255"):
            read_image(tmp_path / "f.tif")
        assert (read_image(tmp_path / "f.tif", how=Reading.of(5)) == 128).all()
        tifffile.imwrite(tmp_path / "u.tif", np.full((2, 3, 5), 4000, np.uint16), **CONTIG)
        assert kinds(tmp_path / "u.tif") == ["bands", "range"]

    @pytest.mark.parametrize("value", range(1, 9))
    def test_orientation_is_that_of_pillow(self, tmp_path: Path, tifffile: Any, value: int) -> None:
        values = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
        for name, dtype in (("8.tif", np.uint8), ("16.tif", np.uint16)):
            extra = [(274, "H", 1, value, True)]
            tifffile.imwrite(tmp_path / name, values.astype(dtype), photometric="rgb", extratags=extra)
        same = read_image(tmp_path / "16.tif", how=Reading.of(255))
        np.testing.assert_array_equal(same, read_image(tmp_path / "8.tif"))

    def test_without_its_packages(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tifffile", None)
        save_deep(tmp_path / "a.png", np.full((2, 2, 3), 4000, np.uint16))
        with pytest.raises(MissingDependencyError, match=r"a\.png: more bands(.|\n)*bridgeseg\[raster\]"):
            read_image(tmp_path / "a.png", how=Reading.of(4095))
        assert kinds(tmp_path / "a.png") == ["range"], "without the setting it is read as before"

    def test_a_file_without_a_single_pixel(self, tmp_path: Path, tifffile: Any) -> None:
        content = (
            b"SUkqAAgAAAAKAAABBAABAAEAGAAA////fwABAAAAGAAAAAIBAwADAAAAhgAAAAMBAwABAAAAAQAAAAYBAwABAAAAAg"
            b"AAABEBBAABAAAAjAAAABUBAwABAAAAAwAAABYBBAABAAAAGAAAABcBBAABAAAAwAYAABwBAwABAAAAAQAAAAAAAAAI"
            b"AAgACABfgsLZz+sPoyHX2Q=="
        )
        (tmp_path / "a.tif").write_bytes(base64.b64decode(content))
        with pytest.raises(DataError, match="the file says that it has 0x0 pixels"):
            read_image(tmp_path / "a.tif")

    def test_a_file_that_claims_more_than_it_holds(self, tmp_path: Path, tifffile: Any) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 6), np.uint16), **CONTIG)
        content = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(content[:-400])
        with pytest.raises(DataError, match="cut off: it says to hold 768 bytes"):
            read_image(tmp_path / "a.tif")

    @pytest.mark.parametrize("content", [b"II*\0", b"II*\0\x08\0\0\0\0\0", b"MM\0+\0\x08\0\0" + bytes(40)])
    def test_what_begins_like_a_tiff(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tif: "):
            read_image(tmp_path / "a.tif")


class TestPages:
    def test_frames_and_pages_are_said(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
        for name in ("a.gif", "a.tif", "a.webp", "a.png"):
            frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
            assert kinds(tmp_path / name) == ["pages"]
            assert read_image(tmp_path / name)[0, 0, 0] > 250

    def test_smaller_copies_are_no_pages(self, tmp_path: Path) -> None:
        small = Image.new("RGB", (2, 2))
        small.encoderinfo = {"tiffinfo": {254: 1}}
        Image.new("RGB", (4, 4)).save(tmp_path / "a.tif", save_all=True, append_images=[small])
        assert Image.open(tmp_path / "a.tif").n_frames == 2  # type: ignore[attr-defined]
        assert kinds(tmp_path / "a.tif") == []


PIXELS = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)


def encoded(kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, kind)
    return data.getvalue()


class TestInMemory:
    def test_pillow_image_is_not_changed(self) -> None:
        image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
        assert as_pixels(image).tolist() == [[[255] * 3] * 2]
        assert image.mode == "RGBA"

    @pytest.mark.parametrize("array", [np.full((2, 3), 7, np.uint8), np.full((1, 2, 3, 1), 7, np.uint8)])
    def test_greyscale_array(self, array: np.ndarray) -> None:
        assert as_pixels(array).tolist() == np.full((2, 3, 3), 7).tolist()

    def test_whatever_holds_the_same_pixels(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded())
        written = io.BytesIO()
        written.write(encoded())
        opaque = np.dstack([PIXELS, np.full((2, 5), 255, np.uint8)])
        tensor = torch.from_numpy(PIXELS)
        with (tmp_path / "a.png").open("rb") as file:
            same = [encoded(), bytearray(encoded()), io.BytesIO(encoded()), written, file, opaque, PIXELS[None], tensor]
            for image in same:
                np.testing.assert_array_equal(as_pixels(image), PIXELS)

    def test_transparency_of_arrays(self) -> None:
        assert as_pixels(np.zeros((1, 1, 4), np.uint8)).tolist() == [[[255] * 3]]

    @pytest.mark.parametrize("bands", [(4, 0, 2), (3,)])
    def test_bands_of_arrays(self, bands: tuple[int, ...]) -> None:
        many = np.arange(5 * 6 * 5, dtype=np.uint8).reshape(5, 6, 5)
        wanted = many[..., list(bands * (1 if len(bands) == 3 else 3))]
        np.testing.assert_array_equal(as_pixels(many, Reading.of(bands=bands)), wanted)
        np.testing.assert_array_equal(as_pixels(many[None], Reading.of(bands=bands)), wanted)

    @pytest.mark.parametrize(("shape", "fix"), [((5, 6, 5), "0..4"), ((5, 7, 9), "np.moveaxis")])
    def test_bands_that_arrays_lack(self, shape: tuple[int, ...], fix: str) -> None:
        with pytest.raises(DataError) as caught:
            as_pixels(np.zeros(shape, np.uint8), Reading.of(bands=[5]))
        assert fix in str(caught.value.fix)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 300.0])
    def test_no_range_is_proposed_that_is_none(self, value: float) -> None:
        with pytest.raises(DataError) as caught:
            as_pixels(np.full((4, 30, 3), value))
        assert "image_range=(BLACK, WHITE)" in str(caught.value.fix)

    def test_ranges_and_bands_by_numpy(self) -> None:
        how = Reading.of(np.array([0, 4095]), np.array([0, 1, 2]))
        assert how == Reading.of((np.uint16(0), np.float32(4095)), [np.int64(0), 1, 2]) == Reading.of(4095, (0, 1, 2))
        assert Reading.of(np.float32(4095)) == Reading.of(4095)
        assert json.dumps(how.to_dict()) == '{"image_range": [0.0, 4095.0], "bands": [0, 1, 2]}'

    def test_ranges_of_arrays(self) -> None:
        assert as_pixels(GREY, Reading.of(4095))[0, :, 0].tolist() == [0, 62, 255]

    @pytest.mark.parametrize(
        "image",
        [
            PIXELS / 255,
            PIXELS.astype(np.float32),
            PIXELS.astype(np.int64),
            PIXELS.astype(np.float32) * 100,
            PIXELS > 3,
            np.moveaxis(PIXELS, 2, 0),
            np.zeros((2, 2, 9), np.uint8),
            np.moveaxis(PIXELS / 255, 2, 0),
            PIXELS.astype(np.int64) * 100_003,
            torch.from_numpy(PIXELS / 255).requires_grad_(),
            torch.from_numpy(PIXELS > 3),
            torch.from_numpy(PIXELS).permute(2, 0, 1),
            np.moveaxis(PIXELS, 2, 0)[None],
            np.moveaxis(PIXELS / 255, 2, 0)[None],
            torch.from_numpy(PIXELS / 255).permute(2, 0, 1)[None],
            np.zeros((1, 12, 20, 30), np.uint8),
            np.zeros((1, 20, 30, 12), np.float32),
            np.zeros((1, 1, 20, 30), np.uint8),
            np.zeros((2, 20, 30), np.uint8),
            np.zeros((20, 30, 2), bool),
        ],
    )
    def test_every_fix_of_an_array_works(self, image: Any) -> None:
        with pytest.raises(DataError, match="uint8 RGB") as caught:
            as_pixels(image)
        fix = str(caught.value.fix).partition(": ")[2]
        if fix.startswith("image_range="):
            assert as_pixels(image, Reading.of(eval(fix.partition("=")[2]))).max() == 255
        else:
            assert as_pixels(eval(fix, {"np": np}, {"image": image})).shape[2] == 3

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
    def test_the_fix_of_one_of_a_batch_works_on_all_of_it(self, count: int, kind: Any, rgb_onnx: Path) -> None:
        images = kind(np.repeat(np.moveaxis(PIXELS, 2, 0)[None], count, axis=0))
        model = Model.load(rgb_onnx, threads=1)
        with pytest.raises(DataError, match="put the channels last") as caught:
            bridgeseg.predict(images, model)
        again = eval(str(caught.value.fix).partition(": ")[2], {"np": np}, {"image": images})
        assert all((result.image == PIXELS).all() for result in bridgeseg.predict(again, model))
        if count == 2:
            with pytest.raises(DataError, match="its 2 images one by one") as caught:
                model.predict(images)
            fix = str(caught.value.fix).partition(": ")[2].replace("list(", "model=model, sources=list(")
            assert len(eval(fix, {"np": np, "bridgeseg": bridgeseg}, {"images": images, "model": model})) == 2

    @pytest.mark.parametrize("image", [b"no image", b"", io.BytesIO(encoded()[:45]), io.StringIO("text")])
    def test_bytes_that_are_no_image(self, image: Any) -> None:
        with pytest.raises(DataError, match="image") as caught:
            as_pixels(image)
        assert caught.value.fix

    @pytest.mark.parametrize("image", [[PIXELS] * 2, (PIXELS, PIXELS), 3, None, {"a": 1}])
    def test_what_is_no_image(self, image: Any) -> None:
        with pytest.raises(DataError, match="an image is a file, a Pillow image or a uint8 array; found"):
            as_pixels(image)

    @pytest.mark.parametrize(
        "image", [encoded(), PIXELS, PIXELS[None], PIXELS[..., :1], PIXELS[..., 0], Image.fromarray(PIXELS)]
    )
    def test_the_limit_of_pixels_holds_for_all(self, image: Any) -> None:
        height, width = PIXELS.shape[:2]
        with pytest.raises(DataError, match=f"{width}x{height} is .* more than the limit of 5") as caught:
            as_pixels(image, max_pixels=5)
        assert caught.value.fix == f"if you trust the file, raise the limit: `max_pixels={height * width}`"
        assert as_pixels(image, max_pixels=height * width).shape == PIXELS.shape


class TestModel:
    @pytest.fixture
    def model(self, rgb_onnx: Path) -> Model:
        return Model.load(rgb_onnx, threads=1)

    def test_predict_and_stream_take_the_same(self, model: Model, stripes: np.ndarray) -> None:
        data = io.BytesIO()
        Image.fromarray(stripes).save(data, "PNG")
        for image in (data.getvalue(), stripes[None], torch.from_numpy(stripes)):
            (streamed,) = model.stream(image)
            assert (model.predict(image).mask == streamed.mask).all()  # type: ignore[union-attr]
        assert len(list(model.stream(np.stack([stripes] * 3)))) == 3
        assert len(list(model.stream([data.getvalue(), torch.from_numpy(stripes)]))) == 2

    def test_batches_and_lists_lead_to_all_of_them(self, model: Model, stripes: np.ndarray) -> None:
        with pytest.raises(DataError, match=r"one by one: bridgeseg\.predict\(list\(images\)\)"):
            model.predict(np.stack([stripes] * 2))
        with pytest.raises(DataError, match=r"found a list of 2(.|\n)*bridgeseg\.predict"):
            model.predict([stripes] * 2)  # type: ignore[arg-type]

    def test_bands_of_an_array_are_those_of_the_same_image_of_pillow(self, model: Model) -> None:
        values = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
        bgr = model.predict(values[..., ::-1].copy(), bands=[2, 1, 0])
        assert (bgr.image == values).all()
        assert (model.predict(Image.fromarray(values[..., ::-1].copy()), bands=[2, 1, 0]).image == values).all()
        assert (model.predict(values, bands=[1]).image == values[..., [1, 1, 1]]).all()
        with pytest.raises(DataError, match="no band 9"):
            model.predict(values, bands=[9, 9, 9])

    @pytest.mark.parametrize("wrong", [5, [True], [0.0, 1, 2], [0, -1, 2]])
    def test_odd_bands(self, model: Model, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="numbers of the bands"):
            model.predict(GREY, bands=wrong)

    @pytest.mark.parametrize("wrong", [True, [False, True], [1, 2, 3], [], {"a": 1}])
    def test_odd_ranges(self, model: Model, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="black and of white"):
            model.predict(GREY, image_range=wrong)

    def test_every_mode_of_pillow_is_read_or_refused_with_a_reason(self, model: Model) -> None:
        grey = Image.fromarray(np.full((4, 5), 90, np.uint8))
        assert (model.predict(grey.convert("LA").convert("La")).image == 90).all()
        cut = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(cut, "PNG")
        with pytest.raises(DataError, match="this Pillow image cannot be read"):
            model.predict(Image.open(io.BytesIO(cut.getvalue()[:900])))

    def test_what_has_many_images_or_must_be_downloaded(self, model: Model, tmp_path: Path) -> None:
        (tmp_path / "clip.mp4").write_bytes(b"")
        live = "rtsp://user:secret@host/live"
        for name in ("camera:0", live, Path(live), tmp_path / "clip.mp4"):
            with pytest.raises(InputError, match=r"many images(.|\n)*model\.stream") as caught:
                model.predict(name)
            assert "secret" not in str(caught.value)
        for name in ("http://user:secret@host/x.jpg?token=abc", Path("http://user:secret@host/x.jpg?token=abc")):
            with pytest.raises(InputError, match=r"curl -LO http://host/x\.jpg") as caught:
                model.predict(name)
            assert "secret" not in str(caught.value)
            assert "abc" not in str(caught.value)

    def test_options_reach_files_and_notes_come_back(self, model: Model, tmp_path: Path) -> None:
        Image.fromarray(GREY).save(tmp_path / "a.png")
        plain = model.predict(tmp_path / "a.png")
        assert [note.code for note in plain.notes] == ["range"]
        assert plain.save(tmp_path / "out").to_dict()["notes"][0]["code"] == "range"
        read_well = model.predict(tmp_path / "a.png", image_range=4095)
        assert read_well.notes == ()
        assert read_well.image.max() == 255
        (streamed,) = model.stream(tmp_path / "a.png", image_range=4095, bands=[0])
        assert (streamed.image == read_well.image).all()  # type: ignore[union-attr]
        with pytest.raises(ConfigError):
            next(model.stream(tmp_path / "a.png", bands=[1, 2]))
