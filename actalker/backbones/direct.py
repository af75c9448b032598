"""A denoiser without a network: the motion that signals bring is the answer.

Letters: b batch, f frames.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..control.conditions import Conditions
from ..heads.face_map import face_map
from .denoiser import Estimate


class Direct(ModelMixin, ConfigMixin):
    """The sum of the open signals' motion, each times its gate and inside its region: the paper's rule
    without learning.

    Its tokens are numbers of a head's relative motion, (b, f, 1, 62) (`signals.motion.MotionNumbers`); its
    estimate is the clean latents of `FaceMotion` themselves (`PreconditionConfig.prediction` sample). It
    is the floor that a trained model has to keep.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", torch.from_numpy(face_map().basis), persistent=False)

    width = 0

    def blocks(self) -> list[nn.Module]:
        """None, nor are there branches or layers."""
        return []

    def branches(self) -> list[nn.Module]:
        return []

    def undivided(self) -> list[str]:
        return []

    def slice_layers(self) -> None:
        """Nothing: there are no layers."""

    def forward(self, sample: Tensor, timestep: Tensor | float, conditions: Conditions) -> Estimate:
        """One call. sample: (b, f, 4, 32, 32), of which only the shape is used."""
        total = torch.zeros_like(sample)
        for name in conditions.open:
            maps = torch.einsum(
                "bfk,kcxy->bfcxy", conditions.tokens[name][:, :, 0].to(self.basis), self.basis
            )
            acts = conditions.gates[name][..., None, None] * conditions.regions[name]
            total = total + acts[:, :, None].to(sample) * maps.to(sample)
        return Estimate(total)
