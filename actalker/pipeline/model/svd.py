"""Weights of Stable Video Diffusion, from its folder in diffusers' layout, to begin a training with."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ...weights import find_weights, read_safetensors
from .parts import DIFFUSERS

PLACES = {"unet": "network.", "vae": "codec."}


def is_svd(folder: str | Path) -> bool:
    """Whether a folder has the layout of SVD's."""
    return all((Path(folder) / part / "config.json").is_file() for part in PLACES)


def read_svd(folder: str | Path) -> dict[str, Tensor]:
    """Read the weights of SVD's UNet and autoencoder, under the names of `TalkingHeadModel`, in float32.

    Half-precision files (`*.fp16.safetensors`) are read where there are no others.
    Raises: InputError for files that are missing or not safetensors.
    """
    weights: dict[str, Tensor] = {}
    for part, place in PLACES.items():
        for path in find_weights(Path(folder) / part, [DIFFUSERS]):
            tensors = read_safetensors(path, "fetch SVD again")
            weights.update({place + name: value.float() for name, value in tensors.items()})
    return weights
