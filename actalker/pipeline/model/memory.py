"""How to run a model within a memory budget: what is computed at once, and which weights wait elsewhere.

The arrangements are ordered from the fastest to the one that needs least memory; each saves all that those
before it save. The memory that they need is estimated from the sizes of weights and feature maps, by measured
factors.

Letters: b passes at once, f frames, h w latent size, H W picture size, c channels.
"""

from __future__ import annotations

import ctypes
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...backbones.denoiser import Network
from ...errors import InputError, one_of
from .model import TalkingHeadModel

if TYPE_CHECKING:  # imported where weights are offloaded
    from accelerate.hooks import UserCpuOffloadHook

GB = 2**30
PROGRAM = {"cpu": 0.6 * GB, "cuda": 0.5 * GB, "mps": 0.6 * GB}  # before any model
MAPS, SLICED_MAPS = 56, 45  # feature maps of the finest level that a pass holds at its peak


@dataclass(frozen=True)
class Arrangement:
    """How a model is run. `str` gives it in words.

    dtype: dtype of weights and features.
    together: whether guidance passes run as one batch.
    decode: frames decoded at once; 0 leaves latents.
    sliced: whether feed-forward layers run frame by frame.
    offload: `none`; `part`: denoiser and codec wait in the main memory, and take turns on the device;
        `block`: weights wait in the main memory, and each layer's are loaded when it runs.
    need: estimated peak, bytes.
    """

    dtype: torch.dtype = torch.float32
    together: bool = True
    decode: int = 8
    sliced: bool = False
    offload: str = "none"
    need: float = 0.0

    def __str__(self) -> str:
        parts = [
            str(self.dtype).removeprefix("torch."),
            f"guidance {'in one batch' if self.together else 'pass by pass'}",
            f"{self.decode} frame{'s' * (self.decode > 1)} decoded at once",
            *(["layers in slices"] if self.sliced else []),
            *([] if self.offload == "none" else [f"weights come {self.offload} by {self.offload}"]),
        ]
        return f"{', '.join(parts)}; about {self.need / GB:.1f} GB"


LATENTS = Arrangement(decode=0)  # nothing is decoded


def parse_budget(text: str) -> float | None:
    """Parse `8GB` to bytes, and `max` to None. Raises: InputError for other words."""
    if text == "max":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|GiB|G)", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]) > 0:
        raise InputError(f"--memory {text}: give max, or gigabytes such as 8GB")
    return float(match[1]) * GB


def arrangements(dtype: torch.dtype, device: str, free: bool) -> list[Arrangement]:
    """List the arrangements on a device, from the fastest to the smallest.

    free: whether the dtype may be changed.
    """
    fast = Arrangement(dtype)
    out = [fast, replace(fast, together=False), replace(fast, together=False, decode=2)]
    small = replace(fast, together=False, decode=1, sliced=True)
    out.append(small)
    if device == "cpu" and free and dtype == torch.float32:  # bfloat16 is slow on most CPUs
        out.append(replace(small, dtype=torch.bfloat16))
    if device != "cpu":  # there is nowhere else to wait
        out.append(replace(small, offload="block"))
    return out


def arrange(
    model: TalkingHeadModel,
    device: str,
    dtype: torch.dtype,
    budget: float | None,
    free: bool = False,
    passes: int = 1,
    frames: int | None = None,
) -> Arrangement:
    """Choose the fastest arrangement that fits into a budget.

    Args:
        device: cpu, cuda or mps.
        dtype: the dtype of weights and features, unless it is `free` to change.
        budget: bytes; None: no limit.
        free: whether the dtype may be changed.
        passes: guidance passes of a denoiser call.
        frames: video frames of the clip; None: at least a window.
    Raises: InputError when not even the smallest fits.
    """
    one_of(device, PROGRAM, "device")
    choices = [
        replace(one, need=needed(model, one, device, passes, frames))
        for one in arrangements(dtype, device, free)
    ]
    if budget is None:
        return choices[0]
    for one in choices:
        if one.need <= budget:
            return one
    least = min(one.need for one in choices)
    raise InputError(
        f"--memory {budget / GB:g}GB: this model needs about {least / GB:.1f} GB on {device} at the least; "
        "give more, or a smaller model"
    )


def needed(
    model: TalkingHeadModel, one: Arrangement, device: str, passes: int = 1, frames: int | None = None
) -> float:
    """Estimate the peak memory of a model in bytes.

    Args:
        one: the arrangement to estimate.
        device: cpu, cuda or mps.
        passes: guidance passes of a denoiser call.
        frames: video frames of the clip; None: at least a window.
    """
    size, config = one.dtype.itemsize, model.config
    f = config.window if not frames else min(model.codec.latents_of(frames), config.window)
    b = passes if one.together else 1
    _, h, w = model.codec.latent_shape(config.size)
    maps = SLICED_MAPS if one.sliced else MAPS
    features = maps * b * f * h * w * model.network.width * size
    weights = {name: _weights(part) * size for name, part in model.parts()}
    resident = sum(weights.values())
    if one.offload == "block":
        resident = weights["encoders"] + weights["codec"] + _largest(model.network) * size
    elif one.offload == "part":
        resident = weights["encoders"] + max(weights["codec"], weights["denoiser"])
    decoded = model.codec.held(min(one.decode, model.codec.frames_of(f)), config.size, size)
    return PROGRAM[device] + resident + max(features, decoded)


def _weights(part: nn.Module) -> int:
    """Number of weights of a part."""
    return sum(p.numel() for p in part.parameters())


def _largest(network: Network) -> int:
    """Number of weights of the largest layer."""
    return max(sum(p.numel() for p in module.parameters(recurse=False)) for module in network.modules())


def settle(model: TalkingHeadModel, one: Arrangement, device: torch.device) -> list[UserCpuOffloadHook]:
    """Move a model from the main memory to a device, as the arrangement `one` says.

    Returns: accelerate's hooks of parts that are loaded as a whole; a hook's `offload` moves its part back.
    """
    model.to(one.dtype)
    if one.sliced:
        model.network.slice_layers()
    if one.offload == "none":
        model.to(device)
        return []
    from accelerate import cpu_offload, cpu_offload_with_hook

    model.encoders.to(device)
    if one.offload == "part":
        _, network = cpu_offload_with_hook(model.network, device)
        if not _weights(model.codec):
            return [network]
        _, codec = cpu_offload_with_hook(model.codec, device, prev_module_hook=network)
        network.hook.prev_module_hook = codec  # they take turns, window by window
        return [network, codec]
    model.codec.to(device)
    cpu_offload(model.network, device, preload_module_classes=model.network.undivided())
    return []


def release(model: TalkingHeadModel) -> None:
    """Remove the hooks that `settle` has put on a model's parts."""
    from accelerate.hooks import remove_hook_from_module

    for part in (model.network, model.codec):
        remove_hook_from_module(part, recurse=True)


def give_back() -> None:
    """Return freed memory to the system: glibc keeps pages between pieces that are still in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # musl has none
        trim(0)
