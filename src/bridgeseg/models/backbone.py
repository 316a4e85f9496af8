"""Any timm network as a backbone: features at strides 4, 8, 16 and 32."""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file
from timm.data.config import resolve_data_config
from torch import Tensor

from bridgeseg.errors import ConfigError, MissingDependencyError, ModelFileError, nearest
from bridgeseg.hub.access import hub_access
from bridgeseg.models.base import STRIDES, Backbone
from bridgeseg.models.weights import PYPI
from bridgeseg.wording import shown


class TimmBackbone(Backbone):
    """A timm network that gives its features.

    Args:
        name: a timm model name that offers features at strides 4, 8, 16 and 32.
        weights: None (random), "timm" (timm's own, from the hub), "pypi" (an installed weight package), or a file:
            .safetensors, or PyTorch's format, read without executing code.
        strides: of the features that it gives, finest first: the last four as in `STRIDES`, or with the last stage
            dilated, (4, 8, 16, 16); a 2 may stand before them. The weights are the same.

    Raises:
        ConfigError: no such model, it has no such features, it cannot be dilated, or it takes images of one size only.
        ModelFileError: the weights cannot be read or belong to another model.
        MissingDependencyError: "pypi" without the package.
    """

    def __init__(self, name: str, weights: str | None = None, strides: tuple[int, ...] = STRIDES) -> None:
        super().__init__()
        if name.startswith("local-dir:"):
            raise ConfigError(
                "a backbone is named, and not taken from a folder that a checkpoint would not contain",
                where=f"backbone {shown(name)}",
                fix="`model.backbone=NAME` and `backbone_weights=FILE`, a name of timm and its weights",
            )
        self.name, self.strides = name, strides
        probe = _create(name, features_only=True, pretrained=False)
        reductions, widths = probe.feature_info.reduction(), probe.feature_info.channels()
        levels = (*strides[: -len(STRIDES)], *STRIDES)
        missing = [stride for stride in levels if stride not in reductions]
        if missing:
            raise ConfigError(
                f"backbone {name!r} has features at strides {reductions}, not at {missing}",
                fix="choose a hierarchical backbone, such as efficientnet_lite0, mobilenetv4_conv_small or resnet18"
                + ("" if missing[-1] in STRIDES else ", or another decoder"),
            )
        # the deepest features of each stride have seen most
        indices = [max(i for i, stride in enumerate(reductions) if stride == wanted) for wanted in levels]
        chosen = [widths[i] for i in indices]
        self.finer, self.channels = chosen[: -len(STRIDES)], chosen[-len(STRIDES) :]
        options: dict[str, Any] = {"features_only": True, "out_indices": tuple(indices)}
        if strides[-1] != STRIDES[-1]:
            options["output_stride"] = strides[-1]
        if any(getattr(module, "strict_img_size", False) for module in probe.modules()):
            options["strict_img_size"] = False  # Swin and its kin take one size only unless told otherwise
        if weights is None:
            self.body = _create(name, pretrained=False, **options)
        elif weights == "timm":
            self.body = _from_hub(name, options)
        else:
            state = pypi_state(name) if weights == "pypi" else read_state(Path(weights))
            self.body = _from_state(name, state, weights, options)
        config: dict[str, Any] = resolve_data_config({}, model=probe)  # type: ignore[no-untyped-call]
        self.mean = config["mean"]
        self.std = config["std"]
        self._channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"
        self._try_out()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) normalised, H and W multiples of 32 -> [(B, C_i, H/s_i, W/s_i)], finest first."""
        features: list[Tensor] = self.body(images)
        return [maps.permute(0, 3, 1, 2) for maps in features] if self._channels_last else list(features)

    @torch.no_grad()
    def _try_out(self, height: int = 64, width: int = 96) -> None:
        """Look at the features of a small image: some networks are built for one image size or declare wrong ones."""
        expected = [
            (1, channels, height // stride, width // stride)
            for channels, stride in zip([*self.finer, *self.channels], self.strides, strict=True)
        ]
        found: object
        cause: Exception | None = None
        try:
            found = [tuple(maps.shape) for maps in self.eval()(torch.zeros(1, 3, height, width))]
        except Exception as error:  # every network fails in its own way
            found, cause = f"{type(error).__name__}: {_first_line(error)}", error
        self.train()
        if found != expected:
            raise ConfigError(
                f"backbone {self.name!r} does not give its features for images of any size; "
                f"an image of {height}x{width} gave {found}, expected {expected}",
                fix="choose a convolutional backbone, such as efficientnet_lite0, mobilenetv4_conv_small or resnet18",
            ) from cause


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from .safetensors or PyTorch's format without executing code."""
    if not path.is_file():
        raise ModelFileError("no such weights file", where=path, fix="give a file, `pypi`, `timm` or `none`")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelFileError(
            f"cannot be read as weights ({type(error).__name__}: {_first_line(error)})",
            where=path,
            fix="give a .safetensors file or a plain state dict saved by torch.save",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelFileError("does not hold a state dict", where=path, fix="save model.state_dict(), not the model")
    return loaded


def pypi_state(name: str) -> dict[str, Tensor]:
    """Read the weight package of an `efficientnet_lite0..2` and give its tensors timm's names.

    The packages hold the parameters of timm's network in timm's order under other names.
    """
    if name not in PYPI:
        raise ConfigError(f"no weight package is known for {name!r}; {nearest(name, PYPI)}", fix="use `timm` or a file")
    package = PYPI[name]
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"the weights of {name} come from a package that is not installed",
            fix=f"pip install {package.replace('_', '-')}  (or: pip install 'bridgeseg[weights]')",
        )
    folder = Path(str(importlib.resources.files(package))) / "models"
    files = sorted(folder.glob("*.pth"))
    if not files:
        raise ModelFileError("holds no .pth file", where=folder, fix=f"reinstall {package.replace('_', '-')}")
    state = read_state(files[0])
    expected = _create(name, pretrained=False).state_dict()
    found = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    wanted = [k for k in expected if not k.endswith("num_batches_tracked")]
    shapes_agree = len(found) == len(wanted) and all(
        value.shape == expected[key].shape for key, value in zip(wanted, found.values(), strict=True)
    )
    if not shapes_agree:
        raise ModelFileError(f"does not hold the parameters of timm's {name} in order", where=files[0])
    return dict(zip(wanted, found.values(), strict=True))


