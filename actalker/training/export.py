"""The export of a training checkpoint to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..pipeline.model.folder import save_model
from ..pipeline.model.model import ModelConfig, TalkingHeadModel
from ..weights import read_torch
from .tuning import TuningConfig, merged

CURRENT, AVERAGED = "state_dict", "averaged_weights"


def export(checkpoint: str | Path, folder: str | Path, averaged: bool = True, dtype: str = "float32") -> Path:
    """Write the model folder of a checkpoint.

    Args:
        checkpoint: a .ckpt of `train.py`.
        averaged: take the averaged weights (EMA), as training's validation does; else the last ones.
        dtype: of the weights in the folder, float32 or bfloat16.
    Raises: InputError for files that are no such checkpoint.
    """
    path = Path(checkpoint)
    content = read_torch(path, "training checkpoint", "give a .ckpt of train.py")
    if not isinstance(content, dict) or "model_config" not in content or CURRENT not in content:
        raise InputError(f"{path}: not a checkpoint of this program's training; give a .ckpt of train.py")
    weights = {**content[CURRENT], **(content.get(AVERAGED, {}) if averaged else {})}
    model = TalkingHeadModel(ModelConfig.from_dict(content["model_config"]))
    try:
        model.load_state_dict(merged(model_weights(weights), TuningConfig(**content.get("tuning", {}))))
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()[:120]
        raise InputError(
            f"{path}: its weights are not those of this version's model ({why}); export it with the version "
            "that trained it"
        ) from None
    save_model(model, Path(folder), {"float32": None, "bfloat16": torch.bfloat16}[dtype])
    return Path(folder)


def model_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights among those of the training module."""
    return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
