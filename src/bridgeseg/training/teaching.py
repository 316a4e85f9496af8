"""Names that a network knew before: where nothing is labelled, it teaches the network that goes on from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.data.joining import Joined, Member
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.training.processes import total


class Teaching(nn.Module):
    """Cross-entropy of the pixels without a label of one dataset against the network of before, which is kept as it is.

    What an old network says of a pixel is a distribution over the old names, and the pixel may be of a new name of
    which it knows nothing (background shift: MiB, arXiv 2002.03718). So there are two kinds of pixels:

    - nothing is known: the distribution over the old names alone is to be the teacher's. Of new names nothing is said.
    - none of the labelled names: the distribution over all names is to be the teacher's, over those of its names that
      are not labelled here. This is the unbiased distillation of MiB (eq. 8) in a vocabulary without a background.

    It is computed for the cells of the logits, which are bilinear in between, each with the share of its pixels.

    Args:
        member: the dataset.
        old: for each of the O old names, those of the vocabulary that it means.
        names: the vocabulary.
    """

    kinds: Tensor
    taught: Tensor
    asked: Tensor

    def __init__(self, member: Member, old: Sequence[Sequence[str]], names: Sequence[str]) -> None:
        super().__init__()
        labels, spec = member.labels, member.spec
        column = {names[row]: place for place, row in enumerate(labels.rows)}
        self.groups = [[column[leaf] for leaf in leaves] for leaves in old]
        union = {place for group in self.groups for place in group}
        kinds = torch.full(labels.table.shape, -1)
        taught, asked = list[list[bool]](), list[list[bool]]()
        for row, chosen in enumerate(labels.sets):
            inside = {int(place) for place in labels.members[row].nonzero()[0]}
            rest = [not inside & set(group) for group in self.groups]
            other = spec.unlabelled == "other" and any(rest)
            values = torch.tensor([index for index, name in enumerate(spec.classes.names) if name not in chosen])
            kinds[row, labels.table[row] == -1] = len(taught)
            taught.append([True] * len(self.groups))
            asked.append([place in union for place in range(len(labels.rows))])
            if other and len(values):
                kinds[row, values] = len(taught)
                taught.append(rest)
                asked.append([True] * len(labels.rows))
        for name, value in (("kinds", kinds), ("taught", torch.tensor(taught)), ("asked", torch.tensor(asked))):
            self.register_buffer(name, value, persistent=False)

    def forward(self, logits: Tensor, teacher: Tensor, kinds: Tensor, stride: int) -> Tensor:
        """Return the mean over the pixels that are taught, of all processes; 0 where there are none.

        Args:
            logits: (B, V, h, w) of the names of the step, padded.
            teacher: (B, O, h', w') logits of the old names, of the same images.
            kinds: (B, H, W) index of the kind of each pixel, -1 where it is labelled.
            stride: pixels along the side of a cell of `logits`.
        """
        height, width = (size * stride for size in logits.shape[-2:])
        padded = F.pad(kinds, (0, width - kinds.shape[-1], 0, height - kinds.shape[-2]), value=-1)
        logits, teacher = logits.float(), teacher.float()
        if teacher.shape[-2:] != logits.shape[-2:]:  # a network of before with another decoder
            teacher = F.interpolate(teacher, size=logits.shape[-2:], mode="bilinear")
        losses, weights = logits.new_zeros(()), logits.new_zeros(())
        for kind, (taught, asked) in enumerate(zip(self.taught, self.asked, strict=True)):
            share = F.avg_pool2d((padded == kind).float()[:, None], stride)[:, 0]  # (B, h, w)
            target = teacher.masked_fill(~taught[:, None, None], -torch.inf).softmax(dim=1)
            known = logits.masked_fill(~asked[:, None, None], -torch.inf)
            log_all = logits.movedim(1, 0)
            joined = [log_all[group].logsumexp(dim=0) if len(group) > 1 else log_all[group[0]] for group in self.groups]
            log_p = torch.stack(joined, dim=1) - known.logsumexp(dim=1, keepdim=True)
            losses = losses + (-(target * log_p).sum(dim=1) * share).sum()
            weights = weights + share.sum()
        return total(losses) / total(weights).clamp(min=1e-6)


class Teacher:
    """The network of before; it is no part of the module that is trained, and is neither stored with it nor averaged.

    Args:
        segmentor: in evaluation mode.
    """

    def __init__(self, segmentor: Segmentor) -> None:
        self.segmentor = segmentor.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def to(self, device: torch.device) -> None:
        """Bring it to a device."""
        self.segmentor.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """RGB of 0..255 (B, 3, H, W) -> logits (B, O, h, w) at its stride, padded."""
        normalised = self.segmentor.normalise(images).contiguous(memory_format=torch.channels_last)
        return self.segmentor(normalised).logits  # type: ignore[no-any-return]


def teachings(joined: Joined) -> list[Teaching | None]:
    """Return what each dataset's unlabelled pixels learn of the old names; None for one that labels all its names."""
    if not joined.before:
        return [None] * len(joined.members)
    old = [joined.relations.leaves(name) for name in joined.before]
    return [Teaching(member, old, joined.classes.names) if member.spec.partial else None for member in joined.members]
