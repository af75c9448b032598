"""Multi-signal, controllable talking-head video: a portrait and any mix of speech, motion and script."""

from __future__ import annotations

from .extras import late

__version__ = "0.2.0"

_PUBLIC = {
    "InputError": "errors",
    "Gates": "control",
    "TalkingHeadPipeline": "pipeline",
}
__all__ = ["__version__", *_PUBLIC]
__getattr__ = late(__name__, _PUBLIC)  # so that `import actalker` stays cheap
