"""Makes the exports of this folder, each with the tool that its users have; `docs/import.md` names the versions.

    python tests/forms/make.py NAME   # in an environment with the tool, see `TOOLS`

The scene is the same in all of them: three images of 64 x 48 pixels with a road, cars and persons (`SCENE`).
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
WIDTH, HEIGHT = 64, 48
NAMES = ("road", "car", "person")
VOC = {"road": "bus", "car": "car", "person": "person"}
"""What stands for the classes where they are those of Pascal VOC."""
COLOURS = {"road": (128, 64, 128), "car": (0, 0, 142), "person": (220, 20, 60)}
SCENE: dict[str, list[tuple[str, list[tuple[float, float]]]]] = {
    "train/a": [
        ("road", [(0, 30), (64, 30), (64, 48), (0, 48)]),
        ("car", [(10.5, 25), (30, 25), (30, 40), (10.5, 40)]),
        ("person", [(40, 12), (46, 12), (48, 36), (38, 36)]),
    ],
    "train/b": [
        ("road", [(0, 24.5), (64, 34), (64, 48), (0, 48)]),
        ("car", [(20, 20), (44, 22), (50, 38), (18, 36)]),
    ],
    "val/c": [
        ("road", [(0, 28), (64, 28), (64, 48), (0, 48)]),
        ("person", [(30, 10), (36, 14), (34, 40), (26, 38)]),
    ],
}
TOOLS = {
    "coco": "supervision, pycocotools", "coco-panoptic": "datumaro", "labelme": "labelme", "cvat": "datumaro",
    "cvat-masks": "datumaro", "voc": "datumaro", "yolo": "ultralytics, supervision", "label-studio": "label-studio-sdk",
    "label-studio-brush": "label-studio-sdk", "supervisely": "supervisely", "cityscapes": "cityscapesscripts",
    "roboflow": "none: written here as Roboflow's documentation has it",
}  # fmt: skip


def picture(name: str) -> Image.Image:
    """Return the image of a scene: its objects in their colours on grey."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (120, 130, 140))
    for label, corners in SCENE[name]:
        ImageDraw.Draw(image).polygon(corners, fill=COLOURS[label])
    return image


def save(path: Path, name: str) -> Path:
    """Write the image of a scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(name).save(path, quality=60)
    return path


def part(corners: Any, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return the pixels (H, W) of an object: those with an odd number of its lines to the right of their middles."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        (ax, ay), (bx, by) = sorted((tuple(a), tuple(b)), key=lambda corner: corner[1])
        if ay < by:
            inside ^= (ay <= y) & (y < by) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


def ids(name: str) -> np.ndarray:
    """Return the mask of a scene: 0 for nothing, then `NAMES`."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, corners in SCENE[name]:
        mask[part(corners)] = 1 + NAMES.index(label)
    return mask


def write(path: Path, value: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def coco(out: Path) -> None:
    """Polygons of train by supervision; compressed and plain run lengths of val by pycocotools."""
    import supervision as sv
    from pycocotools import mask as coco_mask

    names = [name for name in SCENE if name.startswith("train")]
    paths = {str(save(out / f"{name}.jpg", name)): name for name in names}
    found = {}
    for path, name in paths.items():
        masks = np.stack([part(corners) for _, corners in SCENE[name]])
        kinds = np.array([NAMES.index(label) for label, _ in SCENE[name]])
        found[path] = sv.Detections(xyxy=sv.mask_to_xyxy(masks), mask=masks, class_id=kinds)
    dataset = sv.DetectionDataset(list(NAMES), list(paths), found)
    (out / "annotations").mkdir(parents=True)
    dataset.as_coco(annotations_path=str(out / "annotations/instances_train.json"))
    save(out / "val/c.jpg", "val/c")
    annotations = []
    for index, (label, corners) in enumerate(SCENE["val/c"]):
        packed = coco_mask.encode(np.asfortranarray(part(corners).astype(np.uint8)))
        runs = {"size": packed["size"], "counts": packed["counts"].decode()}
        if index:
            flat = part(corners).T.ravel()
            edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int))) if flat.any() else []
            ends = [0, *map(int, edges), flat.size]
            runs["counts"] = np.diff(ends).tolist()  # type: ignore[assignment]
        box = coco_mask.toBbox(packed).tolist()
        annotations.append(
            {"id": index, "image_id": 7, "category_id": NAMES.index(label), "iscrowd": 0, "bbox": box,
             "area": float(coco_mask.area(packed)), "segmentation": runs}
        )  # fmt: skip
    categories = [{"id": index, "name": name, "supercategory": "thing"} for index, name in enumerate(NAMES)]
    image = {"id": 7, "file_name": "c.jpg", "height": HEIGHT, "width": WIDTH}
    whole = {"info": {}, "annotations": annotations, "images": [image], "categories": categories}
    write(out / "annotations/instances_val.json", whole)


