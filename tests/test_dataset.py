"""Samples are read as they were meant or refused by name; items are the same for any number of workers."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.data import DataLoader

from bridgeseg.data.dataset import SegmentationDataset, from_worker, read_image, read_mask, read_sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.stats import class_statistics
from bridgeseg.data.transforms import AugmentConfig, TrainTransform
from bridgeseg.errors import BridgeSegError, DataError, InputError

SHARED = Path(__file__).parents[1].parent / "shared"
IDS = np.array([[0, 1, 2, 255], [2, 1, 0, 0]], dtype=np.uint8)
NAMES = "names: [sky, road, car]\n"


def make(root: Path, extra: str = "", names: str = NAMES, ids: np.ndarray = IDS, count: int = 1) -> DataSpec:
    """Write `count` pairs of 4x2 pixels; sample i's image is filled with the grey 10 * i."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(exist_ok=True)
    for index in range(count):
        Image.new("RGB", (4, 2), (10 * index,) * 3).save(root / "images" / f"{index}.png")
        Image.fromarray(ids).save(root / "masks" / f"{index}.png")
    (root / "data.yaml").write_text("train: images\n" + names + extra)
    return DataSpec.load(root)


def mask_file(spec: DataSpec) -> Path:
    return spec.root / "masks" / "0.png"


def refused(spec: DataSpec) -> DataError:
    with pytest.raises(DataError) as caught:
        SegmentationDataset(spec, "train")[0]
    assert caught.value.where == mask_file(spec)
    assert caught.value.fix
    return caught.value


def proposal(error: BridgeSegError) -> str:
    """Return the line `label_map: {...}` that an error proposes."""
    text = error.fix or ""
    start = text.rindex("label_map: {")
    return text[start : text.index("}", start) + 1] + "\n"


# What items are


def test_item(tmp_path: Path) -> None:
    spec = make(tmp_path, count=3)
    image, mask, index = SegmentationDataset(spec, "train")[2]
    assert (image.dtype, image.shape, image.is_contiguous()) == (torch.uint8, (3, 2, 4), True)
    assert bool((image == 20).all())
    assert mask.dtype == torch.int64
    assert mask.tolist() == IDS.tolist()
    assert index == 2


def test_length_order_and_bounds(tmp_path: Path) -> None:
    spec = make(tmp_path, count=4)
    dataset = SegmentationDataset(spec, spec.samples("train")[::-1])
    assert [int(image.max()) for image, _, _ in dataset] == [30, 20, 10, 0]  # iteration ends by IndexError
    assert dataset[-1][2] == 3
    assert len(SegmentationDataset(spec, "train", fraction=0.5)) == 2
    with pytest.raises(DataError, match="no samples"):
        SegmentationDataset(spec, [])


