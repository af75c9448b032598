"""Stage `identity`, and the grouping of clips by person: clips of one face are one person's, also when they
come from different videos.

Letters: n clips, f frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...faces.crop import Crop
from ...media.video import read_frames
from .cut import CLIP
from .entries import Entry
from .features import FEATURES
from .settings import IdentityConfig
from .stages import Values, Work

if TYPE_CHECKING:
    from torch import nn

IDENTITY = "identity.npy"
SIDE = 112  # pixels of what the network sees
LOOKS = 8  # frames of a clip that are looked at
BLOCK = 1024  # clips that are compared with all at once


def measure_identity(work: Work, config: IdentityConfig) -> Values:
    """Write identity.npy, (512,) float32: the unit mean of ArcFace's vectors of LOOKS frames."""
    from ...signals.resnet import identity_vectors

    render = work.before["render"]
    total = render.values["frames"]
    wanted = {total * k // LOOKS for k in range(LOOKS)}
    with np.load(work.before["features"].file(FEATURES)) as features:
        square = Crop(*features["crop"].tolist())
    heads = [
        square.apply(frame, SIDE) for k, frame in enumerate(read_frames(render.file(CLIP))) if k in wanted
    ]
    mean = identity_vectors(_arcface(config.model), np.stack(heads)).mean(0).numpy()
    np.save(work.folder / IDENTITY, (mean / max(float(np.linalg.norm(mean)), 1e-6)).astype(np.float32))
    return {"looked": len(heads)}


@lru_cache(maxsize=1)
def _arcface(model: str) -> nn.Module:
    from ...signals.resnet import load_identity

    return load_identity(Path(model))


def grouped(clips: Sequence[tuple[Entry, Path]], similarity: float) -> list[Entry]:
    """The entries with `person` set by their faces: to the name of the first clip with the same face.

    clips: each entry with the folder of its results, which has that of stage `identity`.
    similarity: as for `groups_of`.
    """
    if not clips:
        return []
    vectors = np.stack([np.load(folder / "identity" / IDENTITY) for _, folder in clips])
    groups = groups_of(vectors, similarity)
    first: dict[int, str] = {}
    for group, (entry, _) in zip(groups, clips, strict=True):
        first[group] = min(first.get(group, entry.clip), entry.clip)
    return [
        replace(entry, person=first[group], person_by="face")
        for group, (entry, _) in zip(groups, clips, strict=True)
    ]


def groups_of(vectors: np.ndarray, similarity: float) -> list[int]:
    """The number of the group of each of (n, 512) unit vectors.

    Two vectors share a group when a chain of pairs, each with a cosine of `similarity` or more, joins them.
    So vectors of different groups are less alike than that, in whatever order they come.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count, rows, columns = len(vectors), [], []
    for start in range(0, count, BLOCK):
        near = np.nonzero(vectors[start : start + BLOCK] @ vectors.T >= similarity)
        rows.append(near[0] + start)
        columns.append(near[1])
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(count, count))
    return connected_components(graph, directed=False)[1].tolist()
