"""What a training step sees of the names: some left out, others added, in other words; validation sees them all.

A network that is to be asked for names it was never trained with should not rely on the names of one dataset: neither
on all of them being there, nor on what they are told apart from, nor on one vector for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError
from bridgeseg.models.counting import takes_any_names
from bridgeseg.models.segmentor import Prediction, Segmentor
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.vocabulary import VocabularyConfig
from bridgeseg.text import embed
from bridgeseg.text.bank import named_bank
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.prompts import resolve_templates
from bridgeseg.vocabulary.embeddings import find_rows

NEVER = -1e4
"""Logit of a name that a step leaves out: its probability is 0, in 16 bits too."""
CLOSE = 0.4
"""Cosine around the mean of the bank from which a name may be a word for one of the data, as road and pavement."""
LEAST = 2
"""Names that a step keeps at least."""


class StepNames(nn.Module):
    """Lets a step see other names than the vocabulary has; its random numbers are PyTorch's own.

    Args:
        config: what is done.
        wordings: for each of K names the (A, D) vectors of its phrases and templates, one of which a step takes; None
            for the network's own class embeddings.
        others: (N, D) vectors of names that are on no image, at least as many as a step adds; None if it adds none.
    """

    wordings: Tensor | None
    counts: Tensor
    others: Tensor | None

    def __init__(
        self, config: VocabularyConfig, wordings: list[Tensor] | None = None, others: Tensor | None = None
    ) -> None:
        super().__init__()
        self.drop, self.added = config.drop_names, config.distractors if others is not None else 0
        padded = None if wordings is None else nn.utils.rnn.pad_sequence(wordings, batch_first=True)
        self.register_buffer("wordings", padded, persistent=False)
        self.register_buffer("counts", torch.tensor([len(own) for own in wordings or []]), persistent=False)
        self.register_buffer("others", others, persistent=False)

    def forward(
        self, segmentor: Segmentor, images: Tensor, text: Tensor, rows: Tensor | None = None
    ) -> tuple[Prediction, Tensor | None]:
        """Predict by the names of one step.

        Args:
            segmentor: takes any names, where names are left out or added.
            images: normalised, (B, 3, H, W).
            text: class embeddings (K, D) of the vocabulary.
            rows: ids of the V names of the step; None for all.

        Returns:
            Logits and score map of V names, `NEVER` where they are left out, and behind them of those added; and (V,)
            bool, which names are left out, or None.
        """
        if self.wordings is not None:
            drawn = torch.rand(len(text)).to(self.counts.device) * self.counts
            chosen = drawn.long().minimum(self.counts - 1)
            text = self.wordings[torch.arange(len(text), device=chosen.device), chosen]
        text = text if rows is None else text[rows]
        count, left_out = len(text), self._left_out(len(text)) if self.drop else None
        kept = None if left_out is None else (~left_out).nonzero()[:, 0].to(text.device)
        given = text if kept is None else text[kept]
        if self.others is not None and self.added:
            given = torch.cat([given, self.others[torch.randperm(len(self.others))[: self.added].to(given.device)]])
        found = segmentor(images, given)
        if kept is None or left_out is None:
            return found, None
        score_map = None if found.score_map is None else _spread(found.score_map, kept, count)
        spread = found._replace(logits=_spread(found.logits, kept, count), score_map=score_map)
        return spread, left_out.to(text.device)

    def _left_out(self, count: int) -> Tensor:
        drawn = torch.rand(count)
        left_out = drawn < self.drop
        left_out[drawn.argsort(descending=True)[:LEAST]] = False
        return left_out


def without(masks: Tensor, left_out: Tensor, ignore_index: int) -> Tensor:
    """Ignore pixels of names that are left out: masks (B, H, W) of columns, left_out (V,) bool."""
    labelled = masks != ignore_index
    return masks.where(~(left_out[masks.where(labelled, 0)] & labelled), ignore_index)


def make_step_names(config: TrainConfig, classes: ClassSet, segmentor: Segmentor, *, single: bool) -> StepNames | None:
    """Build what `vocabulary` asks for; None if it asks for nothing.

    Args:
        config: of the run.
        classes: the vocabulary.
        segmentor: its network.
        single: whether each label is one name, and no network of before is the teacher.

    Raises:
        ConfigError: the settings do not go with the method, the labels or the losses, or there is no bank.
    """
    asked, text = config.vocabulary, segmentor.class_embeddings
    if asked == VocabularyConfig():
        return None
    changes = bool(asked.drop_names or asked.distractors)
    refuse = None
    if text is None:
        refuse = f"method {config.model.method!r} takes no names", "choose a method that language guides"
    elif not takes_any_names(config.model, text.shape[1]):
        refuse = "this network has layers that count its classes", "choose another method or head: `method=bridge`"
    elif changes and not single:
        refuse = (
            "names cannot be left out or added where labels stand for several names or a network of before teaches",
            "leave out `vocabulary.drop_names` and `vocabulary.distractors`, or the coarse labels",
        )
    elif asked.drop_names and config.loss.label_smoothing:
        refuse = "label smoothing gives every name a share, also those left out", "`loss.label_smoothing=0`"
    elif asked.phrases == "random" and config.prompt == "learned":
        refuse = "learned prompts have one vector for each name", "`prompt=fixed`"
    if refuse is not None or text is None:
        message, fix = refuse or ("", "")
        raise ConfigError(message, where="vocabulary", fix=fix)
    wordings = None
    if asked.phrases == "random":
        wordings = each_wording(classes, config.text_encoder, config.templates)
    others = distractors(config, classes, text.detach().cpu()) if asked.distractors else None
    return StepNames(asked, wordings, others)


def each_wording(classes: ClassSet, encoder: str, templates: str | tuple[str, ...]) -> list[Tensor]:
    """Return for each class the vectors (A, D) of each of its phrases in each template.

    Errors are those of `bridgeseg.text.embed`.
    """
    phrases = list(dict.fromkeys(phrase for own in classes.prompts for phrase in own))
    chosen = resolve_templates(templates) if open_encoder(encoder).uses_templates else ("{}",)
    alone = ClassSet.build(phrases)
    found = torch.stack([embed(alone, encoder, templates=(template,)).vectors for template in chosen], dim=1)
    return [found[[phrases.index(phrase) for phrase in own]].flatten(0, 1) for own in classes.prompts]


def distractors(config: TrainConfig, classes: ClassSet, text: Tensor) -> Tensor:
    """Return the vectors of names of the bank that are none of the data, nor close to one.

    Raises:
        ConfigError: the text encoder has no bank, or too few such names.
    """
    found, asked = named_bank(config.text_encoder, config.templates), config.vocabulary
    if found is None or found.vectors.shape[1] != text.shape[1]:
        raise ConfigError(
            f"the text encoder {config.text_encoder!r} has no bank to take other names from",
            where="vocabulary.distractors",
            fix="give a file of at least 100 names as `text_encoder`, or leave distractors out",
        )
    bank = torch.from_numpy(found.vectors)
    phrases = [*classes.names, *(phrase for own in classes.prompts for phrase in own), *asked.never]
    excluded = {row for row in find_rows(phrases, found.names) if row is not None}
    mean = bank.mean(dim=0)
    apart = F.normalize(bank - mean, dim=1)
    close = (apart @ F.normalize(text - mean, dim=1).T).amax(dim=1) > CLOSE
    kept = [row for row in range(len(bank)) if row not in excluded and not close[row]]
    if len(kept) < asked.distractors:
        raise ConfigError(
            f"the bank has {len(kept)} names that are not close to one of the data, found {asked.distractors}",
            where="vocabulary.distractors",
            fix=f"`vocabulary.distractors={len(kept)}`",
        )
    return bank[kept]


def _spread(maps: Tensor, kept: Tensor, count: int) -> Tensor:
    """(B, kept + n, h, w) -> (B, count + n, h, w), `NEVER` at the names that are not kept."""
    batch, found, *size = maps.shape
    spread = maps.new_full((batch, count + found - len(kept), *size), NEVER)
    spread[:, kept] = maps[:, : len(kept)]
    spread[:, count:] = maps[:, len(kept) :]
    return spread
