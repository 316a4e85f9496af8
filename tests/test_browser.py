"""The page of examples/browser in headless Chromium: an image in, the classes that `bridgeseg.load` finds out.

    (cd examples/browser && npm install); pip install 'bridgeseg[browser-test]'; apt-get install chromium
    pytest -m browser -n0

`BRIDGESEG_SCREENSHOTS` names a folder for screenshots.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

import bridgeseg

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "examples" / "browser"
LIBRARY = Path(os.environ.get("BRIDGESEG_ORT_WEB", PAGE / "node_modules" / "onnxruntime-web" / "dist"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
WAIT = 120_000  # ms
OPTIONS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve the page beside onnxruntime-web; models may be put into the folder."""
    if not (LIBRARY / "ort.wasm.min.mjs").is_file():
        pytest.skip("onnxruntime-web is not installed: npm install in examples/browser")
    folder = tmp_path_factory.mktemp("site")
    for file in PAGE.iterdir():
        if file.suffix in (".html", ".css", ".mjs"):
            shutil.copy(file, folder)
    (folder / "ort").symlink_to(LIBRARY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/?ort=ort/", folder
    server.shutdown()


def shares(page: Any) -> dict[str, float]:
    """What the legend says: class name -> share of the image."""
    found = page.eval_on_selector_all(
        "#legend li", "items => items.map(i => [i.querySelector('.swatch + span').textContent, +i.dataset.share])"
    )
    return {name: share for name, share in found if share}


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("BRIDGESEG_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("name", ["street", "street-int8", "plain"])
def test_an_image(browser: Any, site: tuple[str, Path], name: str) -> None:
    address, folder = site
    photo, file = folder / "photo.png", folder / f"{name}.onnx"
    with Image.open(ROOT / "examples" / "street.jpg") as image:
        image.resize((512, 320)).save(photo)  # each program resizes in its own way
    if name == "plain":
        bridgeseg.export("street", file, confidence=True, plain=True, size=(320, 512))
    else:
        bridgeseg.export(name, file, confidence=True)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}&model={name}.onnx&size=512")
    page.wait_for_selector("body[data-state=ready]", timeout=WAIT)
    page.set_input_files("#file", photo)
    page.wait_for_selector("body[data-state=done]", timeout=WAIT)
    keep(page, f"browser-{name}")
    expected = bridgeseg.load(file).predict(photo).areas()
    found = shares(page)
    assert sum(found.values()) == pytest.approx(1)
    for label in set(found) | set(expected):
        assert found.get(label, 0) == pytest.approx(expected.get(label, 0), abs=0.001), label

    pixels = "() => { const v = document.getElementById('view');"
    pixels += " return Array.from(v.getContext('2d').getImageData(0, 0, v.width, v.height).data) }"
    largest = max(found, key=lambda label: found[label])
    before = page.evaluate(pixels)
    page.click(f"#legend li:has-text('{largest}') input")  # hides the class
    hidden = page.evaluate(pixels)
    changed = sum(a != b for a, b in zip(before[::4], hidden[::4], strict=True)) / (len(before) / 4)
    assert changed == pytest.approx(found[largest], abs=0.05)
    page.fill("#confidence", "1")  # nothing is as sure as this but what is at 100 %
    assert sum(shares(page).values()) < 0.9
    assert errors == []
    page.close()


def test_the_camera(browser: Any, site: tuple[str, Path]) -> None:
    address, folder = site
    shutil.copy(ROOT / "src" / "bridgeseg" / "weights" / "street.onnx", folder / "camera.onnx")
    page = browser.new_page()
    page.goto(f"{address}&model=camera.onnx&size=128")
    page.wait_for_selector("body[data-state=ready]", timeout=WAIT)
    page.click("#camera")
    page.wait_for_function("+document.body.dataset.frames >= 2", timeout=WAIT)
    page.click("#camera")
    assert sum(shares(page).values()) == pytest.approx(1)
    page.close()


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be loaded"), (b"\x08\x08\x12\x03abc", "no file written by")]
)
def test_what_is_no_model(browser: Any, site: tuple[str, Path], content: bytes | None, message: str) -> None:
    address, folder = site
    if content is not None:
        (folder / "wrong.onnx").write_bytes(content)
    page = browser.new_page()
    page.goto(f"{address}&model={'missing' if content is None else 'wrong'}.onnx")
    page.wait_for_selector("body[data-state=failed]", timeout=WAIT)
    assert message in page.text_content("#status")
    page.close()


def test_the_library_is_the_one_that_was_tried() -> None:
    declared = json.loads((PAGE / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    installed = LIBRARY.parent / "package.json"
    if not installed.is_file():
        pytest.skip("onnxruntime-web is not installed: npm install in examples/browser")
    major = json.loads(installed.read_text())["version"].partition(".")[0]
    assert declared.startswith(f"^{major}.")
