"""Networks that denoise, with control layers at their sites."""

from .denoiser import Estimate, Network
from .released import ReleasedUNet
from .unet import ControlUNet

DENOISERS = {"ControlUNet": ControlUNet, "ReleasedUNet": ReleasedUNet}

__all__ = ["DENOISERS", "ControlUNet", "Estimate", "Network", "ReleasedUNet"]
