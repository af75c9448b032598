"""Gates, regions and branches: how signals reach the picture, and only their part of it."""

from .branch import MaskedBranch
from .conditions import Conditions
from .config import BranchConfig
from .gates import Gates
from .parallel import ParallelControl

__all__ = ["BranchConfig", "Conditions", "Gates", "MaskedBranch", "ParallelControl"]