def labelme(out: Path) -> None:
    """By labelme: polygons, a rectangle, a mask, a line; of one image the pixels are in the file alone."""
    from labelme._label_file import LabelFile

    for name, objects in SCENE.items():
        path = save(out / f"{name}.jpg", name)
        shapes = [
            {
                "label": label,
                "points": [list(p) for p in corners],
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for label, corners in objects
        ]
        if name == "train/a":
            shapes[1] |= {"shape_type": "rectangle", "points": [[10.5, 25.0], [30.0, 40.0]]}
            shapes.append(
                {
                    "label": "kerb",
                    "points": [[0.0, 30.0], [64.0, 30.0]],
                    "group_id": None,
                    "shape_type": "line",
                    "flags": {},
                }
            )
        if name == "train/b":
            pixels = part(objects[1][1])
            top, left = np.argwhere(pixels).min(0)
            bottom, right = np.argwhere(pixels).max(0)
            buffer = io.BytesIO()
            Image.fromarray(pixels[top : bottom + 1, left : right + 1].astype(np.uint8)).save(buffer, "PNG")
            packed = base64.b64encode(buffer.getvalue()).decode()
            corners = [[float(left), float(top)], [float(right), float(bottom)]]
            shapes[1] |= {"shape_type": "mask", "points": corners, "mask": packed}
        LabelFile().save(
            filename=str(path.with_suffix(".json")), shapes=shapes, image_path=path.name,
            image_data=path.read_bytes() if name == "val/c" else None, image_height=HEIGHT, image_width=WIDTH,
        )  # fmt: skip
        if name == "val/c":
            path.unlink()


def datumaro(out: Path, kind: str, *, masks: bool, known: tuple[str, ...] = (), **options: Any) -> None:
    """By datumaro, whose writers CVAT uses for its exports; `known`: classes other than background, `NAMES`."""
    import datumaro as dm

    place = [known.index(VOC[name]) if known else NAMES.index(name) + 1 for name in NAMES]
    items = []
    for name, objects in SCENE.items():
        split, stem = name.split("/")
        things: list[Any] = []
        for index, (label, corners) in enumerate(objects):
            common = {"label": place[NAMES.index(label)], "id": index + 1, "group": index + 1, "z_order": index}
            flat = [float(value) for point in corners for value in point]
            if masks:
                others = np.any(
                    [part(other) for _, other in objects[index + 1 :]] or [np.zeros((HEIGHT, WIDTH), bool)], 0
                )
                things.append(dm.Mask(part(corners) & ~others, **common))
            elif label == "car" and split == "train" and stem == "a":
                things.append(dm.Bbox(10.5, 25, 19.5, 15, **common))
            else:
                things.append(dm.Polygon(flat, **common))
        if not masks and stem == "a":
            things.append(dm.PolyLine([0, 30, 64, 30], label=1, z_order=9))
        image = dm.Image.from_numpy(np.asarray(picture(name))[..., ::-1])
        items.append(dm.DatasetItem(stem, subset=split, media=image, annotations=things))
    kinds: dict[Any, Any] = {dm.AnnotationType.label: dm.LabelCategories.from_iterable(known or ["background", *NAMES])}
    if not known:
        colours = {0: (0, 0, 0), **{index + 1: COLOURS[name] for index, name in enumerate(NAMES)}}
        kinds[dm.AnnotationType.mask] = dm.MaskCategories(colours)
    dataset = dm.Dataset.from_iterable(items, categories=kinds, media_type=dm.Image)
    dataset.export(str(out), kind, save_media=True, image_ext=".jpg", **options)


def voc(out: Path) -> None:
    """By datumaro, as Pascal VOC itself is: its 21 classes and no labelmap.txt."""
    from datumaro.plugins.data_formats.voc.format import VocLabel

    datumaro(out, "voc_segmentation", masks=True, known=tuple(label.name for label in VocLabel), label_map="voc")
    (out / "labelmap.txt").unlink()
    shutil.rmtree(out / "SegmentationObject")


def yolo(out: Path) -> None:
    """Train by ultralytics' converter of COCO, val by supervision."""
    from ultralytics.data.converter import convert_coco

    work = out.with_name("work")
    annotations, images = [], []
    for index, (name, objects) in enumerate(SCENE.items()):
        save(out / "images" / f"{name}.jpg", name)
        images.append({"id": index, "file_name": f"{name.split('/')[1]}.jpg", "height": HEIGHT, "width": WIDTH})
        for label, corners in objects:
            flat = [value for point in corners for value in point]
            low, high = np.min(corners, 0), np.max(corners, 0)
            annotations.append(
                {"id": len(annotations), "image_id": index, "category_id": NAMES.index(label) + 1, "iscrowd": 0,
                 "bbox": [*low.tolist(), *(high - low).tolist()], "segmentation": [flat]}
            )  # fmt: skip
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(NAMES)]
    write(work / "json/all.json", {"images": images, "annotations": annotations, "categories": categories})
    convert_coco(labels_dir=str(work / "json"), save_dir=str(work / "made"), use_segments=True, cls91to80=False)
    for name in SCENE:
        target = out / "labels" / f"{name}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(next((work / "made").rglob(f"{name.split('/')[1]}.txt")), target)
    (out / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: road\n  1: car\n  2: person\n"
    )
    shutil.rmtree(work)


