"""What a training on several datasets, or on partial labels, is about: told before it starts, and put into its log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from torch import Tensor

from bridgeseg.data.finding import some
from bridgeseg.data.joining import Joined
from bridgeseg.data.likeness import alike, propose
from bridgeseg.report.tables import Table
from bridgeseg.training.progress import log, say

MOST = 12
"""Names or pairs that are listed of each kind."""


def tell(joined: Joined, class_embeddings: Tensor | None, out: Path, *, quiet: bool = False) -> None:
    """Print to standard error what is trained together, unless `quiet`, and write it into the run folder's log.

    What coarse names lose is a warning, and printed in any case.

    Args:
        joined: the datasets.
        class_embeddings: (K, D) of the vocabulary; without them no names are compared.
        out: the run folder.
        quiet: only write.
    """
    table, notes = overview(joined), remarks(joined, class_embeddings)
    log(out, "; ".join(f"{row[0]}: {row[1]}" for row in table.rows))
    if not quiet:
        Console(stderr=True, highlight=False).print(table.rich())
    for note in notes:
        say(out, note, quiet=quiet)
    for text in joined.relations.narrowed:
        say(out, f"warning: {text}")


def tell_carried(init: str, lines: Sequence[str], out: Path, *, quiet: bool = False) -> None:
    """Print what was carried over from other weights, unless `quiet`, and write it into the run folder's log."""
    say(out, f"from {init}: {'; '.join(lines)}", quiet=quiet)


def overview(joined: Joined) -> Table:
    """Return a table with a line for each dataset: what it labels, and what it shares with others."""
    shared, rows = joined.shared(), []
    for member in joined.members:
        labels, spec = member.labels, member.spec
        own = [name for name, owners in shared.items() if member.name in owners]
        rest = {True: f"rest: {spec.unlabelled}", False: "all"}[spec.partial]
        sets = f", {len(labels.sets)} sets" if len(labels.sets) > 1 else ""
        told = some(list(labels.own), MOST)
        rows.append([member.name, f"{len(labels.own)} names: {told}", f"{rest}{sets}", some(own, MOST) if own else ""])
    title = f"{len(joined.classes)} names of {len(joined.members)} dataset{'s' if joined.several else ''}"
    return Table(["dataset", "labels", "labelled", "shared names"], rows, title, names=4, folded=(1, 3))


def remarks(joined: Joined, class_embeddings: Tensor | None = None) -> list[str]:
    """Return what is to be said besides: names merged, left out or alike."""
    relations = joined.relations
    notes = []
    if kept := joined.kept:
        notes.append(f"{len(kept)} names of the network that this run goes on from are kept: {some(kept, MOST)}")
    if joined.added:
        compete = any(member.spec.partial for member in joined.members)
        part = "they compete for pixels without a label" if compete else "no pixel teaches them"
        notes.append(f"{some(list(joined.added), MOST)}: in no dataset's labels, so {part}")
    merged = [f"{name} is {one}" for name, one in relations.kept.items() if name != one]
    notes += [f"one name each, by `same`: {some(merged, MOST)}"] if merged else []
    notes += [f"{whole} means one of {', '.join(parts)}, and is no class" for whole, parts in relations.parts.items()]
    for name, left in joined.left_out().items():
        notes.append(f"{name}: {some(left, MOST)}: labelled nowhere, so no class of this run")
    notes += [f"passed over: {text}" for text in relations.passed_over]
    if class_embeddings is not None:
        pairs = alike(joined, class_embeddings.detach().float().cpu().numpy())
        if pairs:
            notes.append(f"alike by their class embeddings, and not merged: {some(list(map(str, pairs)), MOST)}")
        if lines := propose(pairs, joined):
            notes.append(f"if they are one, or parts, write in a data.yaml what is true of: {'; '.join(lines)}")
    return notes
