"""Noise and its reverse: preconditioning, objective, sampling, guidance, windows."""

from .guidance import guided, passes
from .objective import ObjectiveConfig, denoising_loss
from .precondition import Precondition, PreconditionConfig
from .sampling import SAMPLERS, sample, scheduler

__all__ = [
    "SAMPLERS",
    "ObjectiveConfig",
    "Precondition",
    "PreconditionConfig",
    "denoising_loss",
    "guided",
    "passes",
    "sample",
    "scheduler",
]
