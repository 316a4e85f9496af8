from __future__ import annotations

import os
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from bridgeseg import images
from bridgeseg.errors import DataError, InputError, MissingDependencyError
from bridgeseg.images import read_image
from bridgeseg.reading import sources
from bridgeseg.reading.addresses import is_address
from bridgeseg.reading.left_out import LeftOut
from bridgeseg.reading.loading import one_image
from bridgeseg.reading.sources import Failure, Source, find, survey
from bridgeseg.runtime.model import Model

ORIENTATION = 0x0112


def image(path: Path, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def test_names_that_end_with_nul_bytes_are_not_taken_for_one() -> None:
    (found,) = find(["a.jpg\0b.jpg"])
    assert isinstance(found, Failure)
    assert "--null" in str(found.error.fix)


def test_an_empty_name_is_no_folder() -> None:
    with pytest.raises(InputError, match="no file is named"):
        one_image("")


def names(found: object) -> list[str]:
    items = list(found)  # type: ignore[call-overload]
    assert all(isinstance(item, Source) for item in items), items
    return [item.name.as_posix() for item in items]


def failure(*sources: object, **options: object) -> InputError:
    (item,) = find(sources, **options)  # type: ignore[arg-type]
    assert isinstance(item, Failure)
    assert item.error.fix
    return item.error


class TestFind:
    def test_folder_takes_pictures_in_order_and_leaves_the_rest(self, tmp_path: Path) -> None:
        for name in ("b.JPG", "a.png", ".hidden.png", "sub/c.png"):
            image(tmp_path / name)
        (tmp_path / "notes.txt").write_text("no image")
        assert names(find([tmp_path])) == ["a.png", "b.JPG"]
        assert names(find([tmp_path], recursive=True)) == ["a.png", "b.JPG", "sub/c.png"]

    def test_folder_is_listed_only_when_its_turn_comes(self, tmp_path: Path) -> None:
        first, second = image(tmp_path / "1" / "a.png").parent, tmp_path / "2"
        second.mkdir()
        found = find([first, second])
        assert isinstance(next(found), Source)
        image(second / "late.png")
        assert names(found) == ["late.png"]

    def test_loop_of_links_ends(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
        assert names(find([tmp_path], recursive=True)) == ["a.png", "self.png"]
        assert names(find([tmp_path / "**/*.png"])) == ["a.png", "self.png"]
        with pytest.raises(InputError):
            read_image(tmp_path / "self.png")

    def test_broken_link_is_found_and_reported_when_read(self, tmp_path: Path) -> None:
        (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
        (source,) = find([tmp_path])
        assert isinstance(source, Source)
        with pytest.raises(InputError, match="no such file"):
            source.load()

    def test_skipped_folder(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        image(tmp_path / "out" / "a_mask.png")
        assert names(find([tmp_path], recursive=True, skip=tmp_path / "out")) == ["a.png"]

    def test_glob(self, tmp_path: Path) -> None:
        for name in ("x/1.png", "x/deep/2.png", "y/3.jpg", "x/notes.txt"):
            image(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("")
        assert names(find([f"{tmp_path}/*/*.png"])) == ["x/1.png"]
        assert names(find([f"{tmp_path}/x/*"])) == ["1.png", "2.png"]
        assert names(find([f"{tmp_path}/**/*"])) == names(find([f"{tmp_path}/**"]))
        assert names(find([f"{tmp_path}/**"])) == ["x/1.png", "x/deep/2.png", "y/3.jpg"]
        assert names(find([f"{tmp_path}/x/*.txt"])) == ["notes.txt"]

    def test_names_stay_below_the_folder_of_results(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        (tmp_path / "x" / "y").mkdir(parents=True)
        assert names(find([f"{tmp_path}/x/*/../../*.png"])) == ["y/a.png"]

    def test_file_named_like_a_glob_is_a_file(self, tmp_path: Path) -> None:
        assert names(find([image(tmp_path / "img[1].png")])) == ["img[1].png"]

    @pytest.mark.parametrize("name", ["-x.png", "new\nline.png", "größe 中.png", "a b'c\".png"])
    def test_odd_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        image(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        assert names(find([name])) == names(find(["."])) == names(find(["*.png"])) == [name]
        assert read_image(name).shape == (3, 4, 3)

    def test_what_leads_to_no_picture(self, tmp_path: Path) -> None:
        image(tmp_path / "images" / "street.png")
        error = failure(tmp_path / "images" / "stret.png")
        assert "no such file" in error.message
        assert "street.png" in str(error.fix)
        assert "no folder" in str(failure(tmp_path / "nowhere" / "a.png").fix)
        assert "no image matches" in failure(f"{tmp_path}/*.jpg").message
        assert "`recursive=True`" in str(failure(tmp_path).fix)
        (tmp_path / "empty").mkdir()
        assert "no image in this folder" in failure(tmp_path / "empty", recursive=True).message
        assert "empty name" in failure("").message

    def test_a_bad_name_does_not_stop_the_rest(self, tmp_path: Path) -> None:
        good = image(tmp_path / "a.png")
        kinds = [type(item) for item in find([good, tmp_path / "b.png", good])]
        assert kinds == [Source, Failure, Source]

    def test_subfolder_that_cannot_be_listed_is_reported(self, tmp_path: Path) -> None:
        for name in ("1.png", "a/2.png", "b/3.png"):
            image(tmp_path / name)
        found = find([tmp_path], recursive=True)
        assert isinstance(next(found), Source)
        shutil.rmtree(tmp_path / "a")
        gone = next(found)
        assert isinstance(gone, Failure)
        assert gone.source == tmp_path / "a"
        assert names(found) == ["b/3.png"]

    def test_survey_counts_and_names_the_pictures_inside(self, tmp_path: Path) -> None:
        inside, outside = image(tmp_path / "out" / "a.png"), image(tmp_path / "b.png")
        (tmp_path / "link.png").symlink_to(inside)
        count, paths = survey(find([inside, outside]), tmp_path / "out")
        assert (count, paths) == (2, {os.path.realpath(inside)})
        assert survey(find([tmp_path / "link.png"]), tmp_path / "out")[1] == {os.path.realpath(inside)}


def lines(*sources: object, **options: Any) -> list[str]:
    left = LeftOut()
    list(find(sources, left_out=left, **options))  # type: ignore[arg-type]
    return left.lines()


class TestLeftOut:
    def test_files_of_other_kinds_are_counted_by_ending(self, tmp_path: Path) -> None:
        image(tmp_path / "a.png")
        for name in ("c.DCM", "b.txt", "d.txt", "README", ".hidden.txt", "sub/e.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        assert lines(tmp_path) == ["4 files of other kinds left out: .txt, no ending, .dcm"]
        assert lines(tmp_path, recursive=True)[0].startswith("5 files")
        assert lines(f"{tmp_path}/*")[0].startswith("5 files")
        assert lines(tmp_path / "a.png") == []

    def test_many_endings_and_ones_that_would_break_the_line(self, tmp_path: Path) -> None:
        for index in range(12):
            (tmp_path / f"a.x{index:02}").write_text("")
        (tmp_path / "a.y\n\x1b[2J").write_text("")
        left = LeftOut()
        (failed,) = find([tmp_path], left_out=left)
        assert isinstance(failed, Failure)
        assert "no image in this folder; 13 files of other kinds left out: .x00" in failed.error.message
        assert left.lines()[0].endswith(".x07, ...")
        left.kinds = dict(list(left.kinds.items())[-1:])
        assert left.lines()[0].isprintable()

    def test_heic_is_counted_or_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.HEIC").write_bytes(b"x")
        image(tmp_path / "b.png")
        monkeypatch.setattr(sources, "SUFFIXES", images.SUFFIXES - images.HEIF)
        assert names(find([tmp_path])) == ["b.png"]
        assert "pip install 'bridgeseg[heif]'" in "".join(lines(tmp_path))
        monkeypatch.setattr(sources, "SUFFIXES", images.SUFFIXES | images.HEIF)
        assert names(find([tmp_path])) == ["a.HEIC", "b.png"]

    def test_folders_of_systems_are_passed_over(self, tmp_path: Path) -> None:
        for name in ("a.png", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", "__MACOSX/a.png"):
            image(tmp_path / name)
        assert names(find([tmp_path], recursive=True)) == ["a.png"]
        assert names(find([f"{tmp_path}/**/*.png"])) == ["a.png"]
        assert lines(tmp_path, recursive=True) == ["3 hidden folders passed over"]

    def test_results_of_earlier_runs(self, tmp_path: Path, rgb_onnx: Path, stripes: np.ndarray) -> None:
        Image.fromarray(stripes).save(tmp_path / "a.png")
        model = Model.load(rgb_onnx, threads=1)
        model.predict(tmp_path / "a.png").save(tmp_path / "old")
        image(tmp_path / "old" / "my_mask.png")  # named alike, and not ours
        image(tmp_path / "old" / "my_overlay.jpg")
        assert names(find([tmp_path], recursive=True)) == ["a.png", "old/my_mask.png", "old/my_overlay.jpg"]
        assert lines(tmp_path, recursive=True) == ["2 results of earlier runs left out"]
        assert names(find([f"{tmp_path}/*/*"])) == ["old/my_mask.png", "old/my_overlay.jpg"]
        assert names(find([tmp_path / "old" / "a_mask.png"])) == ["a_mask.png"], "what is named is taken"


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "shown", "way"),
        [
            ("FTP://u:sec/ret@h:21/a", "FTP://h:21/a", "curl -LO FTP://h:21/a"),
            ("https://u:secret@h/a.jpg?token=secret", "https://h/a.jpg", "curl -LO https://h/a.jpg"),
            ("http://h/clip.mp4", "http://h/clip.mp4", "curl -LO http://h/clip.mp4"),
            ("s3://bucket/photos", "s3://bucket/photos", "ray_predict.py"),
        ],
    )
    def test_are_refused_with_a_way_out_and_no_password(self, address: str, shown: str, way: str) -> None:
        for name in (address, Path(address)):
            (item,) = find([name])
            assert isinstance(item, Failure)
            assert (item.error.where, item.source) == (shown, Path(shown))
            assert way in str(item.error.fix)
            assert "secret" not in f"{item}{item.error}"
            assert "sec/" not in f"{item}{item.error}"

    def test_files_named_like_one_are_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        image(tmp_path / "rtsp:" / "a.png")
        assert names(find(["rtsp://a.png"])) == ["a.png"]
        for name in ("C:/photos/a.png", "a/b:c.png", "camera:0"):
            assert not is_address(name)

    def test_names_that_no_file_can_have(self, tmp_path: Path) -> None:
        for name in ("a\0b.png", "x" * 5000, "a\0*.png"):
            (item,) = find([name])
            assert isinstance(item, Failure)
            assert item.error.fix


class TestReadImage:
    @settings(deadline=None, max_examples=25)
    @given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
    def test_rgb_is_read_as_written(self, tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> None:
        path = tmp_path_factory.getbasetemp() / "exact.png"
        Image.fromarray(pixels).save(path)
        read = read_image(path)
        assert read.dtype == np.uint8
        assert read.flags.writeable
        np.testing.assert_array_equal(read, pixels)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, tmp_path: Path, orientation: int) -> None:
        upright = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3) * 40
        # How a camera stores it, by the definition of each value in the EXIF standard.
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: np.rot90(upright, 1),
            7: upright[::-1, ::-1].T,
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], upright)

    def test_broken_exif_is_ignored(self, tmp_path: Path) -> None:
        Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
        assert read_image(tmp_path / "a.jpg").shape == (3, 4, 3)

    def test_greyscale_and_one_bit(self, tmp_path: Path) -> None:
        Image.new("L", (2, 2), 77).save(tmp_path / "l.png")
        Image.new("1", (2, 2), 1).save(tmp_path / "1.png")
        assert np.unique(read_image(tmp_path / "l.png")).tolist() == [77]
        assert np.unique(read_image(tmp_path / "1.png")).tolist() == [255]

    @pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 0, 0, 0)), ("LA", (90, 0))])
    def test_transparent_parts_are_white(self, tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
        Image.new(mode, (2, 2), colour).save(tmp_path / "a.png")
        assert np.unique(read_image(tmp_path / "a.png")).tolist() == [255]

    def test_half_transparent_red(self, tmp_path: Path) -> None:
        Image.new("RGBA", (1, 1), (200, 0, 0, 128)).save(tmp_path / "a.png")
        np.testing.assert_allclose(read_image(tmp_path / "a.png")[0, 0], [227, 127, 127], atol=1)

    def test_palette_with_and_without_transparency(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save(tmp_path / "p.png")
        image.save(tmp_path / "t.png", transparency=1)
        assert read_image(tmp_path / "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
        assert read_image(tmp_path / "t.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]

    def test_cmyk(self, tmp_path: Path) -> None:
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
        np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[4, 4], [255, 0, 0], atol=4)

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits_are_scaled(self, tmp_path: Path, suffix: str) -> None:
        values = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        assert read_image(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 128, 255]

    def test_big_endian_sixteen_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n\x00\x00\xff\xff")
        assert read_image(tmp_path / "a.pgm")[0, :, 0].tolist() == [0, 255]

    def test_floats(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
        Image.fromarray(np.array([[0, 0.5, 2]], np.float32)).save(tmp_path / "b.tif")
        assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]
        with pytest.raises(DataError, match=r"b\.tif: .*found 0\.\.2"):
            read_image(tmp_path / "b.tif")

    def test_first_frame_of_an_animation(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]

    @pytest.mark.parametrize("suffix", ["jpg", "png"])
    def test_truncated_file_is_named(self, tmp_path: Path, suffix: str) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        path = tmp_path / f"cut.{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match="cut") as caught:
            read_image(path)
        assert caught.value.where == path
        assert caught.value.fix

    @pytest.mark.parametrize(
        ("content", "text"),
        [(b"", "empty"), (b"hello", "not an image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image")],
    )
    def test_what_is_no_picture(self, tmp_path: Path, content: bytes, text: str) -> None:
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(DataError, match=text):
            read_image(tmp_path / "a.jpg")

    @pytest.mark.slow
    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_damage_is_an_input_error_or_a_picture(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        path = (
            tmp_path_factory.getbasetemp()
            / f"damaged.{data.draw(st.sampled_from(['png', 'jpg', 'gif', 'tif', 'bmp']))}"
        )
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (7, 9, 3), np.uint8)).save(path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            read, where = read_image(path, max_pixels=10_000), path
        except InputError as error:
            read, where = np.zeros((1, 1, 3)), error.where
        assert (read.shape[2], where) == (3, path)

    @pytest.mark.parametrize(("kind", "head"), [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")])
    def test_bombs_beside_the_pixels(self, tmp_path: Path, kind: bytes, head: bytes) -> None:
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        content, packed = (tmp_path / "a.png").read_bytes(), zlib.compress(bytes(8 << 20), 9)
        chunk = struct.pack(">I", len(head + packed)) + kind + head + packed
        chunk += struct.pack(">I", zlib.crc32(kind + head + packed))
        (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
        with pytest.raises(DataError, match="cannot be read as an image: Decompressed data too large"):
            read_image(tmp_path / "a.png")

    def test_bomb_is_refused_before_it_is_decoded(self, tmp_path: Path) -> None:
        content = b"\x89PNG\r\n\x1a\n"
        for chunk in (b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")):
            content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (tmp_path / "bomb.png").write_bytes(content)
        limit = Image.MAX_IMAGE_PIXELS
        with pytest.raises(DataError, match="2,500,000,000 pixels") as caught:
            read_image(tmp_path / "bomb.png")
        assert "`max_pixels=" in str(caught.value.fix)
        assert limit == Image.MAX_IMAGE_PIXELS

    def test_limit_is_the_callers(self, tmp_path: Path) -> None:
        path = image(tmp_path / "a.png", (5, 4))
        assert read_image(path, max_pixels=20).shape == (4, 5, 3)
        with pytest.raises(DataError, match="more than the limit of 19"):
            read_image(path, max_pixels=19)

    def test_folder_missing_and_pipe(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="a folder"):
            read_image(tmp_path)
        with pytest.raises(InputError, match="no such file"):
            read_image(tmp_path / "a.png")
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe.png")
            with pytest.raises(DataError, match="regular"):
                read_image(tmp_path / "pipe.png")

    def test_heic(self, tmp_path: Path) -> None:
        heif = pytest.importorskip("pillow_heif")
        pixels = np.full((64, 64, 3), 128, np.uint8)
        heif.from_bytes("RGB", (64, 64), pixels.tobytes()).save(tmp_path / "a.heic")
        np.testing.assert_allclose(read_image(tmp_path / "a.heic"), pixels, atol=4)
        assert "HEIF" not in Image.OPEN, "Pillow itself is left as it is"

    def test_heic_without_its_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
        with pytest.raises(MissingDependencyError, match=r"a\.jpg: HEIC images need(.|\n)*bridgeseg\[heif\]"):
            read_image(tmp_path / "a.jpg")

    def test_every_suffix_can_be_opened(self) -> None:
        Image.init()
        formats = {Image.registered_extensions().get(suffix) for suffix in images.SUFFIXES - images.HEIF}
        assert formats - {None, "DIB", "MPO"} <= set(images.FORMATS)
