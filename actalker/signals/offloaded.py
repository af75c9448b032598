"""Load offloaded weights (accelerate) for code that reads them without calling their module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn


@contextmanager
def weights_here(module: nn.Module) -> Iterator[None]:
    """Have all weights of a module on its device inside the context."""
    with ExitStack() as stack:
        if any(hasattr(part, "_hf_hook") for part in module.modules()):
            from accelerate.utils import align_module_device

            for part in module.modules():
                stack.enter_context(align_module_device(part))
        yield
