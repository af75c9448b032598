"""Multi-signal, controllable talking-head video: a portrait and any mix of speech, motion and script."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "InputError": "errors",
    "Gates": "control",
    "TalkingHeadPipeline": "pipeline",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import actalker` stays cheap."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module 'actalker' has no attribute '{name}'")
