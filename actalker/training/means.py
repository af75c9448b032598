"""What a step logs: means over the batches that it is made of and the processes that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# all that a step can know; which of it a batch tells depends on what was drawn
LOGGED = (
    *("loss", "mouth", "upper", "rest", "numbers", "opening", "tokens", "leak"),
    *("loss_low", "loss_middle", "loss_high"),
    *("articulators", "closures", "phones"),
)


class StepMeans:
    """Collects the values of the batches of a step until the step is over."""

    def __init__(self) -> None:
        self._held: dict[str, list[Tensor]] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the values of one batch, by the names in `LOGGED`."""
        for name, value in values.items():
            self._held.setdefault(name, []).append(value.detach().float())

    def settle(self, device: torch.device, total: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The means since the last call; the next step starts.

        total: sums a tensor over processes; all of them call it.
        """
        both = torch.zeros(2, len(LOGGED), device=device)  # sums and numbers
        for name, values in self._held.items():
            at = LOGGED.index(name)
            both[0, at], both[1, at] = torch.stack(values).sum(), len(values)
        self._held = {}
        sums, counts = total(both)
        return {name: sums[k] / counts[k] for k, name in enumerate(LOGGED) if counts[k] > 0}
