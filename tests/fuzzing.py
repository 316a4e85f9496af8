"""Hostile inputs from seeded generators, and what must hold of each: it is used, or refused in words.

`Target.make(i)` depends on the seed and `i` alone, so an input is named by its number.
"""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bridgeseg.errors import BridgeSegError

SIDE = 24
MAX_PIXELS = 1_000_000
LARGEST = 1000
"""Values of a document above which none of its lists is repeated any more."""
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 255, 256, 65535, 65536, 10**6, 2**31, 2**63, 10**30, 10**5000, -0.0, 0.5, 1e308,
    float("nan"), float("inf"), "", " ", "\x00", "nan", "no", "1e5", "../..", "/etc", "~", "-rf", "a" * 5000, "\ud800",
    "\u202e", "image\ns", "#000000", "images/train", [], {}, [[]], {"": None}, {"0": 0}, ["a", "a"], [1, 2, 3],
    [255, 255, 256], {"names": ["a"]},
)  # fmt: skip
LABELS = (".json", ".xml", ".txt", ".csv", ".yaml", ".png")
"""Endings of files of exports that are changed."""
NAMES = ("", " ", "0", "names", "path", "format", "<<", "\ud800", "a" * 300, "dtype", "shape")
TOKENS = (
    b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.system [ls]", b"!!binary ", b"!!timestamp ", b"!!set ", b"? ",
    b"!!float ", b"- ", b": ", b"|\n", b"{", b"}", b"[", b"]", b"'", b'"', b"\t", b"\r", b"\xff\xfe", b"\xef\xbb\xbf",
    b"---\n", b"...\n", b"0x", b"1_0", b"2001-13-41", b"=", b"%YAML 9.9\n", b"\x85", b"\xe2\x80\xa8", b"[" * 300,
    b"IHDR", b"tRNS", b"PLTE", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"eXIf", b"acTL",
    b"\xff\xd8", b"\xff\xd9", b"\xff\xe1",
)  # fmt: skip


class Target(ABC):
    """One kind of input.

    Args:
        folder: where files may be written.
        seed: of the generator.

    Attributes:
        name: what the table calls it.
        suffix: of a file that holds one input.
        modules: what it takes long to import.
    """

    name: str
    suffix: str
    modules: tuple[str, ...] = ()

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.seed = folder, seed
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seeds = self.valid()

    def make(self, index: int) -> bytes:
        """Return input number `index`; the first ones are the valid ones that all others come from."""
        if index < len(self.seeds):
            return self.seeds[index]
        return self.draw(random.Random(f"{self.seed}:{self.name}:{index}"))

    @abstractmethod
    def valid(self) -> list[bytes]:
        """Return valid inputs."""

    @abstractmethod
    def use(self, content: bytes) -> None:
        """Give an input to the package; all that it may raise is a `BridgeSegError`."""

    def draw(self, rng: random.Random) -> bytes:
        """Make an input."""
        return self.mend(rng, mutate_bytes(rng, rng.choice(self.seeds), self.seeds))

    def mend(self, rng: random.Random, content: bytes) -> bytes:
        """Repair now and then what would stop a changed input at the door."""
        return content

    def accepts(self, content: bytes) -> bool:
        """Say whether an input is used (True) or refused in words (False); any other end is a bug and is raised."""
        try:
            self.use(content)
        except BridgeSegError as error:
            text = str(error)
            if not error.fix or not error.message or len(text) > 20_000:
                raise AssertionError(f"a refusal without a fix, or endless: {text[:200]!r}") from error
            return False
        return True


def mutate_bytes(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Change bytes in a few places, as fuzzers do."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            del data[at : at + rng.choice((1, 2, 4, 16, rng.randrange(1, 200)))]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randrange(1, 64)] * rng.choice((1, 2, 20))
        elif kind == 4:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 5:
            data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice((0, 1, 2**16, 2**31 - 1, 2**32 - 1)))
        elif kind == 6:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        else:
            data[at:] = b"" if rng.random() < 0.3 else data[at:]
    return bytes(data)


