"""The labelled images that a temperature is fitted on: those that tell whether a network is right."""

from __future__ import annotations

from pathlib import Path

from bridgeseg.classes import ClassSet
from bridgeseg.data.joining import load_specs
from bridgeseg.data.labels import label_sets, labelled_names, set_of
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.evaluating.matching import check_same_classes
from bridgeseg.exporting.calibration import Calibration, labelled, settings_of

IMAGES = 64
"""Images that are taken at most."""
OTHERS = (
    "choose data that labels all of them, `confidence_data=data.yaml:val`; or export the run without confidence, and "
    "add it to the file with a temperature of 1: bridgeseg export --model FILE.onnx --confidence --out SURE.onnx"
)


def validation_images(run: str | Path, classes: ClassSet, *, takes_names: bool = False) -> Calibration:
    """Choose labelled images from the split that a run was validated on.

    Args:
        run: a run folder, or a checkpoint in one.
        classes, takes_names: see `labelled_samples`.

    Raises:
        ConfigError: the folder does not say what it was trained on, it was not validated, or it was on several
            datasets: the fix names one whose images can be taken.
        DataError: a dataset is no longer where it was, or cannot be used; of several, none has images to take.
    """
    fix = "give a labelled split: `confidence_data=data.yaml:val`"
    settings = settings_of(run, "confidence needs labelled images", fix)
    if not settings["val_split"]:
        raise ConfigError("confidence needs labelled images, and this run was not validated", where=run, fix=fix)
    split, share = settings["val_split"], settings["val_share"]
    specs = load_specs(settings["data"], share)
    if len(specs) == 1:
        return labelled(specs[0], [split], IMAGES)
    usable = [spec.path for spec in specs if split in spec.all_splits and _tells(spec, split, classes, takes_names)]
    if not usable:
        message = f"none of the {len(specs)} datasets of this run has images labelled for all names of the model"
        raise DataError(f"{message}, as it calls them", where=run, fix=OTHERS)
    itself = [path for path in usable if split in DataSpec.load(path).all_splits]
    path = (itself or usable)[0]
    fix = f"write `val_share: {share}` into {path}, and choose it: `confidence_data={path}:{split}`"
    fix = f"choose one: `confidence_data={path}:{split}`" if itself else fix
    message = f"this run was trained on {len(specs)} datasets, and confidence is calibrated on one"
    raise ConfigError(message, where=run, fix=fix)


def labelled_samples(classes: ClassSet, calibration: Calibration, *, takes_names: bool = False) -> tuple[Sample, ...]:
    """Return the images in which all names of a network are labelled wherever they occur.

    Args:
        classes: of a network.
        calibration: images with their labels, whose names need not be all of the network's, nor in its order.
        takes_names: whether the network will be asked for the names of data that leaves nothing unlabelled.

    Raises:
        DataError: there are none, or the data has names that the network does not know.
    """
    spec = dataset_of(calibration)
    if not spec.partial:
        if not takes_names and not {*spec.classes.names} <= {*classes.names}:
            check_same_classes(classes, spec)
        return calibration.samples
    sets = label_sets(spec)
    whole = {index for index, chosen in enumerate(sets) if {*classes.names} <= {*chosen}}
    found = tuple(sample for sample in calibration.samples if set_of(spec, sets, spec.key(sample)) in whole)
    if not found:
        missing = [name for name in classes.names if name not in labelled_names(spec)]
        message = f"no image is labelled for all names of the model{f', such as {missing[0]!r}' if missing else ''}"
        message += ", so that these images cannot tell how often it is right"
        raise DataError(message, where=spec.path, fix=OTHERS)
    return found


def dataset_of(calibration: Calibration) -> DataSpec:
    """Return the dataset that images are from.

    Raises:
        DataError: they are from none.
    """
    if calibration.spec is None:
        fix = "give a split of a dataset: --confidence-data data.yaml:val"
        raise DataError("a temperature needs labelled images", where=calibration.name, fix=fix)
    return calibration.spec


def _tells(spec: DataSpec, split: str, classes: ClassSet, takes_names: bool) -> bool:
    """Whether images of a split can be taken."""
    try:
        return bool(labelled_samples(classes, labelled(spec, [split], IMAGES), takes_names=takes_names))
    except DataError:
        return False
