"""The page of `bridgeseg demo`: what it shows, and in headless Chromium that it shows it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError
from bridgeseg.runtime.model import Model
from bridgeseg.settings.demo import Demo
from bridgeseg.showing.stage import Look, Stage
from tiny_onnx import NAMES, photo, write_network


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file, and the same with confidence."""
    folder = tmp_path_factory.mktemp("demo")
    plain, sure = write_network(folder / "plain.onnx"), folder / "sure.onnx"
    bridgeseg.export(plain, sure, confidence=True)
    return plain, sure


def test_two_models_side_by_side(files: tuple[Path, Path]) -> None:
    stage = Stage.of(Demo(model=files[1], beside=files[0]))
    assert (stage.titles, stage.names, stage.confident, stage.takes_names) == (
        ["sure", "plain"], list(NAMES), True, False
    )  # fmt: skip
    image, found = stage.segment(photo(1, 40, 240))
    np.testing.assert_array_equal(found[0].ids, found[1].ids)
    sure, plain = (np.asarray(drawn)[:40, :240] for drawn in stage.draw(image, found, Look(opacity=1)))
    np.testing.assert_array_equal(sure, plain)
    bare = stage.draw(image, found, Look(show=()))[0]  # only the outlines are left
    assert (np.asarray(bare)[:40, :240] == image).all(axis=2).mean() > 0.3
    hatched, same = stage.draw(image, found, Look(opacity=1, least=1))
    assert (np.asarray(hatched)[:40, :240] != sure).mean() > 0.3
    np.testing.assert_array_equal(np.asarray(same)[:40, :240], plain)  # this one does not say how sure it is
    assert stage.with_names(" ") is stage
    with pytest.raises(ConfigError, match="knows its own 4 classes only"):
        stage.with_names("road, sky")


def test_names_count_for_a_model_that_is_loaded_already(files: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="knows its own 4 classes only"):
        Stage.of(Demo(model=Model.load(files[0]), names="road, sky"))


def test_names_stay_loaded_for_a_while(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(Model, "with_names", lambda self, names: loaded.append(names) or self)
    stage = Stage.of(Demo(model=files[0]))
    for names in ("a", "b", " a", *"cdefghi", "a", "b"):
        stage.with_names(names)
    assert loaded == [*"abcdefghi", "b"]


def test_a_video(files: tuple[Path, Path], tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for seed in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(photo(seed, 48, 64), format="rgb24")))
        container.mux(stream.encode())
    stage = Stage.of(Demo(model=files[1], beside=files[0]))
    made = stage.video(clip, Look(least=0.5))
    assert len(set(made)) == 2
    assert all(path.suffix == ".mp4" and path.stat().st_size for path in made)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(bridgeseg.errors.InputError):
        stage.video(tmp_path / "broken.mp4", Look())


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", "street"]) == 2
    assert "pip install 'bridgeseg[demo]'" in capsys.readouterr().err


@pytest.fixture
def address(files: tuple[Path, Path]) -> Iterator[str]:
    pytest.importorskip("gradio")
    from bridgeseg.showing.page import launch

    blocks, place = launch(Demo(model=files[1], beside=files[0]), wait=False)
    with pytest.raises(ConfigError, match="cannot be listened at"):
        launch(Demo(model=files[1], port=int(place.rstrip("/").rpartition(":")[2])), wait=False)
    yield place
    blocks.close()


@pytest.mark.browser
@pytest.mark.slow
def test_in_a_browser(address: str, tmp_path: Path) -> None:
    from PIL import Image

    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium")
    Image.fromarray(photo(1, 120, 168)).save(tmp_path / "photo.png")
    options = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url))
        page.goto(address)
        page.set_input_files("#image input[type=file]", tmp_path / "photo.png")
        first = shown(page, "#found-0 img")
        shown(page, "#found-1 img")
        screenshot(page, "demo")
        page.click(f"#classes label:has-text('{NAMES[0]}') input")
        page.wait_for_function("before => document.querySelector('#found-0 img').src !== before", arg=first)
        page.click("button[role=tab]:has-text('Webcam')")
        page.click("#camera button:has-text('Click to Access')")
        page.click("#camera button[aria-label='capture photo']")
        shown(page, "#live-0 img")
        assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == []
        browser.close()


def shown(page: Any, selector: str) -> str:
    page.wait_for_selector(selector)
    return str(page.get_attribute(selector, "src"))


def screenshot(page: Any, name: str) -> None:
    import os

    if folder := os.environ.get("BRIDGESEG_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
