"""Prediction as a Ray actor: by itself, and on a local Ray of two workers of which one is killed."""

from __future__ import annotations

import io
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from bridgeseg.predicting.ray_data import FAILED, THERE, WRITTEN, RayPredictor, _Bucket

pytestmark = pytest.mark.slow


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind)
    return data.getvalue()


def rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_masks_are_written_once_and_failures_named(
    kind: str, rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "masks"
    predictor = RayPredictor(str(out) if kind == "folder" else out.as_uri(), str(rgb_onnx), root="/photos")
    batch = {
        "path": ["/photos/a/x.png", "/photos/b/x.png", "/photos/bad.jpg"],
        "bytes": [encoded(stripes)] * 2 + [b"no"],
    }
    first, second, bad = rows(predictor(batch))
    assert [first["mask"], second["mask"]] == ["a/x.png_mask.png", "b/x.png_mask.png"]
    assert (first["status"], bad["status"]) == (WRITTEN, FAILED)
    assert "no image in a known format" in bad["error"]
    mask = np.asarray(Image.open(out / first["mask"]))
    assert (mask == np.arange(60) // 20).all()
    assert json.loads(first["areas"]) == pytest.approx({"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3})
    before = (out / first["mask"]).stat().st_mtime_ns
    again = rows(predictor(batch))[0]
    assert again == {**first, "status": THERE}
    assert (out / first["mask"]).stat().st_mtime_ns == before


def test_names_without_a_root_and_outside_it(rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path) -> None:
    assert RayPredictor(str(tmp_path), str(rgb_onnx)).name("s3://bucket/a/x.jpg") == "x.jpg_mask.png"
    predictor = RayPredictor(str(tmp_path), str(rgb_onnx), root="s3://bucket/a")
    assert predictor.name("bucket/a/b/x.jpg") == "b/x.jpg_mask.png"
    (row,) = rows(predictor({"path": ["bucket/c/x.jpg"], "bytes": [encoded(stripes)]}))
    assert row["status"] == FAILED
    assert "does not lie below the root" in row["error"]


@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize("path", ["s3://b/photos/../../escaped.png", "s3://b/photos/../x.png"])
def test_keys_do_not_lead_outside(kind: str, path: str, rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "masks"
    predictor = RayPredictor(str(out), str(rgb_onnx), root="b/photos")
    if kind == "bucket":
        fs = pytest.importorskip("pyarrow.fs")
        predictor.store = _Bucket(fs.LocalFileSystem(), str(out), fs.FileType.NotFound)
        out.mkdir(parents=True)
    bad, good = rows(predictor({"path": [path, "s3://b/photos/ok.png"], "bytes": [encoded(stripes)] * 2}))
    assert (bad["status"], good["status"]) == (FAILED, WRITTEN)
    assert "leads outside the folder" in bad["error"]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [out / "ok.png_mask.png"]


def test_masks_that_are_cut_or_stale_are_written_again(rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path) -> None:
    predictor = RayPredictor(str(tmp_path), str(rgb_onnx))

    def status(image: np.ndarray, predictor: RayPredictor = predictor) -> str:
        (row,) = rows(predictor({"path": ["a.png"], "bytes": [encoded(image)]}))
        assert row["error"] == ""
        assert (np.asarray(Image.open(tmp_path / "a.png_mask.png")) == predictor.model.mask(image)).all()
        return str(row["status"])

    path = tmp_path / "a.png_mask.png"
    assert [status(stripes), status(stripes)] == [WRITTEN, THERE]
    path.write_bytes(path.read_bytes()[:60])
    assert [status(stripes), status(stripes)] == [WRITTEN, THERE]
    Image.new("P", (60, 40), 2).save(path)  # another program's
    assert status(stripes) == WRITTEN
    assert status(np.ascontiguousarray(stripes[:, ::-1])) == WRITTEN, "the image has changed"
    other = tmp_path / "other.onnx"
    other.write_bytes(rgb_onnx.read_bytes())
    model = onnx.load(other)
    model.doc_string = "trained for longer"
    onnx.save(model, other)
    newer = RayPredictor(str(tmp_path), str(other))
    assert status(np.ascontiguousarray(stripes[:, ::-1]), newer) == WRITTEN, "the model has changed"


def test_a_killed_worker_loses_no_picture(rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    photos, out, killed = tmp_path / "photos", tmp_path / "masks", tmp_path / "killed"
    photos.mkdir()
    for index in range(24):
        (photos / f"{index:02}.png").write_bytes(encoded(np.roll(stripes, index, axis=1)))

    class Mortal(RayPredictor):
        def __call__(self, batch: Any) -> dict[str, list[Any]]:
            result = super().__call__(batch)
            if any(str(path).endswith("05.png") for path in batch["path"]) and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)  # after its masks were written, before it could say so
            return result

    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    try:
        pictures = ray.data.read_binary_files(str(photos), include_paths=True, override_num_blocks=6)
        options = {"out": str(out), "model": str(rgb_onnx), "root": str(photos)}
        strategy = ray.data.ActorPoolStrategy(size=2)
        done = pictures.map_batches(
            Mortal, fn_constructor_kwargs=options, batch_size=4, num_cpus=0.5, compute=strategy
        ).take_all()
    finally:
        ray.shutdown()
    assert killed.exists()
    assert Counter(Path(row["path"]).name for row in done) == Counter(f"{index:02}.png" for index in range(24))
    assert sorted(path.name for path in out.iterdir()) == [f"{index:02}.png_mask.png" for index in range(24)]
    statuses = Counter(row["status"] for row in done)
    assert statuses[FAILED] == 0
    assert statuses[THERE] >= 1, "the masks of the killed worker were written again"
