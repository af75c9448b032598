"""Quick start of the program: modules that no clip uses are not imported."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

ABSENT = ("peft", "transformers", "torch._dynamo")  # diffusers does without where they are not installed
EMPTY = ("scipy.stats",)  # diffusers imports it and uses it in schedulers alone


class Process:
    """Hold a flag of this process.

    whole: true where the process runs the program `actalker` only; false where other code imports the
        package, or calls the command line as a function.
    """

    whole = False


def import_quickly(module: str) -> None:
    """Import a module of this package that imports diffusers, in about half of the CPU time.

    diffusers imports LoRA adapters, text encoders and torch's compiler together with its networks. Here it
    does so as if they were not installed; afterwards they can be imported as usual. A process that compiles
    should not call this: diffusers' blocks are then unknown to the compiler. Unless `Process.whole` is
    set, it does nothing.
    """
    if Process.whole and "diffusers" not in sys.modules:
        with _without_collecting(), _without_what_no_clip_uses():
            importlib.import_module(module)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Pause garbage collection inside this context; afterwards exempt all objects that exist by then.

    They are mostly modules, which stay to the end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)
        gc.enable()


@contextmanager
def _without_what_no_clip_uses() -> Iterator[None]:
    import torch

    hidden = [name for name in (*ABSENT, *EMPTY) if name not in sys.modules]
    for name in hidden:
        # None is how Python marks a module that cannot be imported
        sys.modules[name] = ModuleType(name) if name in EMPTY else None  # type: ignore[assignment]
    disable = torch.compiler.disable
    torch.compiler.disable = _as_it_is
    try:
        yield
    finally:
        torch.compiler.disable = disable
        for name in hidden:
            sys.modules.pop(name, None)


def _as_it_is(fn: Callable[..., object] | None = None, *_: object, **__: object) -> Callable[..., object]:
    """Return a function unchanged, in place of `torch.compiler.disable`, which would import the compiler."""
    return _as_it_is if fn is None else fn
