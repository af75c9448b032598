"""What of a model is trained: all of it, all but some parts, or low-rank additions to its attention (LoRA).

Source of LoRA: Hu et al. 2021, eq. 3, by way of peft.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import InputError
from ..extras import need

ADAPTER = "default"  # peft's name for the first one


@dataclass(frozen=True)
class TuningConfig:
    """Settings of what is trained: weights to freeze and to train, and the low-rank additions (LoRA).

    freeze and train hold `*` patterns of weight names: `network.down_blocks.*`, `encoders.*`.
    """

    freeze: tuple[str, ...] = ()
    """Weights that stay as they are."""

    train: tuple[str, ...] = ()
    """Weights that are trained although `freeze` or LoRA freezes them."""

    lora_rank: int = 0
    """Rank of the additions; 0: none."""

    lora_alpha: float = 8.0
    """The addition counts alpha / rank times."""

    lora_layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Linear layers of the network that get one, by the ends of their names; all else is frozen."""

    def __post_init__(self) -> None:
        for name in ("freeze", "train", "lora_layers"):  # `null` in a config is none
            object.__setattr__(self, name, tuple(getattr(self, name) or ()))


def tune(model: nn.Module, config: TuningConfig) -> None:
    """Freeze parts of a model and add LoRA to its network, as the settings say.

    Raises: InputError for a pattern that names nothing, and when nothing is left to train.
    """
    if config.lora_rank:
        peft = need("train", "peft")
        settings = peft.LoraConfig(
            r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=list(config.lora_layers)
        )
        try:
            peft.inject_adapter_in_model(settings, model.network)
        except ValueError as error:
            words = " ".join(str(error).split())[:120]
            raise InputError(f"model.tuning.lora_layers: {words}") from None
    names = [name for name, _ in model.named_parameters()]
    for pattern in (*config.freeze, *config.train):
        if not fnmatch.filter(names, pattern):
            raise InputError(
                f"model.tuning: '{pattern}' names no weight; weights are called, for example, {names[0]}"
            )
    for name, parameter in model.named_parameters():
        frozen = _any(name, config.freeze) or (bool(config.lora_rank) and ".lora_" not in name)
        parameter.requires_grad_(not frozen or _any(name, config.train))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("model.tuning: freezes every weight; leave some to train")
    model.train(model.training)  # what is frozen whole keeps its running means too


def merged(weights: Mapping[str, Tensor], config: TuningConfig) -> dict[str, Tensor]:
    """Weights with LoRA's additions taken in: W + alpha / rank · B A, under the names of a model without."""
    out = {}
    for name, value in weights.items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        if plain != name and plain.endswith(".weight"):
            layer = name.removesuffix("base_layer.weight")
            a, b = (weights[f"{layer}lora_{side}.{ADAPTER}.weight"] for side in "AB")
            added = config.lora_alpha / config.lora_rank * (b.float() @ a.float())
            value = (value.float() + added).to(value.dtype)
        out[plain] = value
    return out


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
