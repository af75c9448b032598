"""Gates, regions and branches: how a signal changes the video's features, in its own region alone."""

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
