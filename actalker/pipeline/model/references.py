"""Weights that a model folder does not hold but refers to: files elsewhere, each with its hash.

So that an encoder or a codec of others (T5, CLIP, SVD's autoencoder), gigabytes that many models share, is
not copied into every one. `references.json` of a part's folder is a list of such files:

    {"source": "/svd/vae", "file": "diffusion_pytorch_model.safetensors", "hash": "sha256:...", "at": ""}

source: a folder, absolute or from the model folder on, or a hub id. at: the place in the part that the file's
weights take, such as `text.t5`; empty: they are the part's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...provenance import file_hash
from ...weights import find_weights, read_tensors
from .find import find_model

REFERENCES = "references.json"
KEYS = {"source", "file", "hash", "at"}
STEMS = ("diffusion_pytorch_model", "model")  # diffusers', transformers'


def read_references(folder: Path) -> dict[str, Tensor]:
    """The weights of the files that a part's folder refers to, under their names in the part.

    Raises: InputError that names the file that is missing, has changed or cannot be read.
    """
    weights: dict[str, Tensor] = {}
    for entry in _entries(folder / REFERENCES):
        path = _source(entry["source"], folder.parent) / entry["file"]
        if not path.is_file():
            raise InputError(
                f"{path}: missing; {folder / REFERENCES} refers to it, put it there or correct its source"
            )
        if file_hash(path) != entry["hash"]:
            raise InputError(
                f"{path}: is not the file that {folder / REFERENCES} refers to (hash differs); put that there"
            )
        start = f"{entry['at']}." if entry["at"] else ""
        weights |= {start + name: value for name, value in read_tensors(path).items()}
    return weights


def _entries(path: Path) -> list[dict[str, str]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch the model again") from None
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and e.keys() == KEYS and all(isinstance(v, str) for v in e.values())
        for e in entries
    ):
        raise InputError(f"{path}: is no list of {', '.join(sorted(KEYS))}; fetch the model again")
    return entries


def _source(source: str, model: Path) -> Path:
    """The folder that a reference names."""
    near = model / source  # an absolute path stays as it is
    return (
        near if near.is_dir() or Path(source).is_absolute() or source.startswith(".") else find_model(source)
    )


def refer(
    weights: Mapping[str, Tensor], source: str | Path, at: str, folder: Path
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """What remains of a part's weights where some lie in `source`, and the entries of `references.json`.

    Args:
        source: a file of weights, or a folder of them as diffusers or transformers lay one out.
        at: the place in the part of what it holds; empty: at the part's own names.
        folder: the model folder; a source that is not absolute is written as seen from there.
    Raises: InputError where the file's weights are not those of the part: a reference changes no model.
    """
    root = Path(source)
    paths = find_weights(root, STEMS) if root.is_dir() else [root]
    left, entries, start = dict(weights), [], f"{at}." if at else ""
    for path in paths:
        for name, value in read_tensors(path).items():
            own = left.pop(start + name, None)
            if own is None or own.shape != value.shape or not torch.equal(value.to(own.dtype), own):
                what = "is not in the model" if own is None else "has other values in the model"
                raise InputError(f"{path}: {name} {what}; the part cannot refer to this file, leave it out")
        place = path.parent if Path(source).is_absolute() else os.path.relpath(path.parent, folder)
        entries.append({"source": str(place), "file": path.name, "hash": file_hash(path), "at": at})
    return left, entries


def write_references(entries: list[dict[str, Any]], folder: Path) -> None:
    """Write a part's `references.json`."""
    (folder / REFERENCES).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
