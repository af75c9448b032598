"""What a scan keeps between its forward and its backward."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """The context that PyTorch hands from a forward to its backward, and what scans keep in it."""

    needs_input_grad: tuple[bool, ...]
    softplus: bool
    reverse: bool
    results: int

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What was saved, in order; None in the place of a tensor that is absent."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for the backward."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Mark results of the operation that have no gradient, as PyTorch's own context does."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that are absent come as zeros, not as None."""
