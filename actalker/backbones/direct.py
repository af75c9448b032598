"""A denoiser without a network: its estimate is the motion that the signals themselves contain.

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
    """x_0 = Σ_s g_s M_s x_s: the sum of the signals' own motion, weighted by gates and regions.

    Each open signal's tokens are numbers of a head's relative motion
    (`signals.motion_numbers.MotionNumbers`), and x_s is that motion as latents of `FaceMotion`.
    The output is the clean latents themselves, so `PreconditionConfig.prediction` is `sample`.
    A trained model should do no worse than this.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", torch.from_numpy(face_map().basis), persistent=False)

    width = 0

    def blocks(self) -> list[nn.Module]:
        """Return no modules: there are no weights to shard."""
        return []

    def branches(self) -> list[nn.Module]:
        """Return no branches."""
        return []

    def undivided(self) -> list[str]:
        """Return no classes."""
        return []

    def slice_layers(self) -> None:
        """Do nothing: there are no layers."""

    def forward(self, sample: Tensor, timestep: Tensor | float, conditions: Conditions) -> Estimate:
        """Compute the clean latents (b, f, 4, 32, 32).

        Args:
            sample: (b, f, 4, 32, 32), of which only shape, dtype and device are used.
            timestep: ignored.
            conditions: tokens (b, f, 1, 62); gates; regions on the face's map, (b, f, 32, 32).
        """
        total = torch.zeros_like(sample)
        for name in conditions.open:
            maps = torch.einsum(
                "bfk,kcxy->bfcxy", conditions.tokens[name][:, :, 0].to(self.basis), self.basis
            )
            weight = conditions.gates[name][..., None, None] * conditions.regions[name]
            total = total + weight[:, :, None].to(sample) * maps.to(sample)
        return Estimate(total)
