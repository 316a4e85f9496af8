"""Streams over HTTP from a server of this process: received, dropped, broken off and found again."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import DataError
from bridgeseg.images import Note
from bridgeseg.predicting.video_writer import VideoRecord
from bridgeseg.reading import live
from bridgeseg.reading.addresses import is_stream, without_password
from bridgeseg.reading.live import read_stream, stream
from bridgeseg.reading.loading import expand
from bridgeseg.reading.sources import Failure
from bridgeseg.reading.video import Video
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result

av = pytest.importorskip("av")

COLOURS = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
USER = "Basic " + base64.b64encode(b"user:secret").decode()
TICK = 0.005
"""Seconds between two images that are sent."""


def jpeg(index: int, size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[index % 3]).save(file, "JPEG")
    return file.getvalue()


class Sender:
    """An MJPEG server; each connection sends what the next of `connections` gives, and then is closed."""

    def __init__(self) -> None:
        self.connections: list[Iterator[bytes]] = []
        self.asked = 0
        self.over = threading.Event()
        self.password = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.get(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.place = f"127.0.0.1:{self._server.server_address[1]}/live"
        self.address = f"http://{self.place}"

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if self.password and handler.headers["Authorization"] != USER:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        self.asked += 1
        if not self.connections:
            handler.send_error(503)
            return
        images = self.connections.pop(0)
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace;boundary=image")
        handler.end_headers()
        try:
            for image in images:
                head = f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                handler.wfile.write(head.encode() + image + b"\r\n")
                if self.over.wait(TICK):
                    break
        except OSError:
            pass  # whoever received it has enough

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(live, "SHORTEST_S", 0.01)
    server = Sender()
    yield server
    server.close()


@pytest.fixture(scope="module")
def model(rgb_onnx: Path) -> Model:
    return Model.load(rgb_onnx, threads=1)


def images(count: int, size: tuple[int, int] = (64, 48)) -> Iterator[bytes]:
    return (jpeg(index, size) for index in range(count))


def endless() -> Iterator[bytes]:
    index = 0
    while True:
        yield jpeg(index)
        index += 1


def until_gone(frames: Iterator[tuple[np.ndarray, Any]]) -> tuple[list[tuple[np.ndarray, Any]], DataError]:
    """Receive a stream until it does not come back."""
    found: list[tuple[np.ndarray, Any]] = []
    with pytest.raises(DataError) as caught:
        found.extend(frames)
    return found, caught.value


class TestReceiving:
    def test_frames_and_the_end(self, sender: Sender) -> None:
        sender.connections = [images(20)]
        found, error = until_gone(read_stream(stream(sender.address), patience=0))
        assert error.message.startswith("the stream broke off after ")
        assert error.where == sender.address
        assert "`reconnect=60`" in str(error.fix)
        indices = [frame.index for _, frame in found]
        assert indices == sorted(set(indices))
        assert indices[-1] + 1 - len(indices) == found[-1][1].dropped
        times = [frame.time for _, frame in found]
        assert times == sorted(set(times))
        assert all((pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8) for pixels, _ in found)
        # FFmpeg may take the first for looking at the kind of the stream
        assert len({(pixels[20, 20].argmax() - frame.index) % 3 for pixels, frame in found}) == 1

    def test_what_nobody_takes_in_time_is_dropped(self, sender: Sender) -> None:
        sender.connections = [images(30)]
        frames = read_stream(stream(sender.address), patience=0)
        next(frames)
        for thread in threading.enumerate():  # until all has been sent
            if thread.name == "bridgeseg-stream":
                thread.join(30)
        ((_, last),), _ = until_gone(frames)
        assert last.index == last.dropped + 1 > 25  # the first and the last were taken

    def test_every(self, sender: Sender) -> None:
        sender.connections = [images(20)]
        found, _ = until_gone(read_stream(stream(sender.address), every=5, patience=0))
        assert {frame.index % 5 for _, frame in found} == {0}

    def test_max_fps(self, sender: Sender) -> None:
        sender.connections = [images(20)]
        found, _ = until_gone(read_stream(stream(sender.address), max_fps=0.01, patience=0))
        assert [frame.index for _, frame in found] == [0]

    @pytest.mark.slow
    def test_it_is_found_again(self, sender: Sender) -> None:
        sender.connections = [images(9), images(9)]
        notes: list[Note] = []
        found, error = until_gone(read_stream(stream(sender.address), notes=notes, patience=0.5))
        assert "did not come back in 0.5 s" in error.message
        assert found[-1][1].index > 9
        (note,) = notes
        assert note.code == "interrupted"
        assert re.match(r"the stream broke off \(.+\) and was away for \d+\.\d s", note.message)
        assert sender.asked > 3, "it was tried again, more than once"

    def test_frames_too_large_or_of_another_size(self, sender: Sender) -> None:
        sender.connections = [images(9), images(9), images(9, (32, 32))]
        _, error = until_gone(read_stream(stream(sender.address), max_pixels=100))
        assert "`max_pixels=3072`" in str(error.fix)
        _, error = until_gone(read_stream(stream(sender.address)))
        assert "change their size" in error.message

    def test_what_is_no_stream(self, sender: Sender) -> None:
        _, error = until_gone(read_stream(stream(sender.address)))
        assert error.message.startswith("cannot be read as a stream: ")
        assert error.where == sender.address
        assert f"curl -LO {sender.address}" in str(error.fix)
        assert sender.asked == 1, "what never gave an image is not tried again"

    def test_a_playlist_leads_to_no_file(self, tmp_path: Path, sender: Sender) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg(0))
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/a.jpg\n#EXT-X-ENDLIST\n"
        monkey = sender.get
        sender.get = lambda handler: handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + text.encode())  # type: ignore[method-assign]
        found, error = until_gone(read_stream(stream(sender.address + ".m3u8")))
        sender.get = monkey  # type: ignore[method-assign]
        assert found == []
        assert "cannot be read as a stream" in error.message

    def test_leaving(self, sender: Sender) -> None:
        sender.connections = [endless()]
        frames = read_stream(stream(sender.address))
        next(frames)
        frames.close()  # type: ignore[attr-defined]
        for thread in threading.enumerate():
            if thread.name == "bridgeseg-stream":
                thread.join(30)
                assert not thread.is_alive()


class TestPassword:
    def test_it_is_used_and_never_shown(
        self, sender: Sender, rgb_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sender.password, sender.connections = True, [endless()]
        address = f"http://user:secret@{sender.place}"
        words = ["predict", address, "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "--max-frames", "3"]
        assert main([*words, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["source"] == sender.address
        assert record["frames"] == 3
        (file,) = (tmp_path / "out").iterdir()
        assert file.name == f"127-0-0-1-{sender.place.split(':')[1].replace('/', '-')}_overlay.mp4"
        wrong = ["predict", f"http://user:hunter@{sender.place}", *words[2:]]
        for more in ([], ["--json"]):
            assert main([*wrong, *more]) == 2
            said = "".join(capsys.readouterr())
            assert "401" in said
            assert sender.address in said
            assert "hunter" not in said

    def test_nor_in_what_is_printed_of_objects(self) -> None:
        video = stream("rtsp://user:secret@10.0.0.2:554/a.sdp?token=secret")
        assert video.address == "rtsp://user:secret@10.0.0.2:554/a.sdp?token=secret"
        assert (video.shown, str(video.name)) == ("rtsp://10.0.0.2:554/a.sdp", "10-0-0-2-554-a-sdp")
        assert "secret" not in repr(video)


class TestPredicting:
    def test_which_addresses_are_streams(self) -> None:
        for name in ("rtsp://h/a.mp4", "http://h/x", "https://h/a.m3u8?b=c.jpg", "srt://h:1", "udp://@:1234"):
            assert is_stream(name)
            (found,) = expand(Path(name))
            assert isinstance(found, Video)
            assert found.address == name
            assert found.shown == without_password(name)
        for name in ("http://h/a.jpg", "https://h/a.MP4?x=1", "s3://b/a", "ftp://h/a", "clip.mp4"):
            assert not is_stream(name)

    @pytest.mark.slow
    def test_results(self, sender: Sender, model: Model) -> None:
        sender.connections = [images(6), images(6)]
        items = list(model.stream(sender.address, reconnect=0.5))
        assert isinstance(items[-1], Failure)
        assert "the stream broke off" in str(items[-1].error)
        results = [item for item in items if isinstance(item, Result)]
        assert [note.code for item in results for note in item.notes] == ["interrupted"]
        first = results[0]
        assert first.frame is not None
        assert first.mask[20, 20] == first.image[20, 20].argmax()
        assert (first.source, first.name.name) == (Path(sender.address), f"{first.frame.index:06d}")

    def test_as_many_frames_as_asked_for(self, sender: Sender, model: Model, tmp_path: Path) -> None:
        sender.connections = [endless()]
        (record,) = bridgeseg.predict(sender.address, model, tmp_path / "out", max_frames=4, masks=True)
        assert isinstance(record, VideoRecord)
        assert record.frames == 4
        assert record.masks is not None
        assert len(list(record.masks.iterdir())) == 4
        assert record.overlay is not None
        with av.open(str(record.overlay)) as container:
            assert len(list(container.decode(video=0))) == 4

    def test_a_stop_closes_the_video(self, sender: Sender, model: Model, tmp_path: Path) -> None:
        stopped(sender, model, tmp_path, lambda: None)

    def test_a_stop_while_nothing_comes(self, sender: Sender, model: Model, tmp_path: Path) -> None:
        stopped(sender, model, tmp_path, sender.over.set)


def stopped(sender: Sender, model: Model, tmp_path: Path, before: Callable[[], object]) -> None:
    """Stop a prediction of an endless stream after its first frame."""
    stop = threading.Event()
    sender.connections = [endless()]
    words = model.stream(sender.address, stop=stop)
    assert isinstance(next(words), Result)
    before()
    stop.set()
    assert all(isinstance(item, Result) for item in words)
