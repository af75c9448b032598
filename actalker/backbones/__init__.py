"""Networks that denoise, with control layers at their sites."""

from .denoiser import Estimate, Network
from .unet import ControlUNet

DENOISERS = {"ControlUNet": ControlUNet}

__all__ = ["DENOISERS", "ControlUNet", "Estimate", "Network"]