def mutate_tree(rng: random.Random, tree: Any) -> Any:
    """Replace, remove, add or rename values of a JSON-like tree in a few places."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places: list[tuple[Any, Any]] = []
        _collect(tree, places)
        if not places:
            return rng.choice(ODD)
        parent, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind <= 2:
            parent[key] = copy.deepcopy(rng.choice(ODD))
        elif kind == 3:
            del parent[key]
        elif kind == 4 and isinstance(parent, dict):
            parent[rng.choice(NAMES)] = parent.pop(key)
        elif isinstance(parent, list) and len(places) < LARGEST:
            parent *= rng.choice((2, 50))
        else:
            parent[key] = [parent[key]]
    return tree


def _collect(tree: Any, places: list[tuple[Any, Any]]) -> None:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        places.append((tree, key))
        _collect(tree[key], places)


def part_of(rng: random.Random, document: dict[str, Any], share: float, needed: tuple[str, ...]) -> dict[str, Any]:
    """Leave out some keys, those needed seldom: small documents are quick, and a change of one counts for more."""
    return {key: value for key, value in document.items() if rng.random() < (0.95 if key in needed else share)}


def as_json(tree: Any) -> bytes:
    """Write JSON, also what JSON cannot hold."""
    try:
        return json.dumps(tree).encode()
    except ValueError:  # integers of thousands of digits
        return json.dumps(str(type(tree))).encode() + b"9" * 5000


def png_of(array: Any, mode: str | None = None, **options: Any) -> bytes:
    """Return the bytes of a picture file, PNG unless `format` says otherwise."""
    stream = io.BytesIO()
    picture = Image.fromarray(array)
    (picture if mode is None else picture.convert(mode)).save(stream, **{"format": "PNG", **options})
    return stream.getvalue()


def mend_png(content: bytes) -> bytes:
    """Make the checksums of PNG chunks right again, so that the change reaches the decoder."""
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


class _Pictures(Target):
    def mend(self, rng: random.Random, content: bytes) -> bytes:
        return mend_png(content) if content.startswith(b"\x89PNG") and rng.random() < 0.7 else content


class Images(_Pictures):
    """Pictures, as they are read for training and prediction."""

    name, suffix = "images", ".png"

    def valid(self) -> list[bytes]:
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6
        formats = [{"format": name} for name in ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000")]
        formats += [{"format": "JPEG", "exif": exif}, {"format": "PNG", "exif": exif}]
        formats += [{"format": "TIFF", "compression": name} for name in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
        modes = [png_of(colours, mode) for mode in ("RGBA", "LA", "P", "1", "L")]
        deep = [
            png_of(colours[..., 0].astype(np.uint16) * 256),
            png_of(rng.random((SIDE, SIDE), np.float32), format="TIFF"),
        ]
        return [png_of(colours, **options) for options in formats] + modes + deep

    def use(self, content: bytes) -> None:
        from bridgeseg.images import read_image

        path = self.folder / "input.png"
        path.write_bytes(content)
        pixels = read_image(path, MAX_PIXELS)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert 0 < pixels.size <= 3 * MAX_PIXELS


def _write_dataset(folder: Path) -> dict[str, Any]:
    """Write two pictures and their masks; return what their data.yaml says."""
    for kind, array in (("images", np.zeros((SIDE, SIDE, 3), np.uint8)), ("masks", np.zeros((SIDE, SIDE), np.uint8))):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            (folder / kind / split / "a.png").write_bytes(png_of(array))
    (folder / "list.txt").write_text("images/train/a.png\n")
    return {
        "path": ".", "train": "images/train", "val": ["images/val"], "test": "list.txt", "masks_dir": "masks", "nc": 3,
        "names": {0: "sky", 1: "road", 2: "person"}, "prompts": {"person": ["a person", "pedestrian"]},
        "palette": {"road": [128, 64, 128], 2: "#ff0000"}, "label_map": {0: 0, 7: "road", 9: None},
    }  # fmt: skip


class Masks(_Pictures):
    """Mask files, with class ids, a label map and a colour map."""

    name, suffix = "masks", ".png"

    def valid(self) -> list[bytes]:
        from bridgeseg.data.spec import DataSpec

        document = _write_dataset(self.folder)
        maps = (None, {0: 0, 1: 1, 2: 2, 300: 2}, {"#000000": 0, "#ffffff": 1, "#804080": 2})
        self.specs = []
        for index, table in enumerate(maps):
            path = self.folder / f"{index}.yaml"
            path.write_text(yaml.safe_dump(document | {"label_map": table, "nc": None}))
            self.specs.append(DataSpec.load(path))
        rng = np.random.default_rng(1)
        ids = rng.choice(np.array([0, 1, 2, 255], np.uint8), (SIDE, SIDE))
        palette = Image.fromarray(ids % 3, mode="P")
        palette.putpalette([0, 0, 0, 255, 255, 255, 128, 64, 128])
        stream = io.BytesIO()
        palette.save(stream, "PNG", bits=2)
        plain = [png_of(ids, format=name) for name in ("PNG", "BMP", "TIFF")] + [stream.getvalue()]
        more = [png_of(ids, "RGB"), png_of(ids, "LA"), png_of((ids % 3).astype(np.uint16)), png_of(ids * 255, "1")]
        return plain + more + [png_of((ids % 3).astype(np.int32), format="TIFF")]

    def use(self, content: bytes) -> None:
        from bridgeseg.data.masks import read_mask

        path = self.folder / "mask.png"
        path.write_bytes(content)
        refused: list[BridgeSegError] = []
        for spec in self.specs:
            try:
                ids = read_mask(path, spec, (SIDE, SIDE))
            except BridgeSegError as error:
                refused.append(error)
                continue
            assert ids.shape == (SIDE, SIDE)
            assert set(np.unique(ids)) <= {0, 1, 2, 255}
        if len(refused) == len(self.specs):
            raise refused[0]


class DataYaml(Target):
    """data.yaml, and the listing of its splits."""

    name, suffix = "data.yaml", ".yaml"

    def valid(self) -> list[bytes]:
        self.document = _write_dataset(self.folder)
        listed = self.document | {"names": ["sky", "road", "person"], "label_map": {"#000000": 0, "#804080": "road"}}
        self.documents = [self.document, listed, {"train": "images/train", "names": ["a"]}]
        anchors = b"names: &n [a, b]\n<<: {train: images/train}\nprompts: {a: *n}\n"
        return [yaml.safe_dump(document).encode() for document in self.documents] + [anchors]

    def draw(self, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return super().draw(rng)
        tree = mutate_tree(rng, part_of(rng, rng.choice(self.documents), 0.6, ("train", "names")))
        try:
            text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=rng.choice((None, True, False)))
        except (ValueError, RecursionError):
            text = "names: " + "9" * 5000
        return text.encode("utf-8", "surrogatepass")

    def use(self, content: bytes) -> None:
        from bridgeseg.data.spec import DataSpec

        path = self.folder / "data.yaml"
        path.write_bytes(content)
        spec = DataSpec.load(path)
        json.dumps(spec.to_dict())
        for split in spec.splits:
            for sample in spec.samples(split):
                assert sample.image.is_relative_to(spec.root)
                assert sample.mask.is_relative_to(spec.root)


class Settings(Target):
    """A file of training settings."""

    name, suffix = "settings", ".yaml"
    modules = ("bridgeseg.settings.train",)

    def valid(self) -> list[bytes]:
        from bridgeseg.settings.train import TrainConfig

        self.document = TrainConfig(data="data.yaml").model_dump(mode="json")
        groups = [{"data": "d", key: value} for key, value in self.document.items() if isinstance(value, dict)]
        written = [yaml.safe_dump(document).encode() for document in (self.document, *groups)]
        return [*written, b"data: d\nmodel.width: 32\nloss: {dice: 1}\n"]

    def draw(self, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return super().draw(rng)
        return as_json(mutate_tree(rng, part_of(rng, self.document, 0.2, ("data",))))

    def use(self, content: bytes) -> None:
        from bridgeseg.settings.train import TrainConfig
        from bridgeseg.settings.values import load_values, set_values

        # JSON is YAML as well, so that a file of either kind may hold it
        json_too = content.startswith(b"{") and len(content) % 2
        path = self.folder / ("settings.json" if json_too else "settings.yaml")
        path.write_bytes(content)
        TrainConfig.parse(set_values(load_values(path), {"epochs": 1}))


class Metadata(Target):
    """The metadata of .onnx files that are otherwise sound: keys and texts in turn, with zero bytes between them."""

    name, suffix = "metadata", ".bin"
    modules = ("conftest", "onnx", "onnxruntime")

    def valid(self) -> list[bytes]:
        import onnx

        from conftest import write_onnx

        path = write_onnx(self.folder / "valid.onnx", provenance={"method": "none", "scores": {"miou": 0.5}})
        self.model = onnx.load(path)
        self.entries = {entry.key: entry.value for entry in self.model.metadata_props}
        return [_joined(self.entries)]

    def draw(self, rng: random.Random) -> bytes:
        entries = dict(self.entries)
        key = rng.choice([*entries, "bridgeseg.other"])
        try:
            value = json.loads(entries.get(key, "{}"))
        except ValueError:
            value = entries[key]
        kind = rng.randrange(4)
        if kind == 0:
            entries.pop(key, None)
        elif kind == 1:
            old = entries.get(key, "").encode()
            entries[key] = mutate_bytes(rng, old, [old]).decode("utf-8", "replace")
        else:
            entries[key] = as_json(mutate_tree(rng, value)).decode()
        return _joined(entries)

    def use(self, content: bytes) -> None:
        import onnx

        from bridgeseg.runtime.model import Model

        del self.model.metadata_props[:]
        parts = content.decode("utf-8", "replace").split("\0")
        onnx.helper.set_model_props(self.model, dict(zip(parts[::2], parts[1::2], strict=False)))
        path = self.folder / "model.onnx"
        path.write_bytes(self.model.SerializeToString())
        model = Model.load(path, threads=1)
        result = model.predict(np.zeros((4, 4, 3), np.uint8))
        assert sum(result.areas().values()) == 1
        result.overlay()


class Exports(_Pictures):
    """Exports of labelling tools: the path of a file of `forms/`, a zero byte, and what that file holds."""

    name, suffix = "exports", ".bin"

    def valid(self) -> list[bytes]:
        forms = Path(__file__).parent / "forms"
        self.files = {
            path.relative_to(forms).as_posix(): path.read_bytes()
            for path in sorted(forms.glob("*/**/*"))
            if path.is_file() and path.suffix in LABELS and "SegmentationObject" not in path.parts
        }
        for name in {key.partition("/")[0] for key in self.files}:
            shutil.copytree(forms / name, self.folder / name)
        return [name.encode() + b"\0" + content for name, content in self.files.items()]

    def draw(self, rng: random.Random) -> bytes:
        name = rng.choice(list(self.files))
        content = self.files[name]
        if name.endswith(".json") and rng.random() < 0.6:
            return name.encode() + b"\0" + as_json(mutate_tree(rng, json.loads(content)))
        return name.encode() + b"\0" + self.mend(rng, mutate_bytes(rng, content, [content]))

    def use(self, content: bytes) -> None:
        from bridgeseg import import_data
        from bridgeseg.data.masks import read_mask
        from bridgeseg.data.spec import DataSpec

        name, _, body = content.partition(b"\0")
        place, out = name.decode("utf-8", "replace"), self.folder / "out"
        if place not in self.files:
            place, body = next(iter(self.files)), content
        folder = place.partition("/")[0]
        shutil.rmtree(out, ignore_errors=True)
        (self.folder / place).write_bytes(body)
        try:
            form = {"coco-panoptic": "coco", "cvat-masks": "voc"}.get(folder, folder)
            spec = DataSpec.load(import_data(self.folder / folder, out=out, format=form).data)
        finally:
            (self.folder / place).write_bytes(self.files[place])
        for split in spec.splits:
            for sample in spec.samples(split):
                assert sample.image.is_relative_to(out.resolve())
                read_mask(sample.mask, spec)


def _joined(entries: dict[str, str]) -> bytes:
    return "\0".join(part for entry in entries.items() for part in entry).encode()


class Checkpoints(Target):
    """Checkpoint folders: config.json, a zero byte, model.safetensors."""

    name, suffix = "checkpoints", ".bin"
    modules = ("bridgeseg.checkpoint",)

    def valid(self) -> list[bytes]:
        import torch

        from bridgeseg.checkpoint import Checkpoint, save_checkpoint
        from bridgeseg.classes import ClassSet
        from bridgeseg.models.build import build
        from bridgeseg.settings.model import ModelConfig

        classes = ClassSet.build(["sky", "road", "person"])
        found = []
        for method in ("none", "bridge"):
            config = ModelConfig.model_validate(
                {
                    "method": method,
                    "backbone": "test_efficientnet",
                    "width": 8,
                    "bridge": {"dim": 8, "heads": 1, "depth": 1},
                }
            )
            network = build(config, 3, None if method == "none" else torch.ones(3, 4))
            place = save_checkpoint(self.folder / "valid", Checkpoint(network, config, classes, {"method": method}))
            description = json.loads((place / "config.json").read_text())
            del description["sha256"]  # a stranger's fits what he wrote
            found.append(as_json(description) + b"\0" + (place / "model.safetensors").read_bytes())
        return found

    def draw(self, rng: random.Random) -> bytes:
        text, weights = split(rng.choice(self.seeds))
        length = int.from_bytes(weights[:8], "little")
        kind = rng.randrange(4)
        if kind == 0:
            text = mutate_bytes(rng, text, [text]).replace(b"\0", b"")
        elif kind == 1:
            text = as_json(mutate_tree(rng, json.loads(text)))
        elif kind == 2:
            header = as_json(mutate_tree(rng, json.loads(weights[8 : 8 + length])))
            weights = struct.pack("<Q", len(header)) + header + weights[8 + length :]
        else:
            head = mutate_bytes(rng, weights[: length + 64], [weights[:100]])
            weights = head + weights[length + 64 :]
        return text + b"\0" + weights

    def use(self, content: bytes) -> None:
        from bridgeseg.checkpoint import load_checkpoint

        place = self.folder / "checkpoint"
        place.mkdir(exist_ok=True)
        text, weights = split(content)
        (place / "config.json").write_bytes(text)
        (place / "model.safetensors").write_bytes(weights)
        load_checkpoint(place)


class States(Target):
    """`resume.ckpt` of run folders."""

    name, suffix = "resume.ckpt", ".ckpt"
    modules = ("bridgeseg.training.folder",)

    def valid(self) -> list[bytes]:
        import torch

        state = {"epoch": 1, "state_dict": {"segmentor.x": torch.zeros(4)}, "callbacks": {"KeepBest": {"best": None}}}
        stream, old = io.BytesIO(), io.BytesIO()
        torch.save(state, stream)
        torch.save(state, old, _use_new_zipfile_serialization=False)
        self.old = old.getvalue()  # PyTorch's form of before, without checksums: refused, never a bug
        return [stream.getvalue()]

    def draw(self, rng: random.Random) -> bytes:
        """Change bytes, or what the archive holds: then its checksums fit, as those of a stranger do."""
        seed = rng.choice([*self.seeds, self.old])
        if rng.random() < 0.3 or not zipfile.is_zipfile(io.BytesIO(seed)):
            return super().draw(rng)
        changed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(seed)) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, mutate_bytes(rng, content, [content]) if name.endswith(".pkl") else content)
        return changed.getvalue()

    def use(self, content: bytes) -> None:
        from bridgeseg.training.folder import read_state

        (self.folder / "resume.ckpt").write_bytes(content)
        read_state(self.folder)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Return the two files of an input of `Checkpoints`."""
    text, _, weights = content.partition(b"\0")
    return text, weights


TARGETS: dict[str, type[Target]] = {
    target.name: target for target in (DataYaml, Images, Masks, Exports, Checkpoints, States, Metadata, Settings)
}
