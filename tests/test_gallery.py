"""`bridgeseg gallery`: one page of images, worst first, of one model or two."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.evaluating.evaluate import evaluate_split
from bridgeseg.evaluating.gallery import _titles
from conftest import MakeOnnx
from tiny_data import NAMES, write_dataset

CLASSES = bridgeseg.ClassSet.build(list(NAMES))


class Channels:
    """A model whose class is the strongest channel, of the channels in another order if that is wanted."""

    confident = True

    def __init__(self, order: tuple[int, ...] = (0, 1, 2)) -> None:
        self.order = order

    def classes(self, images: np.ndarray) -> np.ndarray:
        return images[..., self.order].argmax(axis=3).astype(np.uint8)

    def with_confidence(self, output: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.classes(images), images.max(axis=3)


def model(order: tuple[int, ...] = (0, 1, 2), name: str = "model") -> bridgeseg.Model:
    return bridgeseg.Model(Channels(order), CLASSES, {}, Path(f"{name}.onnx"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images, of which the model is wrong in 2 (half of it), in 0 (a fifth) and in no other; 3 has no labels."""
    path = write_dataset(tmp_path / "data", width=60)
    for name, columns in (("2", slice(0, 30)), ("0", slice(0, 12)), ("3", None)):
        file = path.parent / "masks" / "val" / f"{name}.png"
        mask = np.asarray(Image.open(file)).copy()
        if columns is None:
            mask[:] = 255
        else:
            mask[2:, columns] = (mask[2:, columns] + 1) % 3
        Image.fromarray(mask).save(file)
    return path


def pictures(text: str) -> list[tuple[str, Image.Image]]:
    """Return captions and pictures of a page."""
    found = re.findall(r'<img alt="([^"]*)"[^>]* src="data:image/\w+;base64,([^"]*)"', text)
    return [(caption, Image.open(io.BytesIO(base64.b64decode(content)))) for caption, content in found]


def test_the_worst_come_first(data: Path) -> None:
    out = data.parent / "new" / "gallery.html"
    report = bridgeseg.gallery(model(), data, out=out)
    assert [one.image for one in report.images] == [f"images/val/{name}.png" for name in (2, 0, 1, 3)]
    spec = DataSpec.load(data)
    scores = evaluate_split(model(), spec.samples("val"), spec, progress=False)
    assert report.scores[0].to_dict() == scores.to_dict()
    for one in report.images[:3]:
        sample = next(sample for sample in spec.samples("val") if spec.key(sample) == one.image)
        alone = evaluate_split(model(), [sample], spec, progress=False)
        assert one.miou == (alone.miou,)
        assert one.iou == (alone.iou,)
        assert one.difference is None
    assert report.images[3].miou == (None,)
    assert (report.shown, report.models, report.path, report.split) == (4, ("model",), out, "val")
    text = out.read_text()
    places = [text.index(f"<h2>images/val/{name}.png</h2>") for name in (2, 0, 1, 3)]
    assert places == sorted(places)
    assert "://" not in text.replace("http://www.w3.org", "")
    numbers = json.loads(re.findall(r"const numbers = (.*);", text)[0])
    assert [one["name"] for one in numbers] == [one.image for one in report.images]
    assert numbers[0]["miou"] == [round(report.images[0].miou[0] or 0, 4)]
    assert numbers[3] == {"name": "images/val/3.png", "miou": [None], "iou": {}}


def test_pictures_are_what_they_are_called(data: Path) -> None:
    bridgeseg.gallery(model(), data, out=data.parent / "g.html", limit=1, side=40)
    shown = dict(pictures((data.parent / "g.html").read_text()))
    assert list(shown) == ["image", "truth", "prediction", "difference", "confidence"]
    assert {picture.size for picture in shown.values()} == {(40, 32)}
    palette = np.array([*CLASSES.palette, (0, 0, 0)])
    image, mask = (Image.open(data.parent / kind / "val" / "2.png") for kind in ("images", "masks"))
    truth, prediction = (np.asarray(shown[name].convert("RGB")) for name in ("truth", "prediction"))
    assert (truth[10, 1] == palette[np.asarray(mask)[15, 1]]).all()
    assert (truth[0, 0] == 0).all()
    assert (prediction[10, 1] == palette[np.asarray(image)[15, 1].argmax()]).all()
    wrong = np.asarray(shown["difference"]).astype(int)
    red = wrong[..., 0] - wrong[..., 1] > 80
    assert red[4:, 2:17].all()
    assert not red[:, 23:].any()
    assert shown["confidence"].mode == "L"
    assert np.asarray(shown["confidence"]).mean() > 150


