"""Scripts in `benchmarks/` lean on parts of the package that nothing else uses as they do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_a_network_of_another_library_is_exported_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx, torch = pytest.importorskip("onnx"), pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _wrap import FromPixels, to_ids
    from bridgeseg.exporting.onnx import to_graph
    from bridgeseg.runtime.onnx_runtime import OnnxRuntime

    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 4, 4, stride=4)
    network = FromPixels(convolution, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), partial(to_ids, stride=4)).eval()
    onnx.save(to_graph(network), tmp_path / "peer.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert np.mean(OnnxRuntime(tmp_path / "peer.onnx").classes(image) == expected) > 0.99
