"""What a step learns from performances: motion on the face's map, under gates.

Letters: b batch, f frames, the numbers of `heads.face_map` are 62.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..control.conditions import Conditions
from ..data.performances.performance import Performance
from ..data.performances.told import conditions, truth
from ..diffusion.objective import ObjectiveConfig, denoising_loss
from ..heads.face_map import CELLS, MOUTH, NUMBERS, weights
from ..pipeline.generate import generate
from ..pipeline.model.memory import LATENTS
from ..pipeline.model.model import TalkingHeadModel
from .auxiliary import DenoisedMotion
from .strategies import StrategyConfig, vary_conditions

PARTS = {  # groups of numbers whose explained variance is logged
    "mouth": [k for k, name in enumerate(NUMBERS) if name.startswith(MOUTH)],
    "upper": [k for k, name in enumerate(NUMBERS) if not name.startswith(MOUTH) and name not in CELLS],
    "turn": [NUMBERS.index(name) for name in ("yaw", "pitch", "roll")],
    "gaze": [NUMBERS.index(name) for name in CELLS if name.startswith("gaze")],
}


def denoise_motion(
    model: TalkingHeadModel,
    batch: Performance,
    objective: ObjectiveConfig,
    generator: torch.Generator,
    strategy: StrategyConfig | None = None,
) -> DenoisedMotion:
    """Draw noise for a batch of performances and denoise it once.

    strategy: of training, which varies what the network is told; None (validation): as in use.
    Raises: InputError where the model and the batch do not fit.
    """

    def vary(plain: Conditions) -> Conditions:
        return plain if strategy is None else vary_conditions(model, plain, strategy, generator)

    target, plain = truth(batch), conditions(model, batch)
    losses = denoising_loss(model.denoise, model.codec.lay(target), vary(plain), objective, generator)
    estimate = model.codec.read(losses.clean)
    return DenoisedMotion(model, batch, plain, vary, target=target, estimate=estimate, losses=losses)


@torch.no_grad()
def explained(model: TalkingHeadModel, batch: Performance) -> dict[str, Tensor]:
    """The share of the target's variance that sampled motion explains: `explained_PART` for each of `PARTS`.

    1 is perfect; below 0 the mean of the batch would be nearer.
    """
    asked, target = conditions(model, batch), truth(batch)
    sampled = torch.stack([_sampled(model, asked.item(k), target.shape[1]) for k in range(len(target))])
    out = {}
    for name, rows in PARTS.items():
        scale = torch.from_numpy(weights()[rows]).to(sampled)
        error = ((sampled - target)[..., rows] * scale).square().sum()
        spread = (target[..., rows] - target[..., rows].mean((0, 1))) * scale
        out[f"explained_{name}"] = 1 - error / spread.square().sum().clamp(min=1e-6)
    return out


def _sampled(model: TalkingHeadModel, asked: Conditions, frames: int) -> Tensor:
    """The numbers (f, 62) that the model samples for one clip."""
    pieces = generate(model, asked.frames, frames, arrangement=LATENTS)
    return model.codec.read(torch.cat(list(pieces)))
