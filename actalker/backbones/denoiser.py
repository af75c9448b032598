"""The interface of a backbone: a network from scaled noisy latents to a raw estimate.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..control.conditions import Conditions
from ..control.pass_ import States


class Estimate(NamedTuple):
    """The result of one forward pass of a network.

    output: (b, f, c, h, w), the raw output F of Karras et al. 2022, eq. 7.
    states: the states of the scans after the last frame, for the pass over the next frames; None unless the
        pass got states itself.
    """

    output: Tensor
    states: States | None = None

    @property
    def sample(self) -> Tensor:
        """Return the raw output, under the name that diffusers' networks use."""
        return self.output


class Network(Protocol):
    """A denoising network, F(c_in x; c_noise, conditions) of Karras et al. 2022, eq. 7.

    Implementations are subclasses of `nn.Module` by diffusers' conventions. Beside the members of
    `nn.Module`, sampling, training and the memory plan use only those below, so a backbone needs no others.
    """

    def __call__(self, sample: Tensor, timestep: Tensor, conditions: Conditions) -> Estimate:
        """Compute the raw output for one batch.

        Args:
            sample: (b, f, c, h, w) scaled noisy latents, c_in x.
            timestep: (b,) noise levels as the network takes them, c_noise.
            conditions: of the same b and f.
        """
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the weights and the features."""
        ...

    @property
    def width(self) -> int:
        """Return the number of channels on the finest grid, for the memory estimate; 0 without features."""
        ...

    def blocks(self) -> list[nn.Module]:
        """Return the modules to shard: they hold nearly all weights, and each runs through its `forward`."""
        ...

    def branches(self) -> list[nn.Module]:
        """Return the signals' branches (`control.branch.Branch`) of all layers."""
        ...

    def undivided(self) -> list[str]:
        """Return names of module classes that read weights of their submodules without calling them.

        Where weights are offloaded or sharded, those of such a module are moved as one.
        """
        ...

    def slice_layers(self) -> None:
        """Run feed-forward layers in pieces from now on, which is slower and takes less memory."""
        ...

    def enable_gradient_checkpointing(self) -> None:
        """Recompute features in the backward pass instead of keeping them."""
        ...

    def enable_group_offload(self, onload_device: torch.device, **options: object) -> None:
        """Keep weights off the device, and load them group by group; options as in diffusers."""
        ...

    def compile(self) -> None:
        """Compile the forward pass, as `nn.Module.compile` does."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """Return all submodules, as `nn.Module.modules` does; listed here for type checking."""
        ...