def _create(name: str, **options: Any) -> Any:
    try:
        with hub_access(needed=True) if ":" in name else contextlib.nullcontext():
            return timm.create_model(name, **options)
    except LocalEntryNotFoundError as error:
        message = f"timm's {name!r} is not on this machine, and the hub cannot be reached"
        fix = "connect to the network (and unset HF_HUB_OFFLINE), or choose another backbone"
        raise ConfigError(message, fix=fix) from error
    except Exception as error:  # timm raises many kinds
        refuse_unknown_backbone(name)
        raise ConfigError(
            f"timm's {name!r} cannot be used as a backbone: {_first_line(error)}",
            fix="choose a model with features at several strides",
        ) from error


def refuse_unknown_backbone(name: str) -> None:
    """Refuse a name that timm does not know; those with a scheme, `hf-hub:` and `open_clip:`, are not looked up.

    Raises:
        ConfigError: there is no such model; the nearest one is named.
    """
    if ":" in name or timm.is_model(name):
        return
    hint = nearest(name, timm.list_models()).partition(" (allowed")[0]  # of more than a thousand
    known = f"; {hint}" if hint.startswith("did you mean") else ""
    raise ConfigError(f"timm has no model {shown(name)}{known}", fix="`timm.list_models()` lists them")


def _from_hub(name: str, options: dict[str, Any]) -> Any:
    try:
        with _without_expected_noise(), hub_access(needed=True):
            return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub client raises many kinds
        raise ModelFileError(
            f"timm's weights of {name} cannot be fetched or do not exist ({type(error).__name__})",
            fix="check the network; or `backbone_weights=FILE`, `pypi` (efficientnet_lite0..2), `none` for random ones",
        ) from error


def _from_state(name: str, state: dict[str, Tensor], source: str, options: dict[str, Any]) -> Any:
    full = _create(name, pretrained=False).state_dict()
    absent = [key for key in full if key not in state and not key.endswith("num_batches_tracked")]
    # a classifier for other classes is of no use to us, so it may differ
    classifier = {key for key in full if key.split(".")[0] in ("classifier", "head", "fc", "head_dist")}
    wrong = [k for k in full if k in state and state[k].shape != full[k].shape and k not in classifier]
    if [key for key in absent if key not in classifier] or wrong:
        raise ModelFileError(
            f"holds no weights of {name}: {len(absent)} of {len(full)} tensors are missing, "
            f"{len(wrong)} have another shape (first: {(absent + wrong)[0]})",
            where=source,
            fix="give the weights of this very backbone, with timm's parameter names",
        )
    merged = {
        key: state[key] if key in state and key not in wrong and state[key].shape == value.shape else value
        for key, value in full.items()
    }
    overlay = {"state_dict": merged, "hf_hub_id": None, "url": "", "file": ""}
    with _without_expected_noise():
        body = _create(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    # timm leaves random what it cannot place, and says so to nobody
    given = {_fingerprint(value) for value in merged.values()}
    lost = [key for key, value in body.named_parameters() if _fingerprint(value.detach()) not in given]
    if lost:
        raise ModelFileError(
            f"{len(lost)} tensors did not reach the features of {name} (first: {lost[0]})",
            where=source,
            fix="report this with the backbone's name; other weights (`timm`) may load",
        )
    return body


def _fingerprint(tensor: Tensor) -> tuple[tuple[int, ...], int]:
    return tuple(tensor.shape), hash(tensor.float().contiguous().numpy().tobytes())


@contextlib.contextmanager
def _without_expected_noise() -> Iterator[None]:
    """Silence timm's warning that features have no place for the classifier; let all else through."""
    logger = logging.getLogger("timm.models._builder")

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Unexpected keys")

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
