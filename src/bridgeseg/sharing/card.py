"""The model card of a repository: what a model is, how it is used, what it scored, whose data and licence it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from bridgeseg import card
from bridgeseg.description import WEIGHTS
from bridgeseg.hub.download import ONNX
from bridgeseg.hub.repository import Repository, is_hub
from bridgeseg.sharing.contents import Contents

TASK = "image-segmentation"
METRICS = {"miou": ("mean_iou", "mIoU"), "macc": ("mean_accuracy", "mean accuracy"), "aacc": ("accuracy", "accuracy")}
USE = """## Use

```python
import bridgeseg  # pip install 'bridgeseg[{extras}]'

result = bridgeseg.load("{name}").predict("photo.jpg")
result.overlay().save("segmented.jpg")
```

Or `bridgeseg predict photo.jpg --model {name}`.{more}
"""


def model_card(repository: Repository, found: Contents, licence: str | None) -> str:
    """Return the README.md of a repository: YAML that the hub reads, then Markdown.

    Args:
        repository: where it will be.
        found: the model.
        licence: as the hub spells it; None if nobody said.
    """
    told, name = found.provenance, repository.id.partition("/")[2]
    sentence = f"Semantic segmentation: {len(found.classes)} classes, a class for every pixel."
    folder = "" if WEIGHTS not in found.files else f" `bridgeseg train --init {repository}` goes on from it."
    extras = "hub" if ONNX in found.files else "train"
    pictures = [f"![{text}]({file})\n" for file, text in found.pictures.items()]
    licensed = "as stated above; " if licence else "not stated; ask the owner of this repository. "
    parts = [
        f"---\n{_metadata(name, told, licence)}\n---\n",
        f"# {name}\n",
        f"{sentence}\n",
        USE.format(extras=extras, name=repository, more=folder),
        *(["## Scores\n", card.scores(told)] if card.scores(told) else []),
        "## Classes\n",
        card.classes(found.classes, told),
        *pictures,
        "## Where it comes from\n",
        card.facts(told),
        f"Licence: {licensed}the data that it was trained on may have terms of its own.\n",
    ]
    return "\n".join(parts)


def _metadata(name: str, told: Mapping[str, Any], licence: str | None) -> str:
    """Return what the hub reads of a card, as YAML."""
    scores = told.get("scores") or {}
    data = told.get("data")
    files = [str(one.get("file")) for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type="bridgeseg",
            dataset_name=", ".join(files) or "unknown",
            dataset_split=scores.get("split"),
            metric_type=kind,
            metric_name=text,
            metric_value=scores[key],
        )
        for key, (kind, text) in METRICS.items()
        if isinstance(scores.get(key), float)
    ]
    config = told.get("config")
    base = config.get("init") if isinstance(config, Mapping) else None
    known = ModelCardData(
        license=licence,
        library_name="bridgeseg",
        pipeline_tag=TASK,
        tags=["semantic-segmentation", "onnx"],
        base_model=Repository.of(base).id if isinstance(base, str) and is_hub(base) else None,
        model_name=name,
        eval_results=results or None,
    )
    text: str = known.to_yaml()
    return text.rstrip()
