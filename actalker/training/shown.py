"""Losses of clips whose motion is known: what the network's features and its motion field say of it.

Letters: b batch, f frames, h w latent size, P motion channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.puppets.motion import HIGH, INDEX, LOW
from ..data.sample import Sample
from ..diffusion.objective import Losses, ObjectiveConfig

# what moves few pixels and where it shows; the head's pose moves all of them and is learnt without help
SMALL_MOTION = {
    "mouth": ("jaw", "spread", "smile"),
    "upper": ("lid_left", "lid_right", "brow_left", "brow_right", "gaze_x", "gaze_y"),
}


def shown_loss(shown: nn.ModuleDict, loss: Losses, batch: Sample) -> Tensor:
    """Error of the motion under the batch's gates as read from the features of its own region."""
    assert loss.features is not None
    gated = (batch.motion.nan_to_num() * batch.gates[..., None]).sum(1)  # (b, f, P)
    low, high = (torch.from_numpy(bound).to(gated) for bound in (LOW, HIGH))
    truth = gated.clamp(low, high)[:, :, None, None]
    features = loss.features.movedim(2, -1)  # (b, f, h, w, ·)
    regions = {"mouth": loss.mouth_at, "upper": (loss.face_at - loss.mouth_at).clamp(min=0)}
    total = truth.new_zeros(())
    for region, at in regions.items():
        own = [INDEX[c] for c in SMALL_MOTION[region]]
        error = (shown[region](features).float() - truth).square()[..., own].mean(-1)
        total = total + (error * at).sum() / at.sum().clamp(min=1)
    return total


def field_loss(objective: ObjectiveConfig, loss: Losses, batch: Sample) -> Tensor:
    """Mean distance, in latent positions, of the motion field from the batch's, where that is known.

    Places count as much as their pixels do in the objective.
    """
    assert loss.flow is not None
    field = batch.field.float()
    size = field.shape[-2:]
    made = F.interpolate(loss.flow.flatten(0, 1).float(), size, mode="area").unflatten(0, field.shape[:2])
    pixels_each = batch.frames.shape[-1] / loss.face_at.shape[-1]  # of a latent position
    apart = (made - field[:, :, :2] / pixels_each).square().sum(2)
    distance = (apart + 1e-4).sqrt() - 1e-2  # smooth at zero
    place = F.interpolate(objective.place(loss.face_at, loss.mouth_at), size, mode="nearest")
    counts = place * field[:, :, 2]
    return (distance * counts).sum() / counts.sum().clamp(min=1)