@pytest.mark.parametrize("limit", [2, 10])
def test_two_models_side_by_side(data: Path, limit: int) -> None:
    pair = [model(name="good"), model((1, 0, 2), name="bad")]
    report = bridgeseg.gallery(pair, data, out=data.parent / "g.html", limit=limit)
    assert report.models == ("good", "bad")
    assert report.scores[0].miou > report.scores[1].miou
    worst = [one.worst for one in report.images]
    assert worst == sorted(worst)
    first = report.images[0]
    assert first.difference == pytest.approx((first.miou[1] or 0) - (first.miou[0] or 0))
    assert report.shown == min(limit, 4)
    text = (data.parent / "g.html").read_text()
    captions = [caption for caption, _ in pictures(text)]
    each = [f"{kind}, {name}" for name in ("good", "bad") for kind in ("prediction", "difference", "confidence")]
    assert captions == ["image", "truth", *each] * report.shown
    assert "gained most first" in text
    told = report.to_dict()
    assert [one["model"] for one in told["models"]] == ["good", "bad"]
    assert len(told["images"]) == 4


def trained(share: float, order: tuple[int, ...] = (0, 1, 2)) -> bridgeseg.Model:
    """Return a model that kept a share of train for validation."""
    facts = {"config": {"val_split": "val", "val_share": share}}
    return bridgeseg.Model(Channels(order), CLASSES, facts, Path(f"{share}.onnx"))


def test_the_split_that_a_run_took_from_train(data: Path, capsys: Any) -> None:
    data.write_text(f"train: images/train\nnames: {list(NAMES)}\n")
    kept = [DataSpec.load(data, share).samples("val") for share in (0.5, 0.9)]
    assert 0 < len(kept[0]) < len(kept[1])
    page = data.parent / "page.html"
    scores = bridgeseg.evaluate(trained(0.5), data)
    assert scores.images == len(kept[0])
    assert "split val: the images of train that the run kept for validation (val_share 0.5)" in capsys.readouterr().err
    bridgeseg.evaluate(trained(0.5), data, quiet=True)
    assert capsys.readouterr().err == ""
    shown = bridgeseg.gallery(trained(0.9), data, out=page).images
    assert sorted(one.image for one in shown) == [f"images/train/{sample.image.name}" for sample in kept[1]]
    both = [trained(0.9), trained(0.5, (1, 0, 2))]
    assert len(bridgeseg.gallery(both, data, out=page).images) == len(kept[0])  # the others one of the two has seen
    for models in (model(), trained(0), [trained(0.5), model(name="other")]):
        with pytest.raises(DataError, match=r"no split 'val'; allowed: train\n  fix: .*val_share: 0\.1") as caught:
            bridgeseg.gallery(models, data, out=page)
    data.write_text(data.read_text() + re.findall("`(.*?)`", str(caught.value.fix))[0])
    assert len(bridgeseg.gallery(model(), data, out=page).images) == 1


