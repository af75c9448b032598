"""Stable Video Diffusion's folder, as diffusers lays it out, as weights to begin a training with."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError
from ..provenance import check_readable

FILE = "diffusion_pytorch_model{kind}.safetensors"
PLACES = {"unet": "network.", "vae": "codec."}


def is_svd(folder: str | Path) -> bool:
    """Whether a folder is laid out as SVD's."""
    return all((Path(folder) / part / "config.json").is_file() for part in PLACES)


def read_svd(folder: str | Path) -> dict[str, Tensor]:
    """The weights of its UNet and autoencoder under the names of `TalkingHeadModel`.

    Half-precision files (`*.fp16.safetensors`) are taken where there are no others.
    Raises: InputError for files that are missing or no safetensors.
    """
    weights: dict[str, Tensor] = {}
    for part, place in PLACES.items():
        paths = [Path(folder) / part / FILE.format(kind=kind) for kind in ("", ".fp16")]
        path = check_readable(next((p for p in paths if p.is_file()), paths[0]), "file of weights")
        try:
            held = load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path}: not a readable safetensors file ({error})") from None
        weights.update({place + name: value.float() for name, value in held.items()})
    return weights
