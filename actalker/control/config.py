"""Hyper-parameters of a control layer's branches."""

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
    """Hyper-parameters of one signal's branch (`MaskedBranch`, `AttentionBranch`).

    The defaults follow the paper; the release's values are named where they differ.
    """

    expand: float = 2.0
    """Ratio of the scan's inner channels to the feature channels; 2 in the released checkpoints."""

    state_size: int = 16
    """N, the size of the state of each inner channel; 16 in the released checkpoints."""

    scan_scope: Literal["clip", "frame"] = "clip"
    """Whether a clip is one sequence over frames and space (paper), or each frame is its own sequence
    (released code)."""

    condition_layout: Literal["rows", "interleaved", "ends", "end"] = "interleaved"
    """Where the condition tokens stand in the sequence (`drop.scan_order`). `rows`: before each row of their
    frame's image tokens; `interleaved`: before their frame's image tokens; `ends`: all before and again after
    the image tokens; `end`: all after them (ACTalker, eq. 6, and the release)."""

    form: Literal["selective", "ssd", "attention"] = "selective"
    """The branch's operator. `selective`: Mamba's scan, with a decay for each state (Gu & Dao 2023). `ssd`:
    Mamba-2's scan, with one decay a head, which affords 64 states at less cost (Dao & Gu 2024). `attention`:
    cross-attention, the baseline of ACTalker's table 3."""

    head_size: int = 64
    """The most channels of a head, for the forms `ssd` and `attention`."""

    identity: bool = True
    """Whether the branch also reads the identity tokens; a row of ACTalker's table 3 leaves them out."""

    gated: bool = False
    """Whether the scan's output is multiplied by SiLU of a projection of each image token, as in Mamba; the
    release has no such gate."""

    conv: int = 0
    """Taps of a causal convolution before each scan; 0 is none. Mamba has 4."""

    directions: Literal["both", "forward"] = "both"
    """`both` scans forward and backward and sums them (paper and release). `forward` scans forward alone:
    a frame then depends on no later frame, and a clip can be scanned window by window,
    each window starting from the state of the one before."""

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> BranchConfig:
        """Make a config of plain values by name. Raises InputError for a name that is no setting."""
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
        """Whether a frame depends on no later frame."""
        return self.directions == "forward"
