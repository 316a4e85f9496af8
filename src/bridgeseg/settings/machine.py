"""Where a training runs, and where it reports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, field_validator

from bridgeseg.errors import ConfigError
from bridgeseg.settings.fields import MACHINE, listed, setting


def devices_of(value: str) -> str | int | list[int]:
    """Return devices as Lightning takes them: `auto`, how many, or which; a list of one has a comma: `1,`.

    >>> devices_of("2"), devices_of("0,1"), devices_of("1,")
    (2, [0, 1], [1])

    Raises:
        ConfigError: anything else.
    """
    if value == "auto":
        return value
    try:
        return [int(part) for part in value.removesuffix(",").split(",")] if "," in value else int(value)
    except ValueError as error:
        raise ConfigError(
            f"devices {value!r} is no number", fix="give `auto`, a number, or a list as in 0,1"
        ) from error


class MachineConfig(BaseModel):
    """Devices, processes and loggers."""

    check: Annotated[
        bool,
        setting(
            "check the dataset first, as `bridgeseg check --quick` does, and do not train if it has errors", MACHINE
        ),
    ] = True
    workers: Annotated[
        int, setting("processes that load data; 0 loads in the training process", MACHINE, "--workers", ge=0)
    ] = 1
    cache: Annotated[bool, setting("keep decoded images in memory, up to 2 GiB", MACHINE)] = True
    precision: Annotated[
        Literal["32-true", "bf16-mixed", "16-mixed"],
        setting("`bf16-mixed` or `16-mixed` on GPUs that are faster with them", MACHINE, "--precision"),
    ] = "32-true"
    accelerator: Annotated[str, setting("Lightning's: `cpu`, `gpu`, `mps`, ...", MACHINE)] = "auto"
    devices: Annotated[
        str,
        setting(
            "how many, or which: `2`, `0,1`, or `1,` for the second alone",
            MACHINE,
            "--devices",
            python="str | int | list[int]",
        ),
    ] = "auto"
    num_nodes: Annotated[int, setting("machines", MACHINE, "--num-nodes", ge=1)] = 1
    strategy: Annotated[str, setting("Lightning's, such as `ddp`", MACHINE, "--strategy")] = "auto"
    sync_batchnorm: Annotated[
        bool, setting("on several GPUs, take the statistics of batch norm over all of them", MACHINE)
    ] = False
    logger: Annotated[
        tuple[Literal["tensorboard", "csv", "mlflow", "wandb"], ...],
        setting(
            "where losses and scores go besides metrics.csv: `tensorboard`, `csv`, `mlflow`, `wandb`, several "
            "separated by commas, or `none`",
            MACHINE,
            "--logger",
            metavar="NAME,...",
            read="listed",
        ),
    ] = ("tensorboard",)

    @field_validator("logger", mode="before")
    @classmethod
    def _loggers(cls, value: Any) -> Any:
        """Take `none` for no logger, and each once."""
        named = listed(value)
        if named in (None, ["none"]):
            return ()
        return list(dict.fromkeys(map(str, named))) if isinstance(named, list | tuple) else named

    @field_validator("strategy")
    @classmethod
    def _not_spawned(cls, value: str) -> str:
        """Refuse strategies that hand what is trained to new processes: it cannot be pickled."""
        if "spawn" in value:
            raise ValueError(f"{value!r} cannot be used here; use `strategy=ddp`, which starts processes too")
        return value

    @field_validator("devices", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Take `2`, `[0, 1]` and `[1]`, as YAML gives them, for `"2"`, `"0,1"` and `"1,"`."""
        if type(value) is int:
            return str(value)
        if not isinstance(value, list | tuple) or not value or not all(type(part) is int for part in value):
            return value
        return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
