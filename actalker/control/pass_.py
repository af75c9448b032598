"""One forward pass of a network: its conditions, and what the layers derive from them.

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
"""(site, signal) -> the state of that layer's branch after the last frame of a pass."""


class Pass:
    """The conditions of one forward pass, and what layers derive from them, computed once for each grid.

    conditions: in the dtype of the network's features.
    signals: names of the signals whose branches run: the open ones, or all where `Scanning.idle` is set.
    next_states: the states to start the next frames' pass from, complete when this pass is done; None for a
        pass over a whole clip.
    """

    def __init__(
        self, conditions: Conditions, identity: Tensor | None = None, states: States | None = None
    ) -> None:
        """Begin a pass.

        Args:
            conditions: of the frames of this pass.
            identity: (b, f, m, d) identity tokens of each frame; None takes the conditions' for every frame.
            states: `next_states` of the pass over the previous frames, {} at the beginning of a clip;
                None for frames that are a whole clip. Where branches scan forward alone,
                passes window by window give the result of one pass over the whole clip.
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
        """Number of frames of each clip, f."""
        return self.conditions.length

    @cached_property
    def identity(self) -> Tensor:
        """Identity tokens at each frame, (b, f, m, d)."""
        if self._identity is not None:
            return self._identity
        return self.conditions.identity[:, None].expand(-1, self.frames, -1, -1)

    def selections(self, size: tuple[int, int], causal: bool = False) -> Mapping[str, Selection]:
        """Select the tokens that each signal's branch scans on a grid of (h, w); signal -> selection.

        causal: leave out each frame in which the signal is closed, since a causal branch cannot know whether
            it opens later; else only clips in which it is closed throughout are left out.
        """
        key = (size, causal)
        if key not in self._selections:
            self._selections[key] = {name: self._select(name, size, causal) for name in self.signals}
        return self._selections[key]

    def _select(self, signal: str, size: tuple[int, int], causal: bool) -> Selection:
        region, opened = to_grid(self.conditions.regions[signal], size), self.conditions.gates[signal] > 0
        return select(region, self.conditions.scanning, opened if causal else opened.any(1, keepdim=True))

    def state(self, site: int, signal: str) -> ScanState | None:
        """Return the state that a branch starts from; None where the clip, or the signal in it, begins."""
        return None if self.states is None else self.states.get((site, signal))

    def hand_on(self, site: int, signal: str, state: ScanState | None) -> None:
        """Keep a branch's state after the last frame for the next pass, where there is to be one."""
        if self.next_states is not None and state is not None:
            self.next_states[site, signal] = state

    def tokens(self, signal: str) -> Tensor:
        """Return a signal's tokens (b, f, n, d), with zeros at frames where it is closed."""
        if signal not in self._tokens:
            opened = self.conditions.gates[signal][..., None, None] > 0
            self._tokens[signal] = torch.where(opened, self.conditions.tokens[signal], 0.0)
        return self._tokens[signal]

    def tokens_over_time(self, signal: str) -> Tensor:
        """Return the mean (b, n, d) of a signal's tokens over the frames where it is open."""
        opened = (self.conditions.gates[signal] > 0).sum(1).clamp(min=1)
        return self.tokens(signal).sum(1) / opened[:, None, None]

    def mask(self, signal: str, count: int) -> Tensor:
        """Return a signal's region on the grid of `count` tokens, (b, f, t).

        Bicubic, as in the release, so values may lie a little outside [0, 1].
        """
        if (signal, count) not in self._masks:
            region = self.conditions.regions[signal]
            grid = to_grid_bicubic(region.flatten(0, 1)[:, None], count)[:, 0]
            self._masks[signal, count] = grid.unflatten(0, region.shape[:2])
        return self._masks[signal, count]
