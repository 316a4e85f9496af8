"""Prediction on many machines: an actor for Ray Data's `map_batches` (extra: ray).

    import ray
    from bridgeseg.predicting.ray_data import RayPredictor

    images = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    rows = images.map_batches(
        RayPredictor, fn_constructor_kwargs={"out": "s3://bucket/masks", "root": "bucket/photos"},
        batch_size=8, num_cpus=1, compute=ray.data.ActorPoolStrategy(size=16),
    )

Every image has a mask whose name follows from its own, and that is whole or not there. So a worker that is killed
loses nothing: Ray gives its images to another one, which leaves the masks alone that were written already. The same
holds for a job that is started again. A mask counts as written if it is whole and says that it was made of the same
bytes by the same model; any other is written again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from bridgeseg.errors import InputError, MissingDependencyError
from bridgeseg.files import below, digest
from bridgeseg.images import DEFAULT_MAX_PIXELS, as_pixels
from bridgeseg.report.draw import area_shares, palette_image
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.runtimes import Ids
from bridgeseg.runtime.saving import marked, save_mask

ENDING = "_mask.png"
WRITTEN, THERE, FAILED = "written", "there", "failed"


class RayPredictor:
    """Segments batches of encoded images and writes their masks; one instance a worker.

    Args:
        out: folder, or the address of a bucket that pyarrow knows (`s3://`, `gs://`, `file://`).
        model: an .onnx file that every worker can read; None for the bundled model.
        root: what is cut off the front of an image's path to name its mask; by default all but the file's name. With
            it images of the same name in different folders keep apart.
        threads: of the network; give the worker as many CPUs.
        max_pixels: images with more are refused.

    Raises:
        InputError: the model cannot be used.
        MissingDependencyError: a bucket without pyarrow.
    """

    def __init__(
        self,
        out: str,
        model: str | None = None,
        root: str | None = None,
        threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.store = _store(out)
        self.root, self.max_pixels = root, max_pixels
        self.model = Model.load(model, threads)
        self._digest = digest(self.model.path) if self.model.path is not None else ""

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Segment a batch.

        Args:
            batch: columns `bytes` (whole image files) and `path`, as `ray.data.read_binary_files` gives them.

        Returns:
            Columns `path`, `mask` (below `out`), `status` ("written", "there" if it was before, "failed"), `areas`
            (JSON: class name -> share of the image) and `error` (text, empty unless failed). An image whose path leads
            outside of `out` is a failure.
        """
        rows = [self._one(str(path), bytes(data)) for path, data in zip(batch["path"], batch["bytes"], strict=True)]
        return {key: [row[key] for row in rows] for key in ("path", "mask", "status", "areas", "error")}

    def name(self, path: str) -> str:
        """Return the name of an image's mask below `out`; its ending stays: `a.jpg` and `a.png` may both be there."""
        whole = PurePosixPath(path.partition("://")[2] or path)
        if self.root is None:
            return whole.name + ENDING
        root = PurePosixPath(self.root.partition("://")[2] or self.root)
        if not whole.is_relative_to(root):
            raise InputError(f"does not lie below the root {root}", where=path, fix="correct `root`")
        return str(whole.relative_to(root)) + ENDING

    def _one(self, path: str, data: bytes) -> dict[str, Any]:
        row: dict[str, Any] = {"path": path, "mask": "", "status": FAILED, "areas": "{}", "error": ""}
        try:
            name = row["mask"] = self.name(path)
            about = {"model": self._digest, "image": hashlib.sha256(data).hexdigest()}
            ids = _ids(self.store.read(name), about)
            row["status"] = WRITTEN if ids is None else THERE
            if ids is None:
                ids = self.model.mask(as_pixels(data, self.model.reading, max_pixels=self.max_pixels))
                self.store.write(name, palette_image(ids, self.model.classes), about)
            row["areas"] = json.dumps(area_shares(ids, self.model.classes))
        except Exception as error:  # one bad image must not end a job of a million
            row["status"] = FAILED
            row["error"] = f"{type(error).__name__}: {error}"
        return row


def _ids(found: bytes | None, about: dict[str, str]) -> Ids | None:
    """Return the class ids of a mask that is there; None if it is cut, damaged or not made of what `about` says."""
    if found is None:
        return None
    try:
        with Image.open(io.BytesIO(found), formats=("PNG",)) as image:
            image.load()
            same = all(image.info.get(key) == value for key, value in about.items())
            return np.asarray(image) if same else None
    except Exception:  # a decoder raises nearly anything on damaged files
        return None


def _store(out: str) -> _Folder | _Bucket:
    """Open a folder, or what pyarrow finds behind an address."""
    if "://" not in out:
        return _Folder(Path(out))
    try:
        from pyarrow import fs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("buckets need pyarrow", fix="pip install 'bridgeseg[ray]'") from error
    system, base = fs.FileSystem.from_uri(out)
    return (
        _Folder(Path(base)) if isinstance(system, fs.LocalFileSystem) else _Bucket(system, base, fs.FileType.NotFound)
    )


class _Folder:
    """A folder that all workers see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """Return a file that is there, else None."""
        path = below(self.folder, name)
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, image: Image.Image, about: dict[str, str]) -> None:
        """Write a mask, whole or not at all."""
        save_mask(image, below(self.folder, name), about)


class _Bucket:
    """A bucket; an object appears in it when all of it has arrived."""

    def __init__(self, system: Any, base: str, missing: Any) -> None:
        self.system, self.base, self.missing = system, base, missing

    def read(self, name: str) -> bytes | None:
        """Return an object that is there, else None."""
        place = self._place(name)
        if self.system.get_file_info(place).type == self.missing:
            return None
        with self.system.open_input_stream(place) as stream:
            return bytes(stream.read())

    def write(self, name: str, image: Image.Image, about: dict[str, str]) -> None:
        """Write a mask, whole or not at all."""
        data = io.BytesIO()
        image.save(data, "PNG", pnginfo=marked(about))
        with self.system.open_output_stream(self._place(name)) as stream:
            stream.write(data.getvalue())

    def _place(self, name: str) -> str:
        return f"{self.base}/{below(Path(), name).as_posix()}"
