"""A check of our network against a file of released weights, inputs and outputs.

Letters: b batch, f frames, m identity tokens, n tokens a frame, d width, H W picture size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..backbones.attach import cross_attentions
from ..backbones.base import SCALARS
from ..backbones.released import ReleasedUNet
from ..control.conditions import Conditions
from ..control.pass_ import Pass
from ..errors import InputError
from ..provenance import check_readable
from ..signals.released import MOTION, SPEECH
from ..weights import fill, undrawn

INPUTS = ("x", "t", "ids", "idt", "aud", "mot", "mouth", "motion", "face")
MODES = ("joint", "audio_only", "motion_only", "released_ones")
NETWORK, ADAPTERS, GIVEN, WANTED = "unet.", "adapter_module.", "input.", "output."


@dataclass(frozen=True)
class Comparison:
    """How far our output is from the released one in one mode: which signals are open, under which masks.

    error: the largest difference over the largest value.
    """

    mode: str
    error: float


def check_released(path: str | Path) -> list[Comparison]:
    """Build the network of a file, run its inputs, and compare with its outputs.

    Raises: InputError when it is no such file, with the first weight that is missing or too much.
    """
    tensors, config = _read(Path(path))
    network = released_network(tensors, config, str(path))
    inputs = {name: _tensor(tensors, f"{GIVEN}{name}", path) for name in INPUTS}
    wanted = {mode: tensors[f"{WANTED}{mode}"] for mode in MODES if f"{WANTED}{mode}" in tensors}
    if not wanted:
        raise InputError(f"{path}: holds no output of {', '.join(MODES)}")
    comparisons = []
    for mode, truth in wanted.items():
        try:
            output = run_mode(network, inputs, mode)
        except (RuntimeError, ValueError, IndexError) as error:
            words = " ".join(str(error).split())[:120]
            raise InputError(f"{path}: its inputs do not fit its network ({words})") from None
        if output.shape != truth.shape:
            raise InputError(
                f"{path}: output.{mode} is {tuple(truth.shape)}, the network gives {tuple(output.shape)}"
            )
        apart = (output - truth).abs().max() / truth.abs().max().clamp(min=1e-12)
        comparisons.append(Comparison(mode, float(apart)))
    return comparisons


def released_network(tensors: dict[str, Tensor], config: dict[str, Any], name: str) -> ReleasedUNet:
    """The network of released weights: `unet.*`, and adapters of `adapter_module.*` where those lack them.

    config: the arguments of `ReleasedUNet`. name: of the file, for messages. Raises: InputError for weights
    that do not fit.
    """
    try:
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        network = undrawn(partial(ReleasedUNet, **settings))
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        words = " ".join(str(error).split())[:120]
        raise InputError(f"{name}: its unet_config makes no network ({words})") from None
    weights = {key.removeprefix(NETWORK): t for key, t in tensors.items() if key.startswith(NETWORK)}
    for k, (attention, _) in enumerate(cross_attentions(network)):
        place = next(key for key, part in network.named_modules() if part is attention)
        for parameter in attention.processor.state_dict():
            if (adapter := tensors.get(f"{ADAPTERS}{k}.{parameter}")) is not None:
                weights.setdefault(f"{place}.processor.{parameter}", adapter)
    own_weights = network.state_dict()
    if missing := sorted(own_weights.keys() - weights.keys()):
        raise InputError(f"{name}: {len(missing)} weights are missing, the first is {missing[0]}")
    if unexpected := sorted(weights.keys() - own_weights.keys()):
        raise InputError(f"{name}: {len(unexpected)} weights have no place, the first is {unexpected[0]}")
    for key, value in weights.items():
        if value.shape != own_weights[key].shape:
            raise InputError(f"{name}: {key} is {tuple(value.shape)}, not {tuple(own_weights[key].shape)}")
    fill(network, weights, name)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def run_mode(network: ReleasedUNet, inputs: dict[str, Tensor], mode: str) -> Tensor:
    """The output (b, f, c, h, w) of one pass with the masks and tokens of a mode of MODES."""
    x = inputs["x"]
    b, f = x.shape[:2]
    audio, motion = (inputs[k].reshape(b, f, -1, inputs[k].shape[-1]) for k in ("aud", "mot"))
    mouth, moving, face = (inputs[k].expand(b, f, -1, -1) for k in ("mouth", "motion", "face"))
    nothing, everything = torch.zeros_like(face), torch.ones_like(face)
    masks = {
        "joint": (mouth, moving),
        "audio_only": (face, nothing),
        "motion_only": (nothing, face),
        "released_ones": (everything, everything),
    }[mode]
    tokens = {SPEECH: audio * (mode != "motion_only"), MOTION: motion * (mode != "audio_only")}
    identity = inputs["idt"].reshape(b, f, -1, inputs["idt"].shape[-1])
    conditions = Conditions(
        tokens=tokens,
        regions=dict(zip(tokens, masks, strict=True)),
        gates=dict.fromkeys(tokens, x.new_ones(b, f)),
        identity=identity[:, 0],
        scalars=dict(zip(SCALARS, inputs["ids"].unbind(1), strict=True)),
    )
    return network.denoise(x, inputs["t"], Pass(conditions, identity))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = check_readable(path, "safetensors file")
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        config = json.loads(meta.get("unet_config", "null"))
    except (SafetensorError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: is no safetensors file ({words})") from None
    if not isinstance(config, dict):
        raise InputError(
            f"{path}: its metadata has no unet_config; give a file of weights with inputs and outputs"
        )
    return tensors, config


def _tensor(tensors: dict[str, Tensor], key: str, path: str | Path) -> Tensor:
    if key not in tensors:
        raise InputError(f"{path}: holds no {key}")
    return tensors[key]
