"""References to weights outside a model folder: files elsewhere, each with its hash.

They save copies of large encoders and codecs that many models share (T5, CLIP, SVD's autoencoder).
`references.json` of a part's folder is a list of such files:

    {"source": "/svd/vae", "file": "diffusion_pytorch_model.safetensors", "hash": "sha256:...", "at": ""}

source: a folder, absolute or relative to the model folder, or a hub id.
at: place of the file's weights in the part, such as `text.t5`; empty: the file's names are the part's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

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
    """Read the weights of the files that a part's folder refers to, under their names in the part.

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
    """The entries of `references.json`. Raises: InputError where it is no list of them."""
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
) -> tuple[dict[str, Tensor], list[dict[str, str]]]:
    """Split a part's weights: those that stay in the folder, and entries of `references.json` for the others.

    Args:
        weights: all weights of the part.
        source: a file of weights, or a folder of them in the layout of diffusers or transformers.
        at: place of its weights in the part, such as `text.t5`; empty: its names are the part's.
        folder: the model folder; a relative source is written relative to it.
    Raises: InputError where the source's weights are not the part's: a reference changes no model.
    """
    root = Path(source)
    paths = find_weights(root, STEMS) if root.is_dir() else [root]
    remaining, start = dict(weights), f"{at}." if at else ""
    entries: list[dict[str, str]] = []
    for path in paths:
        for name, value in read_tensors(path).items():
            weight = remaining.pop(start + name, None)
            if (
                weight is None
                or weight.shape != value.shape
                or not torch.equal(value.to(weight.dtype), weight)
            ):
                what = "is not in the model" if weight is None else "has other values in the model"
                raise InputError(f"{path}: {name} {what}; the part cannot refer to this file, leave it out")
        place = path.parent if Path(source).is_absolute() else os.path.relpath(path.parent, folder)
        entries.append({"source": str(place), "file": path.name, "hash": file_hash(path), "at": at})
    return remaining, entries


def write_references(entries: list[dict[str, str]], folder: Path) -> None:
    """Write a part's `references.json`."""
    (folder / REFERENCES).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
