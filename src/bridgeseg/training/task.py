"""One dataset's part in a training: which names a step on it is about, what its masks say, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.joining import Member
from bridgeseg.data.labels import UNKNOWN, set_of
from bridgeseg.data.listing import Sample
from bridgeseg.metrics import Scores
from bridgeseg.models.segmentor import Prediction, Segmentor, to_size
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.teaching import Teaching


@dataclass(frozen=True)
class Part:
    """Where the images of a dataset stand among those of all datasets.

    Attributes:
        samples: its training images.
        first: place of the first of them.
        val: its validation images.
    """

    samples: list[Sample]
    first: int
    val: list[Sample]


class Task(nn.Module):
    """What a step and a validation on one dataset do.

    Args:
        member: the dataset.
        names: number of names of the vocabulary.
        loss: losses on the columns of the dataset (see `bridgeseg.data.labels`).
        sets_apart: whether the loss has columns of its own for each set of labelled names.
        chooses: whether the network takes the class embeddings of any names, and so those of the dataset alone; if not,
            it gives the logits of the whole vocabulary, and those of the dataset are chosen from them.

    Attributes:
        name: of the dataset.
        teaching: what pixels without a label learn of names that the network knew before, if any are kept.
        confusion, val_loss: of the validation under way.
    """

    rows: Tensor | None
    table: Tensor | None
    truth: Tensor
    counts: Tensor
    train_sets: Tensor
    val_sets: Tensor
    teaching: Teaching | None

    def __init__(
        self, member: Member, names: int, loss: SegmentationLoss, *, chooses: bool, sets_apart: bool = False
    ) -> None:
        super().__init__()
        labels = member.labels
        self.name, self.member, self.loss, self.chooses = member.name, member, loss, chooses
        self.first, self.teaching = 0, None
        whole = labels.rows == tuple(range(names))
        self._keep("rows", None if whole else torch.tensor(labels.rows))
        self.plain = labels.plain and loss.ignore_index == member.spec.classes.ignore_index
        table = torch.from_numpy(labels.table)
        if sets_apart:
            steps = torch.arange(len(table))[:, None] * labels.columns
            table = torch.where(table == UNKNOWN, table, table + steps)
        self._keep("table", None if self.plain else table)
        self._keep("truth", torch.from_numpy(labels.truth))
        self._keep("counts", torch.from_numpy(labels.counts))
        for name in ("train_sets", "val_sets"):
            self._keep(name, torch.zeros(0, dtype=torch.int64))
        self.confusion, self.val_loss = ConfusionMatrix(1), torch.zeros(())

    def _keep(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    def find(self, part: Part) -> None:
        """Look up for which names each image was labelled, if images differ in that."""
        spec, sets, self.first = self.member.spec, self.member.labels.sets, part.first
        if len(sets) > 1:
            for name, samples in (("train_sets", part.samples), ("val_sets", part.val)):
                self._keep(name, torch.tensor([set_of(spec, sets, spec.key(sample)) for sample in samples]))

    def predict(self, segmentor: Segmentor, images: Tensor, class_embeddings: Tensor | None = None) -> Prediction:
        """Normalised images (B, 3, H, W) -> logits and score map of the V names of a step."""
        if self.rows is None:
            return segmentor(images, class_embeddings)  # type: ignore[no-any-return]
        text = segmentor.class_embeddings if class_embeddings is None else class_embeddings
        if self.chooses and text is not None:
            return segmentor(images, text[self.rows])  # type: ignore[no-any-return]
        found = segmentor(images, class_embeddings)
        score_map = None if found.score_map is None else found.score_map[:, self.rows]
        chosen: Prediction = found._replace(logits=found.logits[:, self.rows], score_map=score_map)
        return chosen

    def targets(self, masks: Tensor, places: Tensor, *, val: bool = False) -> Tensor:
        """Masks (B, H, W) of class ids of the dataset -> columns, or what the loss ignores; `places` of the images."""
        if self.table is None:
            return masks
        return self._look_up(self.table, masks, places, val)

    def kinds(self, masks: Tensor, places: Tensor) -> Tensor:
        """Masks (B, H, W) of class ids -> what their pixels are to the teaching, as `Teaching.forward` takes it."""
        return masks if self.teaching is None else self._look_up(self.teaching.kinds, masks, places, False)

    def count(self, logits: Tensor, masks: Tensor, places: Tensor) -> None:
        """Count predictions of a validation: logits (B, V, H, W), masks (B, H, W) of class ids of the dataset."""
        found = logits.argmax(dim=1)
        if self.plain:
            self.confusion.update(found, masks)
            return
        truth = self._look_up(self.truth, masks, places, True)
        known = truth != UNKNOWN
        rows = self._rows(places, True)
        self.confusion.update(self.counts[rows, truth.where(known, 0), found], truth)

    def start(self, device: Any) -> None:
        """Start an empty confusion matrix and an empty sum of losses."""
        labels = self.member.labels
        ignore = self.member.spec.classes.ignore_index if self.plain else UNKNOWN
        self.confusion = ConfusionMatrix(len(labels.scored) + (labels.rest and not self.plain), ignore)
        self.val_loss = torch.zeros((), device=device)

    def scores(self, matrix: Tensor, images: int) -> Scores:
        """Return the scores of a confusion matrix, summed over all processes."""
        return Scores.from_confusion(matrix.cpu().numpy(), self.member.labels.scored, images)

    def validate(self, segmentor: Segmentor, images: Tensor, masks: Tensor, places: Tensor) -> None:
        """Count one normalised image, (1, 3, H, W), at its native size."""
        if self.rows is None:
            logits = segmentor.logits(images)
        else:
            logits = to_size(self.predict(segmentor, images).logits, segmentor.stride, images)
        self.val_loss += self.loss.cross_entropy(logits, self.targets(masks, places, val=True))
        self.count(logits, masks, places)

    def _look_up(self, table: Tensor, masks: Tensor, places: Tensor, val: bool) -> Tensor:
        return table[self._rows(places, val), masks]

    def _rows(self, places: Tensor, val: bool) -> Tensor | int:
        """Return the rows (B, 1, 1) of tables that are those of the images, 0 where they have one in common."""
        sets, first = (self.val_sets, 0) if val else (self.train_sets, self.first)
        return sets[places - first][:, None, None] if len(sets) else 0
