"""Weights of a model's parts: written and read as safetensors under diffusers' names, whole or in shards.

denoiser/ codec/    diffusion_pytorch_model[.VARIANT].safetensors
encoders/           model[.VARIANT].safetensors
any of them         references.json: weights that lie in files elsewhere (`references`)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from ...errors import InputError
from ...weights import read_safetensors, shards
from .references import REFERENCES, read_references

DIFFUSERS, OTHER = "diffusion_pytorch_model", "model"  # stems of files' names
NOT_WHOLE = "the model folder is not whole, fetch it again"
STEMS = {  # of each part: what is written, then what earlier versions wrote
    "denoiser": (DIFFUSERS, OTHER),
    "codec": (DIFFUSERS, OTHER),
    "encoders": (OTHER,),
}


def write_weights(
    weights: Mapping[str, Tensor],
    folder: Path,
    variant: str | None = None,
    shard: int | str | None = None,
) -> None:
    """Write a part's weights into its folder, which has the part's name.

    variant: word in the files' names.
    shard: largest file, bytes or `5GB`; None: one file.
    Raises: InputError for a variant that is no word, and for a shard that is no size.
    """
    from huggingface_hub import split_torch_state_dict_into_shards

    if variant is not None and not variant.isidentifier():
        raise InputError(f"variant '{variant}': give a word, such as fp16")
    stem, mark = STEMS[folder.name][0], "" if variant is None else f".{variant}"
    pattern = f"{stem}{mark}{{suffix}}.safetensors"
    try:
        plan = split_torch_state_dict_into_shards(
            dict(weights), filename_pattern=pattern, max_shard_size=2**63 if shard is None else shard
        )
    except ValueError as error:
        raise InputError(f"max_shard_size '{shard}': give bytes, or a size such as 5GB ({error})") from None
    for name, keys in plan.filename_to_tensors.items():
        save_file({key: weights[key].contiguous() for key in keys}, folder / name, {"format": "pt"})
        (folder / name).chmod(0o644)  # safetensors makes files that only their owner reads
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / f"{stem}.safetensors.index{mark}.json").write_text(text)


def read_weights(folder: Path, files: Collection[str], variant: str | None = None) -> dict[str, Tensor]:
    """Read a part's weights: those in its folder, and those in files that it refers to (`references`).

    files: names of the files that the model's index lists; no other is read.
    variant: word in the files' names.
    Raises: InputError that names the file that is not listed, is missing, has changed or cannot be read.
    """
    part = folder.name
    referred = read_references(folder) if f"{part}/{REFERENCES}" in files else {}
    weights = dict(referred)
    for path in _files(folder, files, variant, needed=not referred):
        weights |= read_safetensors(path)
    return weights


def _files(folder: Path, files: Collection[str], variant: str | None, needed: bool) -> list[Path]:
    """The files of weights in a part's folder. Raises: InputError where some are missing or not listed."""
    part, mark = folder.name, "" if variant is None else f".{variant}"
    for stem in STEMS[part]:
        whole, index = f"{stem}{mark}.safetensors", f"{stem}.safetensors.index{mark}.json"
        if f"{part}/{whole}" in files:
            return [folder / whole]
        if f"{part}/{index}" in files:
            paths = shards(folder / index)
            for path in paths:
                if f"{part}/{path.name}" not in files:
                    raise InputError(f"{path}: is not listed in model_index.json; {NOT_WHOLE}")
            return paths
    listed = sorted(name for name in files if name.startswith(f"{part}/") and name.endswith(".safetensors"))
    if variant is not None and listed:
        raise InputError(f"{folder}: has no weights of variant '{variant}'; it has {', '.join(listed)}")
    if needed:
        usual = folder / f"{STEMS[part][0]}{mark}.safetensors"
        raise InputError(f"{usual}: is not listed in model_index.json; {NOT_WHOLE}")
    return []
