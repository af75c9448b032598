"""Denoising networks, with the control layers attached to them."""

from collections.abc import Callable

from .denoiser import Estimate, Network
from .direct import Direct
from .released import ReleasedUNet
from .unet import ControlUNet

DENOISERS: dict[str, Callable[..., Network]] = {
    "ControlUNet": ControlUNet,
    "ReleasedUNet": ReleasedUNet,
    "Direct": Direct,
}

__all__ = ["DENOISERS", "ControlUNet", "Direct", "Estimate", "Network", "ReleasedUNet"]
