"""The split val that a run took from train: scored where the data has none, so that no image of training is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bridgeseg.data.spec import DataSpec
from bridgeseg.runtime.model import Model


def with_val(spec: DataSpec, split: str, models: Sequence[Model], *, quiet: bool) -> DataSpec:
    """Return the dataset with the split val of the models' runs, where val is asked for and it has none.

    Of several shares the least counts: the images of a smaller share are all among those of a larger one, so no model
    was trained on any of them. What is done is printed to standard error, unless `quiet`.
    """
    if split != "val" or "val" in spec.all_splits or "train" not in spec.splits:
        return spec
    share = min(map(_share, models))
    if not share:
        return spec
    shared = spec.shared(share)
    if not quiet:
        print(f"split val: the images of train that the run kept for validation (val_share {share:g})", file=sys.stderr)
    return shared


def _share(model: Model) -> float:
    """Return the share of train that the run of a model was validated on, 0 if it was not or does not say."""
    config: Any = model.provenance.get("config")
    if not isinstance(config, dict) or config.get("val_split", "val") != "val":
        return 0.0
    share = config.get("val_share")
    return float(share) if isinstance(share, int | float) and 0 < share < 1 else 0.0