def label_studio(out: Path, *, masks: bool = False) -> None:
    """Tasks as Label Studio's server writes them, brush strokes packed by its SDK; masks by its converter."""
    from label_studio_sdk.converter.brush import convert_task, encode_rle

    tasks = []
    for index, (name, objects) in enumerate(SCENE.items()):
        save(out / f"{name}.jpg", name)
        results: list[dict[str, Any]] = []
        for place, (label, corners) in enumerate(objects):
            common = {"id": f"r{place}", "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
                      "from_name": "tag", "to_name": "image", "origin": "manual"}  # fmt: skip
            if masks or label == "person":
                alpha = part(corners)[..., None] * np.array([0, 0, 0, 255], np.uint8)
                value = {"format": "rle", "rle": encode_rle(alpha.ravel()), "brushlabels": [label]}
                results.append({**common, "type": "brushlabels", "value": value})
            elif label == "car" and name == "train/a":
                value = {"x": 1050 / WIDTH, "y": 2500 / HEIGHT, "width": 1950 / WIDTH, "height": 1500 / HEIGHT,
                         "rotation": 0, "rectanglelabels": [label]}  # fmt: skip
                results.append({**common, "type": "rectanglelabels", "value": value})
            else:
                points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners]
                results.append(
                    {
                        **common,
                        "type": "polygonlabels",
                        "value": {"points": points, "closed": True, "polygonlabels": [label]},
                    }
                )
        annotation = {
            "id": 10 + index,
            "completed_by": 1,
            "result": results,
            "was_cancelled": False,
            "ground_truth": False,
        }
        data = {"image": f"/data/upload/1/0a1b2c3d-{Path(name).name}.jpg"}
        tasks.append({"id": index + 1, "data": data, "annotations": [annotation], "predictions": []})
        if masks:
            flat = [{**one, **one["value"], "rle": one["value"]["rle"]} for one in results]
            item = {
                "id": index + 1,
                "annotation_id": 10 + index,
                "completed_by": {"email": "me@here.org"},
                "output": {"tag": flat},
            }
            convert_task(item, str(out), "png")
    if masks:
        write(out / "tasks.json", [{"id": task["id"], "image": task["data"]["image"]} for task in tasks])
    else:
        tasks.append(
            {"id": 9, "data": {"image": "/data/upload/1/0a1b2c3d-d.jpg"}, "annotations": [], "predictions": []}
        )
        save(out / "train/d.jpg", "train/a")
        write(out / "project-1.json", tasks)


