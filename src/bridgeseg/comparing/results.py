"""Run folders -> results: every run, every cell (variant, backbone, fraction) with its spread and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridgeseg.comparing.state import RUNS, int8_of, read_json, scores_of
from bridgeseg.comparing.statistics import paired, spread
from bridgeseg.extend import BASELINE
from bridgeseg.training.folder import ENVIRONMENT, SETTINGS
from bridgeseg.training.provenance import public_name

VAL = "val"
PUBLIC = ("data", "text_encoder", "backbone_weights")


@dataclass(frozen=True)
class Done:
    """A finished run, read back from its folder.

    Attributes:
        name: folder below `runs/`.
        scores: split -> scores as `Scores.to_dict` gives them.
        seconds: of the training; None where it is not known.
        settings: of the run, without folders of this machine.
        environment: what `environment.json` says.
        int8: scores of its last weights in 8 bits on the split that is reported; None where that was not done.
    """

    name: str
    variant: str
    backbone: str
    fraction: float
    seed: int
    scores: dict[str, dict[str, Any]]
    seconds: float | None
    settings: dict[str, Any]
    environment: dict[str, Any]
    int8: dict[str, Any] | None = None

    @property
    def cell(self) -> tuple[str, str, float]:
        """What the run shares with those of other seeds."""
        return self.variant, self.backbone, self.fraction


def read_run(out: Path, place: Path, split: str) -> Done:
    """Read a finished run (see `state.finished`)."""
    found = scores_of(place, split) or {}
    settings = read_json(place / SETTINGS) or {}
    settings |= {key: public_name(settings.get(key)) for key in PUBLIC}
    name = place.relative_to(out / RUNS).as_posix()
    return Done(
        name=name,
        variant=name.partition("/")[0],
        backbone=settings["model"]["backbone"],
        fraction=float(settings["fraction"]),
        seed=int(settings["seed"]),
        scores={key: value for key, value in found.items() if isinstance(value, dict)},
        seconds=found.get("seconds"),
        settings=settings,
        environment=read_json(place / ENVIRONMENT) or {},
        int8=(int8_of(place, split) or {}).get(split),
    )


def in_order(runs: Sequence[Done], variants: Sequence[str]) -> list[Done]:
    """Sort by backbone, fraction (all labels first), variant in the order given, seed."""
    place = {name: index for index, name in enumerate(variants)}
    return sorted(
        runs,
        key=lambda run: (run.backbone, -run.fraction, place.get(run.variant, len(place)), run.variant, run.seed),
    )


def make_cells(
    runs: Sequence[Done],
    split: str,
    against: Sequence[str],
    costs: Mapping[tuple[str, str], Mapping[str, Any]],
    reference: str | None = BASELINE,
) -> list[dict[str, Any]]:
    """Summarise runs by cell, in the order of the runs.

    Args:
        runs: finished runs.
        split: whose mIoU is reported; that of the validation split is given besides.
        against: variants that paired differences are taken to, where they are there.
        costs: (variant, backbone) -> what `measure` found.
        reference: variant that times of training are divided by.

    Returns:
        JSON-ready cells; scores are fractions of 1, `differences` and `val_differences` are keyed by variant;
        `int8_miou` is that in 8 bits, and `int8_difference` what it differs from the same runs in float, None where no
        run was scored so.
    """
    grouped: dict[tuple[str, str, float], list[Done]] = {}
    for run in runs:
        grouped.setdefault(run.cell, []).append(run)
    return [_cell(key, grouped, split, against, costs.get(key[:2], {}), reference) for key in grouped]


def _cell(
    key: tuple[str, str, float],
    grouped: Mapping[tuple[str, str, float], Sequence[Done]],
    split: str,
    against: Sequence[str],
    cost: Mapping[str, Any],
    reference: str | None,
) -> dict[str, Any]:
    variant, backbone, fraction = key
    runs = grouped[key]
    cell: dict[str, Any] = {
        "variant": variant,
        "backbone": backbone,
        "fraction": fraction,
        "seeds": [run.seed for run in runs],
    }
    for prefix, name in (("", split), ("val_", VAL)):
        own = _mious(runs, name)
        cell[f"{prefix}miou"] = asdict(spread(list(own.values()))) if own else None
        scores = {other: _mious(grouped.get((other, backbone, fraction), ()), name) for other in against}
        found = {other: paired(own, values) for other, values in scores.items() if other != variant}
        cell[f"{prefix}differences"] = {other: asdict(value) for other, value in found.items() if value is not None}
    in_8_bits = {run.seed: run.int8["miou"] for run in runs if run.int8 is not None}
    cell["int8_miou"] = asdict(spread(list(in_8_bits.values()))) if in_8_bits else None
    lost = paired(in_8_bits, _mious(runs, split))
    cell["int8_difference"] = None if lost is None else asdict(lost)
    cell["iou"] = _mean_iou(runs, split)
    baseline = grouped.get((reference or "", backbone, fraction), ())
    cell["iou_against"] = next((name for name in against if (name, backbone, fraction) in grouped), None)
    others = grouped.get((cell["iou_against"] or "", backbone, fraction), ())
    cell["iou_difference"] = _iou_difference(runs, others, split) if variant != cell["iou_against"] else {}
    cell["seconds"], cell["seconds_ratio"] = _seconds(runs), _ratio(_seconds(runs), _seconds(baseline))
    return {**cell, **cost}


def _mious(runs: Sequence[Done], split: str) -> dict[int, float]:
    found = {run.seed: run.scores.get(split, {}).get("miou") for run in runs}
    return {seed: value for seed, value in found.items() if value is not None}


def _mean_iou(runs: Sequence[Done], split: str) -> dict[str, float | None]:
    """Return class -> mean IoU over the seeds that have one."""
    result: dict[str, float | None] = {}
    for name in dict.fromkeys(name for run in runs for name in run.scores[split]["iou"]):
        values = [run.scores[split]["iou"].get(name) for run in runs]
        present = [value for value in values if value is not None]
        result[name] = spread(present).mean if present else None
    return result


def _iou_difference(runs: Sequence[Done], others: Sequence[Done], split: str) -> dict[str, Any]:
    """Return class -> paired difference to the runs of another variant, for classes that both have in a seed."""
    result = {}
    for name in _mean_iou(runs, split):
        first, second = (
            {run.seed: value for run in side if (value := run.scores[split]["iou"].get(name)) is not None}
            for side in (runs, others)
        )
        if (found := paired(first, second)) is not None:
            result[name] = asdict(found)
    return result


def _seconds(runs: Sequence[Done]) -> float | None:
    known = [run.seconds for run in runs if run.seconds is not None]
    return spread(known).mean if known else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def environments(runs: Sequence[Done]) -> list[dict[str, Any]]:
    """Return the distinct surroundings that the runs were made in, each with the number of its runs."""
    found: list[dict[str, Any]] = []
    for run in runs:
        facts = {key: value for key, value in run.environment.items() if key != "data"}
        for known in found:
            if known["facts"] == facts:
                known["runs"] += 1
                break
        else:
            found.append({"runs": 1, "facts": facts})
    return found
