"""Phoneme durations from ONNX models that compute them but do not return them.

The models are opened with the internal tensor of durations as an additional output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....extras import need
from ..symbols import Raw


def session(path: str | Path, node: str) -> Any:
    """Open an ONNX model in one thread; the last output of the session is the value `node` of the graph."""
    onnx, runtime = need("speech", "onnx"), need("speech", "onnxruntime")
    model = onnx.load(str(path))
    if not any(output.name == node for output in model.graph.output):
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def spread(letters: Sequence[str], durations: np.ndarray, seconds: float) -> list[Raw]:
    """Return (start, end, letter) of consecutive letters; times are scaled so that all fill `seconds`.

    durations: (n,) relative lengths of the letters.
    """
    lengths = np.asarray(durations, np.float64).ravel()
    edges = np.concatenate([[0.0], np.cumsum(lengths)]) * seconds / lengths.sum()
    return [(float(a), float(b), c) for a, b, c in zip(edges[:-1], edges[1:], letters, strict=True)]