def supervisely(out: Path) -> None:
    """By supervisely's SDK: polygons, a bitmap, a rectangle."""
    import supervisely as sly

    classes = {name: sly.ObjClass(name, sly.AnyGeometry, list(COLOURS[name])) for name in NAMES}
    project = sly.Project(str(out), sly.OpenMode.CREATE)
    project.set_meta(sly.ProjectMeta(list(classes.values())))
    for split in ("train", "val"):
        dataset = project.create_dataset(split)
        for name, objects in SCENE.items():
            if not name.startswith(split):
                continue
            labels = []
            for label, corners in objects:
                if label == "person":
                    shape: Any = sly.Bitmap(part(corners))
                elif label == "car" and name == "train/a":
                    shape = sly.Rectangle(25, 11, 39, 29)
                else:
                    shape = sly.Polygon([sly.PointLocation(round(y - 0.5), round(x - 0.5)) for x, y in corners], [])
                labels.append(sly.Label(shape, classes[label]))
            image = np.asarray(picture(name))
            dataset.add_item_np(f"{Path(name).name}.jpg", image, ann=sly.Annotation((HEIGHT, WIDTH), labels))


def cityscapes(out: Path) -> None:
    """By cityscapesscripts' own writer."""
    from cityscapesscripts.helpers.annotation import Annotation, CsObjectType, CsPoly, Point

    for index, (name, objects) in enumerate(SCENE.items()):
        split = name.split("/")[0]
        stem = f"ulm_{index:06d}_000019"
        path = out / "leftImg8bit" / split / "ulm" / f"{stem}_leftImg8bit.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(name).save(path)
        annotation = Annotation(CsObjectType.POLY)
        annotation.imgWidth, annotation.imgHeight = WIDTH, HEIGHT
        for place, (label, corners) in enumerate(objects):
            one = CsPoly()
            one.id, one.label = place, "persongroup" if (label, name) == ("person", "val/c") else label
            one.polygon = [Point(x, y) for x, y in corners]
            annotation.objects.append(one)
        target = out / "gtFine" / split / "ulm" / f"{stem}_gtFine_polygons.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        annotation.toJsonFile(str(target))


def roboflow(out: Path) -> None:
    """As Roboflow's `Semantic Segmentation Masks` are documented: there is no package that writes them."""
    for name in SCENE:
        folder = out / {"train": "train", "val": "valid"}[name.split("/")[0]]
        stem = f"{Path(name).name}_jpg.rf.0123456789abcdef"
        save(folder / f"{stem}.jpg", name)
        Image.fromarray(ids(name)).save(folder / f"{stem}_mask.png")
        lines = ["Pixel Value, Class", "0, background", *(f"{index + 1}, {label}" for index, label in enumerate(NAMES))]
        (folder / "_classes.csv").write_text("\n".join(lines) + "\n")


MAKERS: dict[str, Any] = {
    "coco": coco, "labelme": labelme, "yolo": yolo, "supervisely": supervisely, "cityscapes": cityscapes,
    "roboflow": roboflow, "label-studio": label_studio,
    "label-studio-brush": lambda out: label_studio(out, masks=True),
    "coco-panoptic": lambda out: datumaro(out, "coco_panoptic", masks=True),
    "cvat": lambda out: datumaro(out, "cvat", masks=False),
    "cvat-masks": lambda out: datumaro(out, "voc_segmentation", masks=True, label_map="source"),
    "voc": voc,
}  # fmt: skip

if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        shutil.rmtree(HERE / wanted, ignore_errors=True)
        (HERE / wanted).mkdir()
        MAKERS[wanted](HERE / wanted)
        print(wanted, "by", TOOLS[wanted])