def test_the_command(data: Path, make_onnx: MakeOnnx, capsys: Any) -> None:
    first, second = make_onnx("first.onnx"), make_onnx("second.onnx")
    out = data.parent / "<b>.html"
    words = ["gallery", "--data", str(data), "--out", str(out), "--model", str(first)]
    assert main(words) == 0
    assert re.fullmatch(r".*: 4 of 4 images, worst first; mIoU first \d\d\.\d\n", capsys.readouterr().out)
    assert "confidence" not in dict(pictures(out.read_text()))  # the file does not say
    assert main([*words, "--model", str(second), "--limit", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shown"], [one["model"] for one in told["models"]]) == (3, ["first", "second"])


def test_names_are_no_markup(data: Path) -> None:
    for kind in ("images", "masks"):
        (data.parent / kind / "val" / "1.png").rename(data.parent / kind / "val" / "<script>'&.png")
    out = data.parent / "g.html"
    bridgeseg.gallery(bridgeseg.Model(Channels(), CLASSES, {}, Path("<i>.onnx")), data, out=out)
    text = out.read_text()
    assert text.count("<script>") == 1
    assert "<i>" not in re.sub(r'<i style="[^"]*">', "", text)
    assert "<h2>images/val/&lt;script&gt;&#39;&amp;.png</h2>" in text


def test_mistakes(data: Path, make_onnx: MakeOnnx) -> None:
    out = data.parent / "g.html"
    with pytest.raises(ConfigError, match="found 3"):
        bridgeseg.gallery([model()] * 3, data, out=out)
    with pytest.raises(ConfigError, match="no dataset to show"):
        bridgeseg.gallery(model(), out=out)
    with pytest.raises(DataError, match="no split 'test'"):
        bridgeseg.gallery(model(), data, split="test", out=out)
    with pytest.raises(ConfigError, match="limit"):
        bridgeseg.gallery(model(), data, out=out, limit=0)
    other = make_onnx("other.onnx", classes=bridgeseg.ClassSet.build(["red", "green", "sky"]))
    with pytest.raises(DataError, match="only in the model: 'sky'"):
        bridgeseg.gallery([model(), other], data, out=out)
    with pytest.raises(InputError):
        bridgeseg.gallery(model(), data, out=data.parent)
    assert not out.exists()


STUB = """
const sections = [0, 1, 2, 3].map(place => ({ place }));
const made = {
  images: { children: sections, replaceChildren(...shown) { this.shown = shown; } },
  class: { value: "" }, order: { value: "worst" }, count: {},
};
globalThis.document = { getElementById: name => made[name] };
"""
ASK = """
const told = {};
for (const [kind, way] of [["", "worst"], ["", "best"], ["", "name"], ["0", "worst"], ["", "gained"], ["", "lost"]]) {
  made.class.value = kind; made.order.value = way; made.order.onchange();
  told[kind + way] = made.images.shown.map(one => one.place);
}
console.log(JSON.stringify([told, made.count.textContent]));
"""


@pytest.mark.slow  # starts a process
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_filter_and_order(data: Path) -> None:
    pair = [model(), model((1, 0, 2))]
    report = bridgeseg.gallery(pair, data, out=data.parent / "g.html")
    script = re.findall(r"<script>(.*?)</script>", (data.parent / "g.html").read_text(), re.DOTALL)[0]
    file = data.parent / "page.js"
    file.write_text(f"{STUB}\n{{{script}}}\n{ASK}")
    done = subprocess.run(["node", str(file)], capture_output=True, text=True, check=True)
    told, count = json.loads(done.stdout)
    assert count == "4 of 4 shown"
    assert told["worst"] == [0, 1, 2, 3]
    assert told["best"][-1] == 3
    assert told["name"] == sorted(range(4), key=lambda place: report.images[place].image)
    assert told["0worst"] == sorted(
        (place for place in range(3) if report.images[place].iou[0]["red"] is not None),
        key=lambda place: min(own["red"] or 0 for own in report.images[place].iou),
    )
    gains = [one.difference or 0 for one in report.images]
    assert told["gained"] == sorted(range(4), key=lambda place: -gains[place])
    assert told["lost"] == sorted(range(4), key=lambda place: gains[place])


@pytest.mark.slow  # starts a process
def test_it_needs_no_torch(data: Path, rgb_onnx: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['matplotlib'] = None\n"
        f"import bridgeseg; bridgeseg.gallery({str(rgb_onnx)!r}, {str(data)!r}, out={str(data.parent / 'g.html')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (data.parent / "g.html").is_file()


def test_models_that_are_called_alike_are_named_by_their_paths() -> None:
    paths = [Path("r/a/best"), Path("r/a.onnx")]
    assert _titles(paths) == ("r/a/best", "r/a.onnx")
    assert _titles([paths[0], Path("r/b.onnx")]) == ("a", "b")
