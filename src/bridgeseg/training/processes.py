"""What the processes of a training do together, so that a step is that of the whole batch, not of a device's share."""

from __future__ import annotations

import os

from lightning.pytorch.plugins.layer_sync import LayerSync
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn

from bridgeseg.errors import ConfigError

LAUNCHED = (
    "RANK", "GROUP_RANK", "NODE_RANK", "MASTER_ADDR", "SLURM_PROCID", "LSB_JOBID", "JSM_NAMESPACE_RANK",
    "OMPI_COMM_WORLD_RANK", "PMI_RANK", "KUBERNETES_PORT",
)  # fmt: skip
"""What launchers tell their processes by: torchrun, Slurm, LSF, MPI, Kubeflow, or a user who starts one per machine."""


def refuse_alone(num_nodes: int) -> None:
    """Refuse a training on several machines that nothing started on the others: it would wait for them in silence.

    Raises:
        ConfigError: none of `LAUNCHED` is set.
    """
    if num_nodes > 1 and not any(name in os.environ for name in LAUNCHED):
        raise ConfigError(
            f"a training on {num_nodes} machines is started on each of them by a launcher, and there is none",
            where="num_nodes",
            fix="start it with torchrun or srun, see docs/training.md, or leave `num_nodes` out",
        )


def together() -> bool:
    """Say whether this process is one of a group."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def meet() -> None:
    """Wait for the other processes of the training, if there are any, to come here too.

    Raises:
        RuntimeError: one of them ended.
    """
    if together():
        distributed.barrier()


def own(part: Tensor) -> Tensor:
    """Return a process's part as it is: what `total` is for a process that works alone."""
    return part


def total(part: Tensor) -> Tensor:
    """Sum the parts of all processes; what is computed from it must be computed alike in all of them.

    The gradient of the own part is multiplied by the number of processes, since DDP takes the mean of their gradients:
    the mean is then the gradient of what was computed from the sum.
    """
    if not together():
        return part
    whole = part.detach().clone()
    distributed.all_reduce(whole)
    return whole + distributed.get_world_size() * (part - part.detach())


class SyncBatchNorm(LayerSync):
    """Takes the statistics of batch norm over all devices.

    Lightning's own `sync_batchnorm` would lose the activations that are a part of timm's batch norms.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace batch norms, in place; names and values stay."""
        converted: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave the layers: in evaluation they are plain ones."""
        return model
