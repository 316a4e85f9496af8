"""Where a training begins: its settings read, and all that is missing found, before the libraries that train load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError
from bridgeseg.extras import extra
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import load_values, set_values
from bridgeseg.training import folder
from bridgeseg.training.loading import refuse_import
from bridgeseg.training.missing import refuse_missing

if TYPE_CHECKING:
    from bridgeseg.training.fit import TrainResult


def train(
    data: str | Path | None = None,
    out: str | Path = "runs/run",
    *,
    config: TrainConfig | str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> TrainResult:
    """Train a network.

    Args:
        data: path of the data.yaml; needed unless `config` or a resumed run names it.
        out: run folder; must not hold a run unless `resume`.
        config: a `TrainConfig` or a file of one; `settings` go on top.
        resume: continue the run in `out` from its last finished epoch, with the settings it was started with. Settings
            that say where it is made may be others, as long as a step is of as many images; `data` may name the same
            dataset at another place; and more `epochs` extend a finished run, whose learning rate then goes on as in
            a run of that many epochs.
        quiet: show no progress.
        settings: keys of `TrainConfig`, dotted for the inner ones: `**{"model.method": "none", "epochs": 10}`.

    Returns:
        The run folder holds `train.json` (settings), `environment.json` (versions), `data.sha256` (the data), `best/`
        and `last/` (checkpoints), `resume.ckpt`, `metrics.csv`, `train.log`, TensorBoard logs and images.

    Raises:
        InputError: settings, data, weights or the folder cannot be used, the loss is no number, or the run was stopped.
    """
    refuse_import()
    out = Path(out)
    folder.refuse(out, resume)
    given = config.model_dump(mode="json") if isinstance(config, TrainConfig) else {}
    if isinstance(config, str | Path):
        given = load_values(config)
    given = set_values(given, settings | ({} if data is None else {"data": str(data)}))
    if not resume:
        if "data" not in given:
            raise ConfigError("no dataset given", fix="pass data='.../data.yaml' (on the command line: --data)")
        wanted = TrainConfig.parse(given)
        refuse_missing(wanted, DataSpec.load(wanted.data, wanted.val_share).classes)
    with extra():
        from bridgeseg.training.fit import fit
        from bridgeseg.training.provenance import absolute
        from bridgeseg.training.resuming import resumed_settings
    return fit(resumed_settings(out, given) if resume else absolute(wanted), out, resume=resume, quiet=quiet)
