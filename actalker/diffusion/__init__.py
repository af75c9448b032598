"""Diffusion: noise levels, preconditioning, training objective, samplers, guidance, windows of long clips."""

from .guidance import guided, passes
from .noise import NoiseConfig
from .objective import ObjectiveConfig, denoising_loss
from .precondition import PARAMETRISATIONS, Precondition, PreconditionConfig
from .sampling import SAMPLERS, Sampling, sample

__all__ = [
    "PARAMETRISATIONS",
    "SAMPLERS",
    "NoiseConfig",
    "ObjectiveConfig",
    "Precondition",
    "PreconditionConfig",
    "Sampling",
    "denoising_loss",
    "guided",
    "passes",
    "sample",
]
