"""What a backbone is to the rest: a network from scaled noisy latents to a raw estimate.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..control.conditions import Conditions
from ..control.pass_ import States


class Estimate(NamedTuple):
    """A network's raw output, (b, f, c, h, w), and the states of its scans behind the last frame, None unless
    the pass was given states to go on from."""

    output: Tensor
    states: States | None = None

    @property
    def sample(self) -> Tensor:
        """The raw output, as diffusers' networks call it."""
        return self.output


class Network(Protocol):
    """F(c_in·x; c_noise, conditions) of Karras et al. 2022, eq. 7: a module by diffusers' conventions.

    This is all that sampling, training and the memory plan ask of one; a new backbone needs no more.
    """

    def __call__(self, sample: Tensor, timestep: Tensor, conditions: Conditions) -> Estimate:
        """The raw output for scaled noisy latents (b, f, c, h, w) at c_noise (b,), under conditions of the
        same b."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and features."""
        ...

    @property
    def width(self) -> int:
        """Channels of the features on the finest grid, by which memory is estimated; 0 without features."""
        ...

    def blocks(self) -> list[nn.Module]:
        """The parts that hold nearly all weights, each used through its own forward: what is sharded."""
        ...

    def branches(self) -> list[nn.Module]:
        """The signals' branches (`control.branch.Branch`) in all layers."""
        ...

    def undivided(self) -> list[str]:
        """Names of classes of modules that read the weights inside them past their `forward`: where weights
        wait elsewhere, those of such a module come together."""
        ...

    def slice_layers(self) -> None:
        """Run feed-forward layers in pieces from here on: slower, in less memory."""
        ...

    def enable_gradient_checkpointing(self) -> None:
        """Recompute features in the backward pass instead of keeping them."""
        ...

    def enable_group_offload(self, onload_device: torch.device, **options: Any) -> None:
        """Let weights wait elsewhere in groups (diffusers)."""
        ...

    def compile(self) -> None:
        """Compile its forward (torch)."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """As `nn.Module.modules`; what else every module has is used too."""
        ...
