"""Log-likelihoods of labels that may mean a group of names: a part of a coarse name, or none of the labelled ones.

A label is a column of V + G: one of the V names of a step, or one of G groups of them (see `bridgeseg.data.labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Group = tuple[int, ...]


class Likelihood(nn.Module):
    """Base: what a pixel's logits say of every label that it may have."""

    def forward(self, logits: Tensor) -> Tensor:
        """logits (B, V, h, w) -> log-likelihoods (B, C, h, w) of C labels, at most 0."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """logits (B, V, h, w) -> probabilities (B, V + G, h, w) of names and groups; those of groups overlap others."""
        raise NotImplementedError

    def spread(self, found: Tensor, labels: Tensor, names: int) -> Tensor:
        """Return the mean log-likelihood of the single names that a pixel's image may be labelled with.

        Args:
            found: (B, C, H, W) log-likelihoods.
            labels: (B, H, W), of the C labels; any number where a pixel has none.
            names: V.

        Returns:
            (B, H, W).
        """
        return found[:, :names].mean(dim=1)

    def told(self, labels: Tensor, names: int) -> Tensor:
        """Say of which columns labels tell whether they are true.

        A label tells that its own column is true, and that those are false which have no name in common with it.

        Args:
            labels: (P,) of the C labels.
            names: V.

        Returns:
            (P, V + G) bool.
        """
        raise NotImplementedError


def apart(groups: Sequence[Group], names: int, device: torch.device) -> Tensor:
    """Return (V + G, V + G) bool: which columns are one and the same, or have no name in common."""
    held = torch.eye(names + len(groups), names)
    for row, group in enumerate(groups, names):
        held[row, list(group)] = 1
    return ((held @ held.T == 0) | torch.eye(len(held), dtype=torch.bool)).to(device)


class Softmax(Likelihood):
    """One name is true: p is the softmax over the V names, and a group has the sum of its names' p.

    -log of a sum of probabilities is how MiB (arXiv 2002.03718, eq. 5) reads a label that stands for several classes.

    Args:
        groups: columns of each group.
        added: columns of names that no dataset labels.
    """

    def __init__(self, groups: Sequence[Group], added: Sequence[int] = ()) -> None:
        super().__init__()
        self.groups, self.added = tuple(groups), frozenset(added)

    def forward(self, logits: Tensor) -> Tensor:
        """See `Likelihood`; C = V + G."""
        logits = logits.float()
        grouped = [logits[:, list(group)].logsumexp(dim=1, keepdim=True) for group in self.groups]
        return torch.cat([logits, *grouped], dim=1) - logits.logsumexp(dim=1, keepdim=True)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `Likelihood`."""
        found: Tensor = self(logits).exp()
        return found

    def told(self, labels: Tensor, names: int) -> Tensor:
        """See `Likelihood`."""
        return apart(self.groups, names, labels.device)[labels]


class Sigmoid(Likelihood):
    """Every labelled name is true or not by itself, and nothing is said of the others (UniSeg's form).

    The log-likelihood of a label is the sum of log sigmoid(x) of the name that it says and of log(1 - sigmoid(x)) of
    the other names that its image was labelled for. A group of parts has the logit logsumexp(x); "none of the labelled
    names" says that all of them are false.

    Args:
        groups: columns of each group.
        members: (S, V), the names that images of each of S sets are labelled for. There are S times V + G labels, those
            of one set after those of another.
    """

    members: Tensor

    def __init__(self, groups: Sequence[Group], members: NDArray[Any]) -> None:
        super().__init__()
        self.groups = tuple(groups)
        self.within = [[bool(row[list(group)].all()) for group in groups] for row in members]
        self.register_buffer("members", torch.from_numpy(members).float(), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """See `Likelihood`; C = S (V + G)."""
        logits = logits.float()
        falls = F.softplus(logits)  # -log(1 - sigmoid(x)); log sigmoid(x) is x less than that
        found = []
        for members, within in zip(self.members, self.within, strict=True):
            known = members[:, None, None]
            none = -(falls * known).sum(dim=1, keepdim=True)
            found.append(none + logits * known)
            for group, told in zip(self.groups, within, strict=True):
                columns = list(group)
                joint = F.logsigmoid(logits[:, columns].logsumexp(dim=1, keepdim=True))
                found.append(none + falls[:, columns].sum(dim=1, keepdim=True) + joint if told else none)
        return torch.cat(found, dim=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `Likelihood`; a group has 1 minus the product of its names' 1 - sigmoid(x)."""
        logits = logits.float()
        falls = F.softplus(logits)
        groups = [1 - (-falls[:, list(group)].sum(dim=1, keepdim=True)).exp() for group in self.groups]
        return torch.cat([logits.sigmoid(), *groups], dim=1)

    def spread(self, found: Tensor, labels: Tensor, names: int) -> Tensor:
        """See `Likelihood`: the names that the image was labelled for."""
        size = names + len(self.groups)
        parts: tuple[Tensor, ...] = torch.split(found, size, dim=1)
        means = [
            (part[:, :names] * known[:, None, None]).sum(dim=1) / known.sum().clamp(min=1)
            for part, known in zip(parts, self.members, strict=True)
        ]
        rows = (labels // size).clamp(0, len(means) - 1)
        return torch.stack(means).gather(0, rows[None])[0]

    def told(self, labels: Tensor, names: int) -> Tensor:
        """See `Likelihood`; nothing is told of columns with names that the image was not labelled for."""
        separate = apart(self.groups, names, labels.device)
        within = torch.tensor(self.within, dtype=torch.bool, device=labels.device).view(len(self.members), -1)
        columns = torch.cat([self.members.bool(), within], dim=1)
        return separate[labels % len(separate)] & columns[labels // len(separate)]
