"""What do learned prompts cost? Seconds and memory of a training step with fixed and with learned prompts.

With learned prompts the text encoder runs forwards and backwards at every step. Weights are random: they do not change
the cost. Run it from a checkout with the train extra installed:

    python benchmarks/learned_prompts.py --classes 11
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import open_clip
import torch
from torch.nn import functional as F

from bridgeseg.hardware import describe
from bridgeseg.measuring.machine import quartiles
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import STRIDE, to_size
from bridgeseg.settings.model import ModelConfig
from bridgeseg.text.encoders.open_clip import TextTower
from bridgeseg.text.learned import LearnedPrompts


def child(kind: str, options: argparse.Namespace) -> None:
    """Train some steps and print the median step in seconds and the peak memory in MB."""
    torch.manual_seed(0)
    names = [f"class {index}" for index in range(options.classes)]
    model = open_clip.create_model(options.text, pretrained=None)
    del model.visual
    model.requires_grad_(False).eval()
    tokenizer = open_clip.get_tokenizer(options.text)
    prompts = LearnedPrompts(TextTower(model, tokenizer, int(tokenizer.context_length)), names)
    vectors = prompts.frozen(normalize=True)
    if kind == "fixed":
        del prompts, model
    network = build(ModelConfig(backbone=options.backbone), options.classes, vectors).train()
    network = network.to(memory_format=torch.channels_last)
    height, width = (int(part) for part in options.crop.split("x"))
    images = torch.randn(options.batch_size, 3, height, width).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(0, options.classes, (options.batch_size, height, width))
    seconds = []
    for _ in range(options.steps + 2):
        start = time.perf_counter()
        text = prompts(normalize=True) if kind == "learned" else None
        F.cross_entropy(to_size(network(images, text).logits, STRIDE, images), masks).backward()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(quartiles(seconds[2:])["median"], peak)


def main() -> None:
    """Measure both kinds, each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="ViT-B-16", help="an open_clip model")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", default="192x256", metavar="HxW")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--child", choices=["fixed", "learned"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options)
        return
    print(f"{'prompts':10}{'seconds a step':>16}{'peak memory, MB':>18}")
    for kind in ("fixed", "learned"):
        words = [sys.executable, *sys.argv, "--child", kind]
        found = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        print(f"{kind:10}{float(found[-2]):16.2f}{float(found[-1]):18.0f}")
    print(f"{options.text} text encoder, {options.classes} classes, machine: {describe('torch', 'open_clip_torch')}")


if __name__ == "__main__":
    main()
