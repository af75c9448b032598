"""Gates, regions and branches: how signals reach the picture, and only their part of it."""

from ..extras import late

_PUBLIC = {
    "BranchConfig": "config",
    "Conditions": "conditions",
    "Gates": "gates",
    "MaskedBranch": "branch",
    "ParallelControl": "parallel",
    "Pass": "pass_",
    "Scanning": "scanning",
}
__all__ = [*_PUBLIC]
__getattr__ = late(__name__, _PUBLIC)