@pytest.mark.parametrize("workers", [0, 2])
def test_same_items_for_any_number_of_workers(tmp_path: Path, workers: int) -> None:
    spec = make(tmp_path, count=6)
    transform = TrainTransform(AugmentConfig(crop_size=(5, 3)))
    direct = SegmentationDataset(spec, "train", transform, seed=4)
    loaded = SegmentationDataset(spec, "train", transform, seed=4, cache=True)
    loader = DataLoader(loaded, batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    for epoch in (3, 4):  # workers live on into the second epoch and must see its number
        direct.set_epoch(epoch)
        loaded.set_epoch(epoch)
        batches = list(loader)
        assert torch.equal(torch.cat([image for image, _, _ in batches]), torch.stack([item[0] for item in direct]))
        assert torch.equal(torch.cat([mask for _, mask, _ in batches]), torch.stack([item[1] for item in direct]))
        assert torch.cat([index for _, _, index in batches]).tolist() == list(range(6))


def test_augmentation_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    spec = make(tmp_path, count=2, ids=np.zeros((2, 4), np.uint8))
    transform = TrainTransform(AugmentConfig(crop_size=(8, 8), photometric=1.0, scale=(0.5, 4.0)))

    def item(seed: int, epoch: int) -> torch.Tensor:
        dataset = SegmentationDataset(spec, "train", transform, seed=seed)
        dataset.set_epoch(epoch)
        torch.manual_seed(np.random.default_rng().integers(1000))  # no influence
        return dataset[1][0]

    assert torch.equal(item(0, 1), item(0, 1))
    assert not torch.equal(item(0, 1), item(0, 2))
    assert not torch.equal(item(0, 1), item(1, 1))
    state = torch.get_rng_state()
    SegmentationDataset(spec, "train", transform)[0]
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone


def test_cache_keeps_what_fits_and_is_not_written_to(tmp_path: Path) -> None:
    spec = make(tmp_path, count=3)
    dataset = SegmentationDataset(spec, "train", cache=True, cache_bytes=2 * (24 + 8) + 1)
    dataset[0][0].zero_()
    dataset[1][1].zero_()
    for index in range(3):
        (spec.root / "images" / f"{index}.png").unlink()
    assert int(dataset[1][0].max()) == 10
    assert dataset[1][1].tolist() == IDS.tolist()
    with pytest.raises(InputError, match=r"2\.png"):
        dataset[2]


def worker_error(spec: DataSpec) -> DataError:
    """Return what a loader raises; without its traceback, which would keep the loader and its worker alive."""
    try:
        list(DataLoader(SegmentationDataset(spec, "train"), num_workers=1))
    except DataError as error:
        return error.with_traceback(None)
    raise AssertionError("nothing was raised")


def test_an_error_in_a_worker_is_readable_again(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=np.full((2, 4), 9, np.uint8))
    error = worker_error(spec)
    assert "Traceback" in str(error)
    plain = from_worker(error)
    assert isinstance(plain, DataError)
    assert str(plain) == str(refused(spec))
    assert from_worker(plain) is plain


# Mask formats


def test_palette_indices_not_colours(tmp_path: Path) -> None:
    spec = make(tmp_path)
    picture = Image.fromarray(IDS)
    picture.putpalette(np.random.default_rng(0).integers(0, 255, 768).tolist())
    picture.save(mask_file(spec))
    assert Image.open(mask_file(spec)).mode == "P"
    assert read_mask(mask_file(spec), spec).tolist() == IDS.tolist()


def test_sixteen_bits_and_32_bit_tiff(tmp_path: Path) -> None:
    spec = make(tmp_path)
    Image.fromarray(IDS.astype(np.uint16)).save(mask_file(spec))
    assert read_mask(mask_file(spec), spec).dtype == np.uint8
    assert read_mask(mask_file(spec), spec).tolist() == IDS.tolist()
    Image.fromarray(IDS.astype(np.int32)).save(tmp_path / "m.tif")
    assert read_mask(tmp_path / "m.tif", spec).tolist() == IDS.tolist()


def test_300_classes_need_16_bits(tmp_path: Path) -> None:
    names = "names: [" + ", ".join(f"c{index}" for index in range(300)) + "]\n"
    spec = make(tmp_path, names=names, ids=np.array([[0, 255, 299, 65535]], np.uint16))
    Image.new("RGB", (4, 1)).save(tmp_path / "images" / "0.png")
    assert read_mask(mask_file(spec), spec).dtype == np.uint16
    assert SegmentationDataset(spec, "train")[0][1].tolist() == [[0, 255, 299, 65535]]
    Image.fromarray(np.array([[0, 300, 1, 1]], np.uint16)).save(mask_file(spec))
    assert "300 (1 pixel); allowed: 0..299, and 65535" in str(refused(spec))


def write_grey_png(path: Path, rows: list[list[int]], bits: int) -> None:
    """Write a greyscale PNG of 1, 2 or 4 bits a pixel, which Pillow can read but not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = b""
    for row in rows:
        line = "".join(f"{value:0{bits}b}" for value in row)
        packed += b"\0" + int(line.ljust(-(-len(line) // 8) * 8, "0"), 2).to_bytes(-(-len(line) // 8), "big")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_low_bit_depths_hold_ids_not_stretched_greys(tmp_path: Path, bits: int) -> None:
    spec = make(tmp_path)
    rows = [[0, 1, 1, 0], [1, 0, min(2, 2**bits - 1), 1]]
    write_grey_png(mask_file(spec), rows, bits)
    assert read_mask(mask_file(spec), spec).tolist() == rows


@pytest.mark.parametrize("mode", ["RGB", "LA", "RGBA"])
def test_grey_saved_as_colour_is_read(tmp_path: Path, mode: str) -> None:
    spec = make(tmp_path)
    Image.fromarray(IDS).convert(mode).save(mask_file(spec))
    assert read_mask(mask_file(spec), spec).tolist() == IDS.tolist()


def test_transparent_masks_are_refused(tmp_path: Path) -> None:
    spec = make(tmp_path)
    Image.merge("LA", [Image.fromarray(IDS), Image.new("L", (4, 2), 128)]).save(mask_file(spec))
    assert "transparent" in str(refused(spec))


def test_other_mask_formats_are_refused(tmp_path: Path) -> None:
    spec = make(tmp_path)
    Image.new("F", (4, 2)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="pixels of kind F"):
        read_mask(tmp_path / "f.tif", spec)
    Image.new("L", (4, 2)).save(mask_file(spec), format="JPEG")  # lossy: ids would be smeared
    assert "not one of PNG, BMP, TIFF" in str(refused(spec))
    frames = [Image.new("L", (4, 2)), Image.new("L", (4, 2), 1)]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames"):
        read_mask(tmp_path / "two.tif", spec)


# label_map


def test_label_map_is_applied(tmp_path: Path) -> None:
    spec = make(tmp_path, "label_map: {7: road, 300: 2, 0: null}\n", ids=np.array([[7, 300, 0, 255]] * 2, np.uint16))
    assert read_mask(mask_file(spec), spec).tolist() == [[1, 2, 255, 255]] * 2


def test_values_that_label_map_forgets_are_refused(tmp_path: Path) -> None:
    spec = make(tmp_path, "label_map: {0: 0, 1: 1}\n")
    error = refused(spec)
    assert "does not list: 2 (2 pixels)" in str(error)
    assert read_mask(mask_file(spec), make(tmp_path, proposal(error)))[0].tolist() == [0, 1, 255, 255]


def test_label_map_of_colours(tmp_path: Path) -> None:
    spec = make(tmp_path, "label_map: {'#ff0000': car, '#00ff00': sky, '#000000': null}\n")
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 0], [0, 0, 0]]] * 2, np.uint8)
    Image.fromarray(rgb).save(mask_file(spec))
    assert read_mask(mask_file(spec), spec).tolist() == [[2, 0, 255, 255]] * 2
    Image.fromarray(rgb).quantize().save(mask_file(spec))  # a palette's colours count too
    assert read_mask(mask_file(spec), spec).tolist() == [[2, 0, 255, 255]] * 2
    rgb[0, 0] = (1, 2, 3)
    Image.fromarray(rgb).save(mask_file(spec))
    assert "does not list: #010203 (1 pixel)" in str(refused(spec))


# Masks that mean something else: the proposed fix works when it is pasted


def test_colour_mask(tmp_path: Path) -> None:
    spec = make(tmp_path, "palette: {road: [128, 64, 128], sky: [70, 130, 180], car: [0, 0, 142]}\n")
    rgb = np.array([[[128, 64, 128]] * 3 + [[70, 130, 180]]] * 2, np.uint8)
    Image.fromarray(rgb).save(mask_file(spec))
    error = refused(spec)
    assert "look like colour masks (2 colours: #804080 (6 pixels), #4682b4 (2 pixels))" in str(error)
    Image.fromarray(rgb).save(tmp_path / "colour.png")
    fixed = make(tmp_path, proposal(error))
    assert read_mask(tmp_path / "colour.png", fixed).tolist() == [[1, 1, 1, 0]] * 2
    rgb[0, 0] = (9, 9, 8)
    Image.fromarray(rgb).save(mask_file(spec))
    assert '"#090908": CLASS' in str(refused(spec))


def test_ids_outside_the_classes(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=np.array([[0, 7, 7, 9], [0, 0, 1, 9]], np.uint8))
    error = refused(spec)
    assert "no class id: 7 (2 pixels), 9 (2 pixels); allowed: 0..2, and 255 for ignore" in str(error)
    ids = np.array([[0, 7, 7, 9], [0, 0, 1, 9]], np.uint8)
    assert read_mask(mask_file(spec), make(tmp_path, proposal(error), ids=ids))[1].tolist() == [0, 0, 1, 255]


def test_many_strange_ids(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=np.arange(100, 300, dtype=np.uint16).reshape(2, 100))
    Image.new("RGB", (100, 2)).save(tmp_path / "images" / "0.png")
    error = refused(spec)
    assert "107 (1 pixel) and 191 more;" in str(error)
    assert "label_map: {VALUE: CLASS" in str(error)
    Image.fromarray(np.full((2, 100), -5, np.int32)).save(tmp_path / "m.tif")
    with pytest.raises(DataError, match=r"-5 \(200 pixels\)"):
        read_mask(tmp_path / "m.tif", spec)


@pytest.mark.parametrize("lowest", [0, 1])
def test_ids_from_one(tmp_path: Path, lowest: int) -> None:
    ids = np.array([[lowest, 1, 2, 3]] * 2, np.uint8)
    error = refused(make(tmp_path, ids=ids))
    assert "if ids start at 1" in str(error)
    fixed = make(tmp_path, proposal(error), ids=ids)
    assert read_mask(mask_file(fixed), fixed)[0].tolist() == [0 if lowest else 255, 0, 1, 2]


@pytest.mark.parametrize("names", ["names: [background, 'a: b']\n", "names: ['a: b']\n"])
def test_binary_masks(tmp_path: Path, names: str) -> None:
    ids = np.array([[0, 255, 255, 255]] * 2, np.uint8)
    error = refused(make(tmp_path, names=names, ids=ids))
    assert "look binary: they hold only 0 and 255 (75.0% of the pixels)" in str(error)
    ignoring = make(tmp_path, proposal(error), names, ids)
    assert read_mask(mask_file(ignoring), ignoring)[0].tolist() == [0, 255, 255, 255]
    text = (error.fix or "").split("; if 255")[0].split("data.yaml ")[1].replace(" and label_map", "\nlabel_map")
    (tmp_path / "data.yaml").write_text(
        yaml.safe_dump({"train": "images", **yaml.safe_load(names)} | yaml.safe_load(text))
    )
    fixed = DataSpec.load(tmp_path)
    assert read_mask(mask_file(fixed), fixed)[0].tolist() == [0, 1, 1, 1]
    assert fixed.classes.names == ("background", "a: b")


def test_0_and_255_are_fine_among_many_classes_or_when_all_is_ignored(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=np.array([[0, 255, 255, 255]] * 2, np.uint8))
    assert read_mask(mask_file(spec), spec)[0].tolist() == [0, 255, 255, 255]
    spec = make(tmp_path, names="names: [a, b]\n", ids=np.full((2, 4), 255, np.uint8))
    assert bool((read_mask(mask_file(spec), spec) == 255).all())


# Sizes and damage


def test_sizes_must_agree(tmp_path: Path) -> None:
    spec = make(tmp_path)
    Image.new("L", (5, 2)).save(mask_file(spec))
    assert "the mask is 5x2 pixels, its image 4x2" in str(refused(spec))
    Image.new("L", (2, 4)).save(mask_file(spec))
    assert "EXIF" in str(refused(spec))


def test_the_size_is_checked_before_a_huge_mask_is_decoded(tmp_path: Path) -> None:
    spec = make(tmp_path)
    write_grey_png(mask_file(spec), [[0]], 1)
    data = bytearray(mask_file(spec).read_bytes())
    data[16:24] = struct.pack(">II", 12_000, 12_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    mask_file(spec).write_bytes(bytes(data))
    with pytest.warns(Image.DecompressionBombWarning):
        assert "12000x12000" in str(refused(spec))


def test_exif_turns_the_image_and_the_mask_must_follow(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=IDS.T.copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)).save(tmp_path / "images" / "0.png", exif=exif)
    image, mask = read_sample(spec.samples("train")[0], spec)
    assert (image.shape, mask.tolist()) == ((4, 2, 3), IDS.T.tolist())
    assert image[0, 1].tolist() == [0, 1, 2]  # the first pixel goes to the upper right
    turned = Image.Exif()
    turned[0x0112] = 8
    Image.fromarray(IDS).save(mask_file(spec), exif=turned)
    assert read_mask(mask_file(spec), spec, (4, 2)).tolist() == np.rot90(IDS).tolist()


@pytest.mark.parametrize("folder", ["images", "masks"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone"])
def test_damaged_files_are_named(tmp_path: Path, folder: str, damage: str) -> None:
    rng = np.random.default_rng(0)
    spec = make(tmp_path)
    Image.fromarray(rng.integers(0, 3, (64, 64), dtype=np.uint8)).save(mask_file(spec))
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "images" / "0.png")
    dataset = SegmentationDataset(spec, "train")
    path = spec.root / folder / "0.png"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"not a picture"}[damage])
    with pytest.raises(InputError) as caught:
        dataset[0]
    assert caught.value.where == path
    assert caught.value.fix


def test_images_of_many_kinds(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 200, 255]] * 2, np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("RGB").quantize(8).save(tmp_path / "palette.png")
    for name in ("grey", "deep", "palette"):
        assert read_image(tmp_path / f"{name}.png").tolist() == np.repeat(grey[..., None], 3, 2).tolist()


# Statistics


def test_class_statistics(tmp_path: Path) -> None:
    spec = make(tmp_path, count=2)
    Image.fromarray(np.array([[0, 0, 0, 0], [0, 1, 255, 255]], np.uint8)).save(tmp_path / "masks" / "1.png")
    stats = class_statistics(spec, spec.samples("train"))
    assert (stats.pixels.tolist(), stats.images.tolist()) == ([8, 3, 2], [2, 2, 1])
    assert (stats.ignored, stats.total) == (3, 2)
    weights = np.array(stats.inverse_frequency())
    assert np.allclose(weights * stats.pixels, (weights * stats.pixels)[0])
    assert weights.mean() == pytest.approx(1.0)


def test_statistics_of_absent_classes(tmp_path: Path) -> None:
    spec = make(tmp_path, ids=np.full((2, 4), 1, np.uint8))
    assert class_statistics(spec, spec.samples("train")).inverse_frequency() == [0.0, 1.0, 0.0]
    spec = make(tmp_path, ids=np.full((2, 4), 255, np.uint8))
    assert class_statistics(spec, spec.samples("train")).inverse_frequency() == [0.0, 0.0, 0.0]


def test_slow_work_shows_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make(tmp_path, count=3)
    class_statistics(spec, spec.samples("train"))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("bridgeseg.report.progress.PATIENCE", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    class_statistics(spec, spec.samples("train"))
    out, err = capsys.readouterr()
    assert (out, "counting classes" in err) == ("", True)


@pytest.mark.skipif(not (SHARED / "data" / "camvid" / "data.yaml").is_file(), reason="CamVid is not here")
def test_camvid_samples() -> None:
    spec = DataSpec.load(SHARED / "data" / "camvid")
    image, mask, _ = SegmentationDataset(spec, "test", fraction=0.01)[0]
    assert image.shape == (3, 360, 480)
    assert mask.shape == (360, 480)
    assert set(mask.unique().tolist()) <= {*range(11), 255}
