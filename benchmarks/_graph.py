"""ONNX Runtime's own profile of a file: what it makes of the graph, and how long every node takes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

BACKBONE = "segmentor.backbone."
"""What the names of a backbone's weights begin with, in files of `bridgeseg export`."""
POINTWISE = frozenset({"Add", "QLinearAdd", "Clip", "Relu", "Mul", "QLinearMul", "HardSwish", "Sigmoid", "QuickGelu"})
"""What may end a backbone without weights of its own."""


@dataclass(frozen=True)
class Timed:
    """A node that ran: its name, its operator, and its milliseconds in the fastest run, which no neighbour slowed."""

    name: str
    operator: str
    ms: float


@dataclass(frozen=True)
class Profile:
    """What was found about a file.

    Attributes:
        before: operator -> nodes in the file.
        nodes: what ran after ONNX Runtime's optimisation of the graph.
        run_ms: a whole run with the profiler on, the fastest; what the nodes leave of it is the profiler and the
            way from node to node.
        backbone: names of the nodes up to the end of the backbone, None if the file does not tell.
    """

    before: Counter[str]
    nodes: list[Timed]
    run_ms: float
    backbone: frozenset[str] | None


def profile(path: Path, image: np.ndarray, threads: int, runs: int, folder: Path, warmup: int = 3) -> Profile:
    """Run a file with ONNX Runtime's profiler and the session options of `bridgeseg predict`.

    Args:
        path: a file of `bridgeseg export`, or one with the same input and output.
        image: uint8 (1, H, W, 3).
        threads: of ONNX Runtime.
        runs: of which the fastest counts, for each node.
        folder: for the profiler's files.
        warmup: runs before them.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.set_default_logger_severity(4)  # it warns that an optimised file belongs to this kind of processor
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for _ in range(warmup + runs):
        session.run(["classes"], {"image": image})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    whole = [event["dur"] / 1e3 for event in events if event["name"] == "model_run"][warmup:]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (event["name"].removesuffix("_kernel_time"), event["args"]["node_index"], event["args"]["op_name"])
            durations[key].append(event["dur"] / 1e3)
    nodes = [Timed(name, operator, min(times[warmup:])) for (name, _, operator), times in durations.items()]
    written = onnx.load(path)
    backbone = backbone_nodes(written, onnx.load(folder / "optimised.onnx"))
    return Profile(Counter(node.op_type for node in written.graph.node), nodes, min(whole), backbone)


def backbone_nodes(written: onnx.ModelProto, optimised: onnx.ModelProto) -> frozenset[str] | None:
    """Return the names of the optimised nodes that the backbone's last levels need; None if no weight has its name.

    A node that reads weights of the backbone belongs to it, and so does all that such a node needs: normalisation and
    padding of the image too. ONNX Runtime renames weights that it brings into another order, but names such a
    convolution after its output, or after the activation that it has taken in.
    """
    named = {
        output
        for node in written.graph.node
        if any(name.startswith(BACKBONE) for name in node.input)
        for output in (*node.output, *_directly_after(written, set(node.output)))
    }
    nodes = list(optimised.graph.node)
    made_by = {output: index for index, node in enumerate(nodes) for output in node.output}
    found = {
        index
        for index, node in enumerate(nodes)
        if any(name.startswith(BACKBONE) for name in node.input) or node.name.removesuffix("_nchwc") in named
    }
    if not found:
        return None
    waiting = list(found)
    while waiting:
        needed = {made_by[name] for name in nodes[waiting.pop()].input if name in made_by} - found
        found |= needed
        waiting += needed
    for index, node in enumerate(nodes):  # in the order of execution
        inputs = {made_by[name] for name in node.input if name in made_by}
        if node.op_type in POINTWISE and inputs and inputs <= found:
            found.add(index)
    return frozenset(nodes[index].name for index in found)


def _directly_after(model: onnx.ModelProto, tensors: set[str]) -> list[str]:
    """Return the outputs of pointwise nodes that read these tensors."""
    readers = (node for node in model.graph.node if node.op_type in POINTWISE and tensors & set(node.input))
    return [output for node in readers for output in node.output]
