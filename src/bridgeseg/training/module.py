"""The training step, the optimiser and the validation of a segmentor, as a LightningModule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bridgeseg.extend import METHODS
from bridgeseg.metrics import Scores, join_scores
from bridgeseg.models.segmentor import Prediction, Segmentor, to_size
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text.learned import LearnedPrompts
from bridgeseg.training.deep import DeepHeads
from bridgeseg.training.task import Task
from bridgeseg.training.teaching import Teacher
from bridgeseg.training.vocabulary import StepNames, without

Batch = tuple[Any, ...]


class TrainModule(pl.LightningModule):
    """Trains a segmentor.

    Args:
        segmentor: the network; it knows nothing of this class.
        config: rates, schedule, losses.
        tasks: what a step and a validation on each dataset do.
        prompts: gives the class embeddings of every step, if prompts are learned.
        deep: classifiers on the features, if they are supervised.
        teacher: the network of before, if names of it are kept.

    Attributes:
        contexts: the parameter of the learned prompts. Their text encoder is no part of this module: it is neither
            averaged nor stored.
        vocabulary: what steps see of the names, if it is not all of them as they are.
        total_steps: of the run, as planned; the learning rate goes by it.
    """

    contexts: nn.Parameter | None

    def __init__(
        self,
        segmentor: Segmentor,
        config: TrainConfig,
        tasks: Sequence[Task],
        prompts: LearnedPrompts | None = None,
        deep: DeepHeads | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.segmentor, self.config = segmentor, config
        self.tasks = nn.ModuleList(tasks)
        self._prompts = (prompts,)  # in a tuple, where PyTorch does not look for modules
        self._teacher = teacher
        self.contexts = None if prompts is None else prompts.contexts
        self.vocabulary: StepNames | None = None
        self.total_steps = 0
        self.deep = deep

    def class_embeddings(self) -> Tensor | None:
        """Class embeddings (K, D) of the learned prompts as they are now; None where the segmentor's own are used."""
        prompts = self._prompts[0]
        return None if prompts is None else prompts(normalize=unit_length(self.config))

    def on_fit_start(self) -> None:
        """Bring the text encoder of learned prompts, and the network of before, to the device."""
        if self._prompts[0] is not None:
            self._prompts[0].to(self.device)
        if self._teacher is not None:
            self._teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Tie all random numbers of an epoch to (seed, epoch), so that a resumed run equals an uninterrupted one."""
        loader: Any = self.trainer.train_dataloader
        loader.set_epoch(self.current_epoch)
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch + 7919 * self.global_rank)
        for name in self.config.freeze:  # the statistics of its batch norms stay as well
            getattr(self.segmentor, name).eval()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Let batch norms keep their statistics once the run is as far as `fix_norms`.

        A step on one of several datasets normalises by the statistics of that dataset alone; the network is used with
        those of all, which it only meets from here on.
        """
        share = self.config.fix_norms
        if share is not None and self.global_step >= share * self.total_steps:
            for module in self.segmentor.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on (images uint8 (B, 3, h, w), masks int64 (B, h, w), places, index of the dataset if several)."""
        images, masks, places, *which = batch
        task = self._task(which[0] if which else 0)
        normalised = self.segmentor.normalise(images).contiguous(memory_format=torch.channels_last)
        output, left_out = self._predict(task, normalised)
        kinds = task.kinds(masks, places)
        masks = task.targets(masks, places)
        if left_out is not None:
            masks = without(masks, left_out, task.loss.ignore_index)
        loss: Tensor = task.loss(to_size(output.logits, self.segmentor.stride, images), masks)
        for key in ("train_loss", *([f"train_loss {task.name}"] if which else [])):
            self.log(key, loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        if self.deep is not None:
            deep = self.deep(output.features, masks, task.loss, task.rows)
            self.log("train_deep_loss", deep, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
            loss = loss + self.config.loss.deep * deep
        if task.teaching is not None and self._teacher is not None and self.config.loss.teacher:
            kept = task.teaching(output.logits, self._teacher(images), kinds, self.segmentor.stride)
            self.log("train_teacher_loss", kept, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
            loss = loss + self.config.loss.teacher * kept
        if output.score_map is None:
            return loss
        if self.config.loss.aux:
            stride = self.segmentor.stride * output.logits.shape[-1] // output.score_map.shape[-1]
            auxiliary = task.loss.auxiliary(output.score_map, masks, stride)
            self.log("train_aux_loss", auxiliary, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
            loss = loss + self.config.loss.aux * auxiliary
        else:  # DDP wants a gradient, be it zero, for every parameter, also for those that only the score map needs
            loss = loss + 0.0 * output.score_map.sum()
        return loss

    def _predict(self, task: Task, images: Tensor) -> tuple[Prediction, Tensor | None]:
        """Predict by the names of a step; and say which of them are left out, if any are."""
        learned = self.class_embeddings()
        text = self.segmentor.class_embeddings if learned is None else learned
        if self.vocabulary is None or text is None:
            return task.predict(self.segmentor, images, learned), None
        found: tuple[Prediction, Tensor | None] = self.vocabulary(self.segmentor, images, text, task.rows)
        return found

    def on_validation_epoch_start(self) -> None:
        """Start an empty confusion matrix and an empty sum of losses; freeze what the prompts have learned so far."""
        learned = self.class_embeddings()
        if learned is not None and self.segmentor.class_embeddings is not None:
            self.segmentor.class_embeddings.copy_(learned)
        for index in range(len(self.tasks)):
            self._task(index).start(self.device)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count one image, (1, 3, H, W), at its native size."""
        images, masks, places, *_ = batch
        normalised = self.segmentor.normalise(images).contiguous(memory_format=torch.channels_last)
        self._task(dataloader_idx).validate(self.segmentor, normalised, masks, places)

    def gather_scores(self) -> Scores:
        """Sum the confusion matrices of all processes: exact, whatever the shards."""
        found = {}
        for index, images in enumerate(self._val_images()):
            task = self._task(index)
            matrix = self._over_processes(torch.from_numpy(task.confusion.matrix).to(self.device))
            found[task.name] = task.scores(matrix, images)
        return join_scores(found) if len(found) > 1 else next(iter(found.values()))

    def gather_losses(self) -> list[float]:
        """Return the mean loss of the validation images of each dataset.

        Lightning's own mean is wrong where shards differ in size.
        """
        return [
            float(self._over_processes(self._task(index).val_loss)) / images
            for index, images in enumerate(self._val_images())
        ]

    def loss_names(self, kind: str) -> list[str]:
        """Return the names under which a loss is logged for each of several datasets: `train_loss camvid`."""
        several = len(self.tasks) > 1
        return [f"{kind} {self._task(index).name}" for index in range(len(self.tasks))] if several else []

    def _task(self, index: int) -> Task:
        return self.tasks[index]  # type: ignore[return-value]

    def _over_processes(self, value: Tensor) -> Tensor:
        gathered = self.all_gather(value) if self.trainer.world_size > 1 else value[None]
        return gathered.sum(dim=0) if isinstance(gathered, Tensor) else value

    def _val_images(self) -> list[int]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return [len(dataset) for dataset in data.vals]

    def configure_optimizers(self) -> Any:
        """AdamW with two rates and a poly schedule after linear warm-up, per step."""
        config = self.config
        # Lightning cannot clip the gradients of a fused optimiser in mixed precision
        fused = config.precision == "32-true"
        groups = parameter_groups(self.segmentor, config)
        if self.deep is not None:
            groups.append({"params": list(self.deep.parameters())})
        if self.contexts is not None:
            groups.append({"params": [self.contexts], "lr": config.lr, "weight_decay": 0.0})
        optimiser = torch.optim.AdamW(groups, lr=config.lr, fused=fused)
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_factor(step, self.total_steps, config.warmup, config.power)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def unit_length(config: TrainConfig) -> bool:
    """Say whether learned class embeddings are brought to unit length."""
    return METHODS.get(config.model.method).unit_length


def rate_factor(step: int, total: int, warmup: float, power: float) -> float:
    """Return the factor on the learning rate of a step, 0 <= step < total.

    It rises linearly over the first `warmup` share of the run, reaches 1, and falls as (1 - progress) ** power towards
    the 0 that the step after the last one would have (poly, as in DeepLab, arXiv 1606.00915, section 4.1).
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    progress = (step - rising) / max(1, total - rising)
    return float((1 - min(progress, 1.0)) ** power)


def parameter_groups(segmentor: Segmentor, config: TrainConfig) -> list[dict[str, Any]]:
    """Split parameters by learning rate (backbone or not) and decay (none on norms, biases, scalars)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in segmentor.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.lr * (config.backbone_lr if in_backbone else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]
