from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, DataError, InputError, MissingDependencyError
from bridgeseg.predicting.batch import Batch
from bridgeseg.predicting.stopping import Stop
from bridgeseg.predicting.video_writer import VideoRecord
from bridgeseg.reading import video as videos
from bridgeseg.reading.loading import expand
from bridgeseg.reading.sources import Failure
from bridgeseg.reading.video import Frame, Video, is_camera, read_frames
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result
from bridgeseg.settings.predict import Predict

av = pytest.importorskip("av")

TICKS = 600
"""Units of time in a second of the videos made here."""
COLOURS = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200)], np.uint8)
CLOCKWISE = (0, 1, -1, 0)


@pytest.fixture
def model(rgb_onnx: Path) -> Model:
    return Model.load(rgb_onnx, threads=1)


def make(
    path: Path, times: Sequence[int] = range(0, 300, 20), size: tuple[int, int] = (48, 64), codec: str = "mpeg4"
) -> Path:
    """Write a video, frame number n all of colour n % 3, but the upper left quarter of the next colour."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.bit_rate = 4_000_000
        for index, time in enumerate(times):
            pixels = np.empty((height, width, 3), np.uint8)
            pixels[:] = COLOURS[index % 3]
            pixels[: height // 2, : width // 2] = COLOURS[(index + 1) % 3]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, TICKS)  # the container may change that of the stream
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path) -> Path:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the track header of an MP4, as phones do."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    a, b, c, d = (value << 16 for value in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def read(path: Path, **options: Any) -> list[tuple[np.ndarray, Frame]]:
    return list(read_frames(Video(path, Path(path.name)), **options))


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]


class TestRead:
    def test_frames_and_their_times(self, tmp_path: Path) -> None:
        found = read(make(tmp_path / "a.mp4"))
        assert [frame.index for _, frame in found] == list(range(15))
        assert [frame.time for _, frame in found] == pytest.approx([index / 30 for index in range(15)])
        for pixels, frame in found:
            assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8)
            assert pixels[40, 50].argmax() == frame.index % 3
        assert len({id(frame.video) for _, frame in found}) == 1

    def test_uneven_times_are_kept(self, tmp_path: Path) -> None:
        times = [0, 20, 30, 130, 131, 400]
        found = read(make(tmp_path / "a.mp4", times))
        assert [frame.time for _, frame in found] == pytest.approx([time / TICKS for time in times])

    def test_times_start_at_the_first_frame(self, tmp_path: Path) -> None:
        found = read(make(tmp_path / "a.mkv", [600, 660, 720]))
        assert [frame.time for _, frame in found] == pytest.approx([0, 0.1, 0.2], abs=0.002)

    @pytest.mark.parametrize(
        ("matrix", "quarters"), [(CLOCKWISE, -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)]
    )
    def test_rotation(self, tmp_path: Path, matrix: tuple[int, int, int, int], quarters: int) -> None:
        path = make(tmp_path / "a.mp4")
        plain = read(path)[0][0]
        turned = read(turn(path, matrix))[0][0]
        np.testing.assert_array_equal(turned, np.rot90(plain, quarters))

    def test_every(self, tmp_path: Path) -> None:
        assert [frame.index for _, frame in read(make(tmp_path / "a.mp4"), every=4)] == [0, 4, 8, 12]

    @pytest.mark.parametrize(("fps", "indices"), [(10, [0, 3, 6, 9, 12]), (20, [0, 2, 3, 5, 6]), (60, range(15))])
    def test_max_fps(self, tmp_path: Path, fps: float, indices: Sequence[int]) -> None:
        found = [frame.index for _, frame in read(make(tmp_path / "a.mp4"), max_fps=fps)]
        assert found[: len(indices)] == list(indices)

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_rates_that_cannot_be(self, fps: float) -> None:
        with pytest.raises(ConfigError, match=r"above 0|finite"):
            Predict(sources=(), max_fps=fps)

    def test_max_fps_after_a_gap(self, tmp_path: Path) -> None:
        found = read(make(tmp_path / "a.mp4", [0, 30, 60, 600, 630, 660, 690]), max_fps=10)
        assert [frame.pts * frame.time_base * TICKS for _, frame in found] == [0, 60, 600, 660]

    def test_too_many_pixels(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="64x48") as caught:
            read(make(tmp_path / "a.mp4"), max_pixels=3000)
        assert "`max_pixels=3072`" in str(caught.value.fix)

    @pytest.mark.parametrize("content", [b"", b"no video" * 50, b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"])
    def test_what_is_no_video(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(tmp_path / "a.mp4")
        assert caught.value.where == tmp_path / "a.mp4"
        assert caught.value.fix

    def test_sound_alone(self, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "a.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.rate = 8000
            container.mux(stream.encode(samples))
            container.mux(stream.encode())
        with pytest.raises(DataError, match="no video in this file"):
            read(tmp_path / "a.mp4")

    def test_odd_names(self, tmp_path: Path) -> None:
        for name in ("a:b.mp4", "größe %d #?.mp4", "concat:x.mp4"):
            assert len(read(make(tmp_path / "plain.mp4").rename(tmp_path / name))) == 15

    def test_cut_off(self, tmp_path: Path) -> None:
        path = cut(make(tmp_path / "a.mkv", range(0, 1800, 20)))
        found: list[Any] = []
        with pytest.raises(DataError, match=r"cut off, \d+ frames were read and 1\.\d s are missing"):
            found.extend(read_frames(Video(path, Path(path.name))))
        assert 20 < len(found) < 80

    def test_cut_off_before_the_index(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4")
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(DataError, match="cannot be read as a video"):
            read(path)

    def test_damaged_in_the_middle(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mkv", range(0, 1800, 20))
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = bytes(400)
        path.write_bytes(content)
        found: list[Any] = []
        with pytest.raises(DataError, match="damaged or cut off"):
            found.extend(read_frames(Video(path, Path(path.name))))
        assert len(found) > 20

    def test_cameras(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert is_camera("camera:0")
        assert not is_camera("camera:front")
        (found,) = expand("camera:97")
        assert isinstance(found, Video)
        assert found.camera == 97
        with pytest.raises(DataError, match=r"camera:97: cannot be read as a camera"):
            list(read_frames(found))
        monkeypatch.setattr(videos, "CAMERAS", {})
        with pytest.raises(InputError, match="Linux and macOS"):
            list(read_frames(found))

    def test_without_pyav(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
        path = make(tmp_path / "a.mp4")
        monkeypatch.setitem(sys.modules, "av", None)
        (item,) = model.stream(path)
        assert isinstance(item, Failure)
        assert isinstance(item.error, MissingDependencyError)
        assert item.error.fix == "pip install 'bridgeseg[video]'"


def several(path: Path, *parts: Path) -> Path:
    """Copy the videos of some files into one."""
    with av.open(str(path), "w", format="matroska") as out:
        sources = [av.open(str(part)) for part in parts]
        streams = [out.add_stream_from_template(source.streams.video[0]) for source in sources]
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
            source.close()
    return path


class TestSeveralStreams:
    def test_a_cover_is_no_film(self) -> None:
        cover, film = (SimpleNamespace(disposition=kind, width=4, height=4) for kind in (1024, 1))
        for streams, chosen in (([cover, film], film), ([film, cover], film)):
            container: Any = SimpleNamespace(streams=SimpleNamespace(video=streams))
            assert videos.film(container, Video(Path("a"), Path("a"))) == (chosen, [])
        container = SimpleNamespace(streams=SimpleNamespace(video=[cover]))
        with pytest.raises(DataError, match="no video in this file, only a cover image"):
            videos.film(container, Video(Path("a"), Path("a")))

    def test_which_of_two_is_read_is_said_once(self, model: Model, tmp_path: Path) -> None:
        first, second = make(tmp_path / "1.mp4"), make(tmp_path / "2.mp4", size=(16, 16))
        path = several(tmp_path / "a.mkv", first, second)
        results = [item for item in model.stream(path) if isinstance(item, Result)]
        assert [len(item.notes) for item in results[:3]] == [1, 0, 0]
        (record,) = bridgeseg.predict(path, model, out=tmp_path / "out")
        assert isinstance(record, VideoRecord)
        (note,) = record.to_dict()["notes"]
        assert note["message"] == "2 video streams in one file: only the first is read, 64x48"
        assert "-map 0:v:1" in note["fix"]


class TestStream:
    def test_frames_are_results(self, model: Model, tmp_path: Path, stripes: np.ndarray) -> None:
        items = list(model.stream([make(tmp_path / "a.mp4"), stripes], every=5))
        frames = [item.frame for item in items if isinstance(item, Result)]
        assert [frame and frame.index for frame in frames] == [0, 5, 10, None]
        first = items[0]
        assert isinstance(first, Result)
        assert (first.source, first.name) == (tmp_path / "a.mp4", Path("a/000000"))
        assert first.mask[40, 50] == 0
        assert first.mask[10, 10] == 1
        record = first.save(tmp_path / "out")
        assert record.mask == tmp_path / "out" / "a" / "000000_mask.png"

    def test_cut_off_gives_its_frames_and_a_failure(self, model: Model, tmp_path: Path, stripes: np.ndarray) -> None:
        path = cut(make(tmp_path / "a.mkv", range(0, 1800, 20)))
        items = list(model.stream([path, stripes]))
        assert isinstance(items[-2], Failure)
        assert items[-2].source == path
        assert all(isinstance(item, Result) for item in [*items[:-2], items[-1]])
        assert len(items) > 20

    def test_leaving_early_closes_the_file(self, model: Model, tmp_path: Path) -> None:
        results = model.stream(make(tmp_path / "a.mp4"))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("bridgeseg-")]


class TestWrite:
    def test_overlay_video(self, model: Model, tmp_path: Path) -> None:
        times = [0, 20, 60, 61, 200]
        (record,) = bridgeseg.predict(make(tmp_path / "a.mp4", times), model, tmp_path / "out")
        assert isinstance(record, VideoRecord)
        assert record.overlay == tmp_path / "out" / "a_overlay.mp4"
        assert (record.frames, record.width, record.height, record.masks) == (5, 64, 48, None)
        assert record.seconds == pytest.approx(200 / TICKS)
        assert sum(record.areas.values()) == pytest.approx(1)
        json.dumps(record.to_dict())
        drawn = frames_of(record.overlay)
        assert [time for _, time in drawn] == pytest.approx([time / TICKS for time in times])
        assert {pixels.shape for pixels, _ in drawn} == {drawn[0][0].shape}
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_overlay.mp4"]

    def test_colours_survive(self, model: Model, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4", [0])
        (record,) = bridgeseg.predict(path, model, tmp_path / "out")
        (result,) = model.stream(path)
        assert isinstance(record, VideoRecord)
        assert record.overlay is not None
        assert isinstance(result, Result)
        expected = np.asarray(result.overlay(legend=False)).astype(int)[40, 50]
        pixels = frames_of(record.overlay)[0][0]
        left = (pixels.shape[1] - 64) // 2
        np.testing.assert_allclose(pixels[40, left + 50].astype(int), expected, atol=8)
        assert (pixels[48:] != pixels[48, 0]).any()  # the legend

    @pytest.mark.parametrize("overlay", [True, False])
    def test_masks(self, model: Model, tmp_path: Path, overlay: bool) -> None:
        path = make(tmp_path / "a.mp4")
        (record,) = bridgeseg.predict(path, model, tmp_path / "out", overlay=overlay, masks=overlay, every=7)
        assert isinstance(record, VideoRecord)
        assert record.masks == tmp_path / "out" / "a_masks"
        assert (record.overlay is None) == (not overlay)
        assert sorted(file.name for file in record.masks.iterdir()) == ["000000.png", "000007.png", "000014.png"]
        assert np.asarray(Image.open(record.masks / "000007.png"))[40, 50] == 1

    def test_names_do_not_collide(self, model: Model, tmp_path: Path, stripes: np.ndarray) -> None:
        Image.fromarray(stripes).save(tmp_path / "a.png")
        path = make(tmp_path / "a.mp4", [0, 20])
        records = bridgeseg.predict([path, tmp_path / "a.png", path, path], model, tmp_path / "out")
        names = [record.overlay.name for record in records if not isinstance(record, Failure) and record.overlay]
        assert names == ["a_overlay.mp4", "a-2_overlay.jpg", "a-3_overlay.mp4", "a-4_overlay.mp4"]

    def test_an_input_is_not_replaced(self, model: Model, tmp_path: Path) -> None:
        make(tmp_path / "a.mp4", [0])
        before = make(tmp_path / "a_overlay.mp4", [0, 20]).read_bytes()
        bridgeseg.predict([tmp_path / "a.mp4", tmp_path / "a_overlay.mp4"], model, tmp_path)
        assert (tmp_path / "a_overlay.mp4").read_bytes() == before
        assert (tmp_path / "a-2_overlay.mp4").is_file()

    @pytest.mark.slow
    def test_cut_off_is_written_and_reported(self, capsys: Any, rgb_onnx: Path, tmp_path: Path) -> None:
        path = cut(make(tmp_path / "a.mkv", range(0, 1800, 20)))
        words = ["predict", str(path), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "--json"]
        assert main(words) == 1
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert "cut off" in lines[0]["error"]
        assert len(frames_of(tmp_path / "out" / "a_overlay.mp4")) == lines[1]["frames"] > 20

    def test_stop_closes_the_video(self, model: Model, tmp_path: Path) -> None:
        stop = threading.Event()
        batch = Batch(Predict(sources=make(tmp_path / "a.mp4", range(0, 20_000, 20)), out=tmp_path / "out"))
        inner = model.runtime.classes

        def classes(images: np.ndarray) -> np.ndarray:
            if batch.frames >= 3:
                stop.set()
            return inner(images)

        model.runtime.classes = classes  # type: ignore[method-assign]
        (record,) = batch.run(model, stop=stop)
        assert isinstance(record, VideoRecord)
        assert record.overlay is not None
        assert len(frames_of(record.overlay)) == record.frames == batch.frames
        assert 3 <= record.frames < 20

    def test_ending_at_once_leaves_nothing(self, model: Model, tmp_path: Path) -> None:
        inner, calls = model.runtime.classes, []

        def classes(images: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) == 10:
                raise MemoryError
            return inner(images)

        model.runtime.classes = classes  # type: ignore[method-assign]
        with pytest.raises(MemoryError):
            bridgeseg.predict(make(tmp_path / "a.mp4"), model, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    @pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
    def test_second_signal_leaves_nothing_unfinished(self, model: Model, tmp_path: Path) -> None:
        inner, calls = model.runtime.classes, []

        def classes(images: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) in (5, 6):
                os.kill(os.getpid(), signal.SIGINT)
            return inner(images)

        model.runtime.classes = classes  # type: ignore[method-assign]
        batch = Batch(Predict(sources=make(tmp_path / "a.mp4", range(0, 20_000, 20)), out=tmp_path / "out"))

        def interrupted() -> None:
            with Stop() as stop:
                for _ in batch.run(model, stop=stop):
                    os.kill(os.getpid(), signal.SIGINT)  # the first was seen at once, the video is closed already

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not list((tmp_path / "out").glob("*.part"))

    def test_codecs(self, model: Model, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4", [0, 20])
        (record,) = bridgeseg.predict(path, model, tmp_path / "out", codec="mpeg4")
        assert isinstance(record, VideoRecord)
        assert record.overlay is not None
        with av.open(str(record.overlay)) as container:
            assert container.streams.video[0].codec_context.name == "mpeg4"
        for name in ("libx624", "aac"):
            with pytest.raises(ConfigError, match="no encoder") as caught:
                Batch(Predict(sources=path, out=tmp_path / "out", codec=name))
            assert "libx264" in str(caught.value.fix)
        with pytest.raises(InputError, match=r"cannot be written.*'huffyuv'"):
            bridgeseg.predict(path, model, tmp_path / "bad", codec="huffyuv")
        assert list((tmp_path / "bad").iterdir()) == []

    @pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
    def test_encoders_print_nothing(self, codec: str, rgb_onnx: Path, tmp_path: Path, capfd: Any) -> None:
        if codec not in av.codecs_available:
            pytest.skip(f"no {codec}")
        path = make(tmp_path / "a.mp4", [0, 20])
        words = ["predict", str(path), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "-q", "--codec", codec]
        assert main(words) == 0
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--codec", "mpeg4"),
            ("--every", "2"),
            ("--max-fps", "5"),
            ("--max-frames", "3"),
            ("--reconnect", "1"),
            ("--masks", None),
        ],
    )
    def test_options_of_videos_without_any(
        self, option: str, value: str | None, capsys: Any, rgb_onnx: Path, tmp_path: Path
    ) -> None:
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        given = [option] if value is None else [option, value]
        words = ["predict", str(tmp_path), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), *given]
        assert main(words) == 2
        assert f"error: {option}: only videos, cameras and streams follow it" in capsys.readouterr().err
        make(tmp_path / "a.mp4", [0, 20])
        assert main([*words, str(tmp_path / "*.mp4")]) == 0

    def test_a_codec_without_overlays(self, capsys: Any, rgb_onnx: Path, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4", [0])
        words = ["predict", str(path), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "--codec", "mpeg4"]
        assert main([*words, "--no-overlay"]) == 2
        assert "--codec: only overlays follow it" in capsys.readouterr().err

    def test_folder_that_cannot_be_made(self, model: Model, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot be written"):
            bridgeseg.predict(make(tmp_path / "a.mp4", [0]), model, tmp_path / "file" / "out")

    def test_command(self, capsys: Any, rgb_onnx: Path, tmp_path: Path) -> None:
        path = make(tmp_path / "a.mp4")
        options = ["--every", "2", "--max-fps", "5", "--codec", "mpeg4", "--masks"]
        words = ["predict", str(path), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), *options]
        assert main(words) == 0
        text = capsys.readouterr().out
        assert "a_masks" in text
        assert "a_overlay.mp4" in text
        assert "3 frames" in text
        assert main([*words, str(tmp_path / "*.mp4")]) == 0
        assert f"{path}: 3 frames, " in capsys.readouterr().out
