"""What the layers of one forward pass of a network know.

Letters: b batch, f frames, h w rows and columns of tokens, t = h·w, n tokens of a signal a frame,
m identity tokens, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from ..regions.grid import to_grid, to_grid_bicubic
from ..ssm.block import ScanState
from .conditions import Conditions
from .drop import Selection, select

States = Mapping[tuple[int, str], ScanState]
"""By (site, signal): the states of branches behind the last frame of a pass."""


class Pass:
    """The conditions of one forward pass, and what layers derive from them: computed once for each grid.

    conditions: in the dtype of the network's features.
    signals: names of those that take part: the open ones, or all of them where branches run idle.
    next_states: for the pass over the frames to come, once this one is done; None unless it goes on.
    """

    def __init__(
        self, conditions: Conditions, identity: Tensor | None = None, states: States | None = None
    ) -> None:
        """identity: (b, f, m, d) who it is in each frame; None: the conditions' own, the same in all.
        states: `next_states` of the pass over the frames before, {} where a clip begins; None: the frames are
        a clip as a whole. With branches in the forward direction alone, passes window by window give what one
        over the whole clip gives.
        """
        self.conditions = conditions
        self.states = states
        self.next_states = None if states is None else dict(states)
        self.signals = [*conditions.gates] if conditions.scanning.idle else conditions.open
        self._identity = identity
        self._selections: dict[tuple[tuple[int, int], bool], dict[str, Selection]] = {}
        self._tokens: dict[str, Tensor] = {}
        self._masks: dict[tuple[str, int], Tensor] = {}

    @property
    def frames(self) -> int:
        """f, frames of each clip."""
        return self.conditions.length

    @cached_property
    def identity(self) -> Tensor:
        """Identity tokens of each frame, (b, f, m, d)."""
        if self._identity is not None:
            return self._identity
        return self.conditions.identity[:, None].expand(-1, self.frames, -1, -1)

    def selections(self, size: tuple[int, int], causal: bool = False) -> Mapping[str, Selection]:
        """Signal -> the tokens that its branch scans on a grid of (h, w), for those that take part.

        causal: frames in which a signal is closed are left out, since whether it opens later is not known
            yet; else clips in which it is closed.
        """
        key = (size, causal)
        if key not in self._selections:
            self._selections[key] = {name: self._select(name, size, causal) for name in self.signals}
        return self._selections[key]

    def _select(self, signal: str, size: tuple[int, int], causal: bool) -> Selection:
        region, opened = to_grid(self.conditions.regions[signal], size), self.conditions.gates[signal] > 0
        return select(region, self.conditions.scanning, opened if causal else opened.any(1, keepdim=True))

    def state(self, site: int, signal: str) -> ScanState | None:
        """What a branch starts from; None where the clip, or the signal in it, begins."""
        return None if self.states is None else self.states.get((site, signal))

    def hand_on(self, site: int, signal: str, state: ScanState | None) -> None:
        """Let the next pass start from a branch's state behind this one's last frame."""
        if self.next_states is not None and state is not None:
            self.next_states[site, signal] = state

    def tokens(self, signal: str) -> Tensor:
        """A signal's tokens (b, f, n, d), zeros in frames in which it is closed."""
        if signal not in self._tokens:
            opened = self.conditions.gates[signal][..., None, None] > 0
            self._tokens[signal] = torch.where(opened, self.conditions.tokens[signal], 0.0)
        return self._tokens[signal]

    def tokens_over_time(self, signal: str) -> Tensor:
        """A signal's tokens (b, n, d), the mean over the frames in which it is open."""
        opened = (self.conditions.gates[signal] > 0).sum(1).clamp(min=1)
        return self.tokens(signal).sum(1) / opened[:, None, None]

    def mask(self, signal: str, count: int) -> Tensor:
        """A signal's region on the level of so many tokens, (b, f, t), about [0, 1]: bicubic overshoots."""
        if (signal, count) not in self._masks:
            region = self.conditions.regions[signal]
            grid = to_grid_bicubic(region.flatten(0, 1)[:, None], count)[:, 0]
            self._masks[signal, count] = grid.unflatten(0, region.shape[:2])
        return self._masks[signal, count]
