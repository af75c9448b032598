"""Device, dtype and offloading of a pipeline, with the names and arguments of `diffusers.DiffusionPipeline`.

What has no meaning for a talking-head model raises an error that says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from diffusers import DiffusionPipeline
from typing_extensions import Self

from ..errors import InputError, one_of
from .arguments import ATTRIBUTES
from .model.memory import Arrangement, needed, release, settle
from .model.model import TalkingHeadModel

if TYPE_CHECKING:  # imported where weights are offloaded
    from accelerate.hooks import UserCpuOffloadHook

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class PlacedPipeline(DiffusionPipeline):
    """A pipeline around one `TalkingHeadModel`, its only component."""

    model: TalkingHeadModel
    arrangement: Arrangement
    _interrupt = False

    @property
    def device(self) -> torch.device:
        """Where the model runs; weights that are offloaded wait in the main memory."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of weights and features."""
        return self.model.dtype

    @property
    def scheduler(self) -> NoReturn:
        """Not offered: samplers are functions. Raises: AttributeError, which `__getattr__` completes."""
        raise AttributeError

    @scheduler.setter
    def scheduler(self, value: object) -> None:
        """Not offered. Raises: InputError."""
        raise InputError(f"scheduler {type(value).__name__}: a call chooses its own, as sampler='dpm2'")

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            raise AttributeError(f"'{type(self).__name__}' has no '{name}': {ATTRIBUTES[name]}")
        return super().__getattr__(name)

    @property
    def num_timesteps(self) -> int:
        """Steps a window of the last call; before any call, of the model's settings."""
        return getattr(self, "_num_timesteps", self.model.config.sampling.steps)

    @property
    def interrupt(self) -> bool:
        """Whether the caller has asked the running call to stop, by `pipe._interrupt = True`."""
        return self._interrupt

    def to(self, *args: torch.device | str | int | torch.dtype | None, **options: Any) -> Self:
        """Move to a device, to a dtype, or to both: `to("cuda")`, `to(torch.bfloat16)`, `to("cpu", dtype)`.

        The pipeline itself is changed and returned. Offloading ends where a device is named.
        Raises: InputError for a device that is not there.
        """
        dtype = options.get("dtype", next((a for a in args if isinstance(a, torch.dtype)), None))
        if dtype is not None and not dtype.is_floating_point:
            raise InputError(f"dtype {dtype}: give one of: {', '.join(DTYPES)}")
        device = options.get("device", next((a for a in args if not isinstance(a, torch.dtype)), None))
        if device is not None:
            check_device(device)
            if self.arrangement.offload != "none":
                self.remove_all_hooks()
        super().to(*args, **options)
        return self._arranged(offload="none" if device is not None else self.arrangement.offload)

    def enable_model_cpu_offload(
        self, gpu_id: int | None = None, device: torch.device | str | None = None
    ) -> None:
        """Let denoiser and codec wait in the main memory, each while the other runs; encoders stay."""
        self._offload("part", gpu_id, device)

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: torch.device | str | None = None
    ) -> None:
        """Let the denoiser's weights wait in the main memory; each layer's come when it runs."""
        self._offload("block", gpu_id, device)

    def enable_group_offload(self, onload_device: torch.device | str, **options: object) -> None:
        """Let groups of the denoiser's layers wait elsewhere; options as in diffusers. Other parts stay."""
        check_device(onload_device)
        self.model.encoders.to(onload_device)
        self.model.codec.to(onload_device)
        self.model.network.enable_group_offload(onload_device=torch.device(onload_device), **options)

    def maybe_free_model_hooks(self) -> None:
        """Move parts that `enable_model_cpu_offload` has loaded off the device; every clip ends with this."""
        for hook in getattr(self, "_all_hooks", []):
            hook.offload()

    def remove_all_hooks(self) -> None:
        """Undo offloading. No weights move: those that waited in the main memory stay there until `to`."""
        release(self.model)
        self._all_hooks: list[UserCpuOffloadHook] = []
        self._arranged(offload="none")

    def reset_device_map(self) -> None:
        """Undo offloading, and bring everything into the main memory, as in diffusers."""
        self.to("cpu")

    def _offload(self, how: str, gpu_id: int | None, device: torch.device | str | None) -> None:
        if device is None:
            accelerators = [name for name in ("cuda", "mps") if _available(name)]
            if not accelerators:
                raise InputError("offloading: there is no GPU that weights could come to; leave it out")
            device = accelerators[0]
        device = check_device(device)
        if gpu_id is not None:
            if device.index is not None:
                raise InputError(f"gpu_id {gpu_id}: the device {device} has a number; give one of the two")
            device = torch.device(device.type, gpu_id)
        self.to("cpu", silence_dtype_warnings=True)
        self._all_hooks = settle(self.model, self._arranged(offload=how).arrangement, device)

    def _arranged(self, offload: str) -> Self:
        """Set the arrangement to the pipeline's dtype, this offloading, and the memory they need."""
        one = replace(self.arrangement, dtype=self.dtype, offload=offload)
        self.arrangement = replace(one, need=needed(self.model, one, self.device.type))
        return self


def _available(kind: str) -> bool:
    """Whether this machine has a kind of device."""
    if kind == "cuda":
        return torch.cuda.is_available()
    return torch.backends.mps.is_available() if kind == "mps" else kind in ("cpu", "meta")


def check_device(device: torch.device | str | int) -> torch.device:
    """Return a device as `torch.device`; a number is CUDA's. Raises: InputError for one that is not there."""
    try:
        known = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except RuntimeError:
        known = None
    if known is None or not _available(known.type):
        have = ", ".join(name for name in ("cpu", "cuda", "mps") if _available(name))
        raise InputError(f"device '{device}' is not there; use one of: {have}")
    if known.type == "cuda" and (known.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{device}' is not there; the last is cuda:{torch.cuda.device_count() - 1}")
    return known


def pick_device(name: str | torch.device | int) -> torch.device:
    """Return the named device; `auto` is CUDA, else Apple's GPU, else the CPU.

    Raises: InputError for a device that is not there.
    """
    if not isinstance(name, str) or ":" in name:
        return check_device(name)
    one_of(name, ("auto", "cpu", "cuda", "mps"), "device")
    return check_device(
        next(kind for kind in ("cuda", "mps", "cpu") if _available(kind)) if name == "auto" else name
    )


def pick_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the named dtype; `auto` is bfloat16 on CUDA, else float32.

    Raises: InputError for other dtypes, and for float16 on a CPU, which is 100 times slower.
    """
    if isinstance(name, torch.dtype):
        if name not in DTYPES.values():
            raise InputError(f"dtype {name}: give one of: {', '.join(DTYPES)}")
        return name
    one_of(name, ("auto", *DTYPES), "dtype")
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type == "cpu":
        raise InputError("dtype float16 on the CPU is unusably slow; use float32 or bfloat16")
    return DTYPES[name]
