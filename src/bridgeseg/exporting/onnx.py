"""Checkpoint -> one ONNX file: raw pixels in, class ids out, everything a device needs in its metadata."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor

from bridgeseg import __version__
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.modelfile import Exported, check_name, finished
from bridgeseg.exporting.opset import OPSET
from bridgeseg.exporting.pixels import fold_scale
from bridgeseg.exporting.spelling import respell
from bridgeseg.exporting.tail import borders_only
from bridgeseg.exporting.verify import verify
from bridgeseg.files import replacing
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.quiet import quiet
from bridgeseg.renaming import renamed, vocabulary
from bridgeseg.runtime.open_file import INPUT, KEY, describe
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.vocabulary.asked import Names
from bridgeseg.vocabulary.lookup import Vocabulary

AXES = {
    "image": {0: "batch", 1: "height", 2: "width"},
    "classes": {0: "batch", 1: "height", 2: "width"},
    "logits": {0: "batch", 2: "height", 3: "width"},
    INPUT: {0: "names"},
}
"""Input or output -> its free axes."""


def export_folder(
    model: str | Path,
    out: str | Path,
    *,
    logits: bool = False,
    approximate: bool = False,
    takes_names: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
) -> Exported:
    """Export a checkpoint or run folder as an ordinary file, or one that takes any names; see `bridgeseg.export`."""
    check_name(Path(out))
    checkpoint = load_checkpoint(model)
    known = vocabulary(checkpoint) if takes_names else None
    if names is not None or embeddings is not None:
        checkpoint = renamed(checkpoint, names, embeddings)
    own = checkpoint.segmentor.class_embeddings
    if known is not None and own is not None:
        known = known._replace(classes=checkpoint.classes, vectors=own.numpy(), encoder=known.space or known.encoder)
    facts = checkpoint.provenance
    return export_segmentor(
        checkpoint.segmentor, checkpoint.classes, facts, out, logits=logits, approximate=approximate, known=known
    )


def export_segmentor(
    segmentor: Segmentor,
    classes: ClassSet,
    provenance: dict[str, Any],
    out: str | Path,
    *,
    logits: bool = False,
    approximate: bool = False,
    known: Vocabulary | None = None,
) -> Exported:
    """Export a network, which is folded on the way: no text encoder, no text projection.

    Args:
        segmentor: moved to the CPU, put into evaluation mode and folded, in place.
        classes: its classes.
        provenance: JSON-ready facts for the metadata.
        out, logits, approximate: as in `bridgeseg.export`, which also says what is raised.
        known: lets the file take any names; what it says of its own. It is not folded then.
    """
    out = Path(out)
    check_name(out)
    network = DeployNetwork(segmentor.cpu(), with_logits=logits, approximate=approximate, takes_names=known is not None)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    graph = to_graph(network)
    facts = {"parameters": parameters, "bridgeseg": __version__} | ({"approximate": True} if approximate else {})
    _describe(graph, classes, {**provenance, **facts}, {} if known is None else {KEY: describe(known)})
    with replacing(out, fix="free some space, or choose another `out`") as part:
        part.write_bytes(finished(graph))
        agreement = verify(part, network, out)
    return Exported(out, out.stat().st_size, agreement)


def to_graph(
    network: DeployNetwork, tail: Callable[[onnx.ModelProto], onnx.ModelProto] = borders_only
) -> onnx.ModelProto:
    """Trace a network into an ONNX graph with free batch, height and width.

    Args:
        network: takes and gives what `DeployNetwork` does.
        tail: rewrites upsampling and argmax at the end of the graph.

    Raises:
        ModelFileError: PyTorch's exporter cannot translate the backbone.
    """
    if any(type(module).__name__ == "WindowAttention" for module in network.modules()):
        # Windows that do not divide a free height and width keep the exporter's algebra busy for hours.
        name = network.segmentor.backbone.name
        raise ModelFileError(
            f"{name!r} attends in windows, which PyTorch cannot export with free height and width",
            fix="train with another backbone, or run the checkpoint folder in PyTorch: predict --model FOLDER",
        )
    free = torch.export.Dim.DYNAMIC
    inputs: dict[str, Tensor] = {"image": torch.zeros(2, 96, 160, 3, dtype=torch.uint8)}
    axes = [{0: free, 1: free, 2: free}]
    own = network.segmentor.class_embeddings if network.takes_names else None
    if own is not None:
        inputs[INPUT] = own.repeat(2, 1)  # of at least two names, as one would be taken for a fixed number
        axes.append({0: free})
    names = ["classes", "logits"] if network.with_logits else ["classes"]
    try:
        with torch.no_grad(), quiet("torch.onnx", "onnxscript", "onnx_ir"), _silence():
            program = torch.onnx.export(
                network, tuple(inputs.values()), dynamo=True, verbose=False, opset_version=OPSET,
                input_names=list(inputs), output_names=names, dynamic_shapes=tuple(axes),
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter's own text is advice to its developers
            cause = cause.__cause__
        raise ModelFileError(
            f"PyTorch cannot export this network to ONNX ({' '.join(str(cause).split())[:300]})",
            fix="train with another backbone: not every timm model can be traced with free height and width",
        ) from error
    graph: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]
    return tail(_tidy(graph, network.takes_names))


def _tidy(graph: onnx.ModelProto, takes_names: bool) -> onnx.ModelProto:
    """Name the free axes and drop the exporter's notes on where every node came from: half of a small file."""
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    del graph.graph.value_info[:]
    for value in (*graph.graph.input, *graph.graph.output):
        dims = value.type.tensor_type.shape.dim
        for place, name in AXES[value.name].items():
            dims[place].dim_param = name
        if value.name == "logits" and takes_names:
            dims[1].dim_param = "names"
    if graph.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT32:
        _cast_output(graph)
    fold_scale(graph)
    respell(graph)
    return graph


def _cast_output(graph: onnx.ModelProto) -> None:
    """Make class ids uint16, a type that PyTorch's exporter does not write."""
    for node in graph.graph.node:
        for index, name in enumerate(node.output):
            if name == "classes":
                node.output[index] = "classes_int32"
    graph.graph.node.append(helper.make_node("Cast", ["classes_int32"], ["classes"], to=onnx.TensorProto.UINT16))
    graph.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT16


def _describe(graph: onnx.ModelProto, classes: ClassSet, provenance: dict[str, Any], more: dict[str, str]) -> None:
    facts = {key: value for key, value in provenance.items() if value is not None}
    helper.set_model_props(
        graph,
        {
            "bridgeseg.format": "1",
            "bridgeseg.classes": json.dumps(classes.to_dict()),
            "bridgeseg.provenance": json.dumps(facts),
            **more,
        },
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter prints and warns of off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
