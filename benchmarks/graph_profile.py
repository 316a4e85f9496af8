"""Where does the time go inside the graph? ONNX Runtime's profile by operator, and after the backbone.

    python benchmarks/graph_profile.py
    python benchmarks/graph_profile.py --file street-int8.onnx --threads 1 --size 1024x512 --json profile.json

Profiles the files named; or the bundled models and, where the train extra is installed, the bridge on
efficientnet_lite0 with random weights. Needs the package `onnx`: pip install '.[int8]'.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from _graph import Profile, profile
from _machine import describe, run, show, write_json
from _video import photo
from bridgeseg.commands.arguments import size
from bridgeseg.runtime.model import BUNDLED

WORK = frozenset(
    {"Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm"}
    | {"QLinearMatMul", "QGemm", "MatMulInteger"}
)
"""Convolutions and matrix products; an activation or addition that is fused into one counts as part of it."""
SHOWN = 0.005
"""Operators with a smaller share of the time are put together."""
NETWORK = ("bridge", "efficientnet_lite0", "wide")


def build(folder: Path, classes: int) -> Path:
    """Export the bridge on efficientnet_lite0 with random weights."""
    import onnx
    import torch

    from _networks import own
    from bridgeseg.exporting.onnx import to_graph

    torch.manual_seed(0)
    path = folder / f"{NETWORK[1]}, {NETWORK[0]}, {NETWORK[2]}.onnx"
    onnx.save(to_graph(own(*NETWORK, classes)), path)
    return path


def report(name: str, found: Profile) -> dict[str, Any]:
    """Return the times by operator and the shares of a profile, ready for JSON."""
    total = sum(node.ms for node in found.nodes)
    ran = Counter(node.operator for node in found.nodes)
    times: Counter[str] = Counter()
    for node in found.nodes:
        times[node.operator] += node.ms
    after = None
    if found.backbone is not None:
        after = sum(node.ms for node in found.nodes if node.name not in found.backbone) / total
    operators = [
        {"operator": operator, "before": found.before[operator], "after": ran[operator], "ms": ms, "share": ms / total}
        for operator, ms in times.most_common()
    ]
    return {
        "name": name,
        "nodes_before": sum(found.before.values()),
        "nodes_after": len(found.nodes),
        "ms": total,
        "run_ms": found.run_ms,
        "work_share": sum(times[operator] for operator in WORK) / total,
        "after_backbone": after,
        "operators": operators,
        "fewer": {name: [count, ran[name]] for name, count in found.before.most_common() if ran[name] < count},
    }


def print_table(row: dict[str, Any], settings: str, machine: dict[str, Any] | None) -> None:
    """Print one file's operators, the largest first, and the shares."""
    large = [item for item in row["operators"] if item["share"] >= SHOWN]
    small = [item for item in row["operators"] if item["share"] < SHOWN]
    others = {key: sum(item[key] for item in small) for key in ("before", "after", "ms", "share")}
    items = [*large, {"operator": f"{len(small)} others", **others}] if small else large
    total = {"operator": "all", "before": row["nodes_before"], "after": row["nodes_after"], "ms": row["ms"], "share": 1}
    shown = [
        [item["operator"], str(item["before"]), str(item["after"]), f"{item['ms']:.2f}", f"{item['share']:.1%}"]
        for item in (*items, total)
    ]
    notes = [f"convolutions and matrix products: {row['work_share']:.1%} of the time"]
    if row["after_backbone"] is not None:
        notes.append(f"after the backbone: {row['after_backbone']:.1%} of the time")
    fewer = ", ".join(f"{operator} {before} -> {after}" for operator, (before, after) in row["fewer"].items())
    notes.append(f"fused or folded by ONNX Runtime: {fewer or 'nothing'}")
    columns = ["operator", "nodes in the file", "nodes that run", "ms", "share"]
    show(f"{row['name']}, {settings}", machine, columns, shown, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, action="append", help="an exported file to profile instead")
    parser.add_argument("--size", default="512x512", help="HEIGHTxWIDTH (default: 512x512)")
    parser.add_argument("--classes", type=int, default=11, help="of the network with random weights (default: 11)")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default: 2)")
    parser.add_argument("--runs", type=int, default=40, help="of which each node's fastest counts (default: 40)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    sides = size(options.size, "--size")
    machine = describe("onnxruntime", "onnx", "torch", "timm")
    image = photo(sides)[None]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = options.file or sorted(BUNDLED.parent.glob("*.onnx"))
        if not options.file and importlib.util.find_spec("timm") is not None:
            files.append(build(folder, options.classes))
        for path in files:
            found = profile(path, image, options.threads, options.runs, folder)
            rows.append(report(path.stem, found))
    settings = f"{sides[0]}x{sides[1]}, {options.threads} threads, each node's fastest of {options.runs} runs"
    for row in rows:
        print_table(row, settings, machine if row is rows[-1] else None)
    facts = {"size": list(sides), "threads": options.threads, "runs": options.runs}
    write_json(options.json, benchmark="graph_profile", machine=machine, settings=facts, rows=rows)


if __name__ == "__main__":
    run(main)
