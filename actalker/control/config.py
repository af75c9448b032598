"""Hyper-parameters of the control layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError, one_of

LAYOUTS = ("rows", "interleaved", "ends", "end")
SCOPES = ("clip", "frame")
FORMS = ("selective", "ssd", "attention")
DIRECTIONS = ("both", "forward")
CAUSAL_LAYOUTS = ("rows", "interleaved")


@dataclass(frozen=True)
class BranchConfig:
    """One signal's masked state-space branch."""

    expand: float = 2.0
    """Inner channels of the scan over the feature channels; 2 in the released checkpoints."""

    state_size: int = 16
    """N of the scan, numbers that a channel remembers; 16 in the released checkpoints."""

    scan_scope: Literal["clip", "frame"] = "clip"
    """One sequence over frames and space (paper) or one sequence a frame (released code)."""

    condition_layout: Literal["rows", "interleaved", "ends", "end"] = "interleaved"
    """Where condition tokens stand: before every row of their frame's tokens in both directions, before their
    frame's tokens, all of them before and after, or all of them at the end (paper and release)."""

    form: Literal["selective", "ssd", "attention"] = "selective"
    """Mamba's scan, a decay for every state; Mamba-2's, one a head, which takes 64 states at less cost; or
    cross-attention in its place, the baseline of ACTalker's Table 3."""

    head_size: int = 64
    """Channels of a head of the forms `ssd` and `attention`, at most."""

    identity: bool = True
    """Whether identity tokens are read beside the signal's own; ACTalker's Table 3 leaves them out."""

    gated: bool = False
    """Whether what is scanned is multiplied by a function of each token, as in Mamba; not in the release."""

    conv: int = 0
    """Taps of a causal convolution in front of each scan; 0: none. Mamba has 4."""

    directions: Literal["both", "forward"] = "both"
    """Scans through the clip forward and backward (paper and release), or forward alone: then a frame depends
    on no later one, and a clip can be scanned window by window, each from the state of the one before."""

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> BranchConfig:
        """Of plain values by name. Raises: InputError for names that a branch has not."""
        for name in settings:
            one_of(name, cls.__dataclass_fields__, "branch setting")
        return cls(**settings)

    def __post_init__(self) -> None:
        one_of(self.form, FORMS, "form")
        one_of(self.scan_scope, SCOPES, "scan_scope")
        one_of(self.condition_layout, LAYOUTS, "condition_layout")
        one_of(self.directions, DIRECTIONS, "directions")
        if self.directions == "forward" and self.condition_layout not in CAUSAL_LAYOUTS:
            raise InputError(
                f"directions: forward with condition_layout {self.condition_layout}, where frames wait for"
                f" all condition tokens of the clip; give one of {', '.join(CAUSAL_LAYOUTS)}"
            )

    @property
    def causal(self) -> bool:
        """Whether a frame depends on no later one."""
        return self.directions == "forward"
