"""The models that reports measure: their files, their signals, and the pipelines that run them."""

from __future__ import annotations

import json
from functools import lru_cache

from ..pipeline.model.find import find_model
from ..pipeline.model.folder import check_files
from ..pipeline.model.model import TalkingHeadModel
from ..pipeline.placement import pick_device
from ..pipeline.talking_head import TalkingHeadPipeline
from ..signals.encoders import NONE
from ..signals.signal import SIGNALS


def model_files(name: str) -> dict[str, str]:
    """Return file of a model -> its hash. Raises: InputError for models that cannot be used."""
    return check_files(find_model(name))


def settings_of(name: str) -> dict[str, object]:
    """Read a model's `config.json`, without loading the model."""
    return json.loads((find_model(name) / "config.json").read_text(encoding="utf-8"))


def signals_of(name: str) -> list[str]:
    """Return the signals that a model takes, in the order of `SIGNALS`."""
    settings = settings_of(name)
    encoders = {signal: settings.get(signal) or {} for signal in SIGNALS}
    return [s for s, encoder in encoders.items() if isinstance(encoder, dict) and encoder.get("kind") != NONE]


def pipeline_of(name: str, device: str = "auto") -> TalkingHeadPipeline:
    """Load a model's pipeline, without a progress bar.

    The two pipelines used last stay in memory, and are loaded again only when their files have changed.
    device: auto, cpu, cuda or mps.
    """
    return _loaded(name, str(pick_device(device)), tuple(sorted(model_files(name).items())))


def model_of(name: str) -> TalkingHeadModel:
    """Load a model on the CPU in float32, for numbers that do not depend on the machine."""
    return pipeline_of(name, "cpu").model


@lru_cache(maxsize=2)
def _loaded(name: str, device: str, files: tuple[tuple[str, str], ...]) -> TalkingHeadPipeline:
    pipeline = TalkingHeadPipeline.from_pretrained(name, device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
