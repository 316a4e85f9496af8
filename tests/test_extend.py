"""The example of a package that brings a method and a loss: installed beside bridgeseg, and used by name alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "extension"


@pytest.fixture
def installed(tmp_path):
    """Lay the example out as an installer does; return a function that runs Python code where it is installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    site, info = tmp_path / "site", tmp_path / "site" / "bridgeseg_gather-0.1.0.dist-info"
    info.mkdir(parents=True)
    (site / "bridgeseg_gather.py").write_text((EXAMPLE / "bridgeseg_gather.py").read_text())
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in names.items())
        for group, names in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))

    def run(code: str) -> str:
        path = [str(site), str(Path(__file__).parent), *sys.path]
        code = f"import sys; sys.path[:] = {path!r}\n{code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_method_of_another_package_is_listed_without_torch(installed):
    printed = installed(
        "from bridgeseg.extend import METHODS, LOSSES\n"
        "print(METHODS.names(), LOSSES.names(), 'torch' in sys.modules, 'bridgeseg_gather' in sys.modules)"
    )
    methods, losses = ["bridge", "denseclip", "lseg", "none", "gather"], ["balance", "dice", "lovasz", "focal"]
    assert printed.strip() == f"{methods} {losses} False False"


@pytest.mark.slow
def test_it_is_built_trained_saved_loaded_and_folded(installed):
    pytest.importorskip("torch")
    printed = installed("""
import torch
from bridgeseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.resolve import resolve
from tiny_networks import BACKBONE, make_network, noise

values = {"model": {"method": "gather", "backbone": BACKBONE, "gather": {"dim": 16}}, "loss": {"focal": {"weight": 2}}}
config = resolve(TrainConfig.parse({"data": "d", **values}))
network = make_network(config.model)
images, masks = noise(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64)
both, plain = (SegmentationLoss(loss, 255) for loss in (config.loss, type(config.loss)()))
logits = network.logits(images)
print("focal adds", bool(both(logits, masks) > plain(logits, masks)))
save_checkpoint("saved", Checkpoint(network, config.model, ClassSet.build(list("abcde"))))
loaded = load_checkpoint("saved")
print(loaded.config.groups, torch.equal(loaded.segmentor.logits(images), logits))
print("folds", torch.allclose(loaded.segmentor.fold().logits(images), logits, atol=1e-5))
""")
    assert printed.splitlines() == ["focal adds True", "{'gather': {'dim': 16}} True", "folds True"]


@pytest.mark.slow
def test_its_settings_are_checked_as_our_own(installed):
    pytest.importorskip("torch")
    wanted = [
        ({"model": {"method": "gather", "gather": {"dmi": 1}}}, "'model.gather.dmi'; did you mean 'dim'"),
        ({"model": {"method": "gather", "gather": {"dim": 1}}}, "model.gather.dim must be at least 8, found 1"),
        ({"loss": {"focal": {"gama": 1}}}, "unknown key 'loss.focal.gama'; did you mean 'gamma'"),
        ({"loss": {"focal": 1}}, "loss.focal is a group of settings, such as loss.focal.weight, found 1"),
    ]
    printed = installed(
        "from bridgeseg.errors import ConfigError\n"
        "from bridgeseg.settings.train import TrainConfig\n"
        "from bridgeseg.training.resolve import resolve\n"
        f"for values in {[values for values, _ in wanted]}:\n"
        "    try: resolve(TrainConfig.parse({'data': 'd', **values}))\n"
        "    except ConfigError as error: print(error.message)"
    )
    for line, (_, message) in zip(printed.splitlines(), wanted, strict=True):
        assert message in line


def test_without_the_package_its_method_is_unknown_and_named():
    from bridgeseg.errors import ConfigError
    from bridgeseg.settings.train import TrainConfig

    with pytest.raises(ConfigError, match="no method 'gather'"):
        TrainConfig.parse({"data": "d", "model": {"method": "gather", "gather": {"dim": 16}}})
