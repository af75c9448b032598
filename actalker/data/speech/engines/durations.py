"""ONNX models that compute durations of phonemes but do not return them: opened with them as an output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....extras import need
from ..symbols import Raw


def session(path: str | Path, node: str) -> Any:
    """An onnxruntime session of one thread, whose last output is the value `node` of the graph."""
    onnx, runtime = need("speech", "onnx"), need("speech", "onnxruntime")
    model = onnx.load(str(path))
    if not any(output.name == node for output in model.graph.output):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def spread(letters: Sequence[str], durations: np.ndarray, seconds: float) -> list[Raw]:
    """Letters with their times in a sound of `seconds`, one after the other, by their durations (n,)."""
    lengths = np.asarray(durations, np.float64).ravel()
    edges = np.concatenate([[0.0], np.cumsum(lengths)]) * seconds / lengths.sum()
    return [(float(a), float(b), c) for a, b, c in zip(edges[:-1], edges[1:], letters, strict=True)]
