"""A script of one clip: phrases on the frames where they hold. Letters: f frames."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, kind_of
from ..timeline import frame_count
from .feed import Feed, SignalContext
from .script import Script, parse_script
from .text import TextEncoder

log = logging.getLogger("actalker")
MOST_PHRASES = 200  # of a script: every window reads all of them


def open_text(value: str | Path | Script, context: SignalContext, start: Fraction) -> ScriptInput:
    """The script, checked against the clip's length; it sets the length where nothing else does.

    Raises: InputError for what is no script, one that ends after the clip, one without phases in a clip
    without a length, and too many phrases. Phrases that the model was not taught are logged.
    """
    if not isinstance(value, (str, Path, Script)):
        raise InputError(f"text: is {kind_of(value)}; give a script, or a YAML file's path")
    seconds, fps = context.seconds, context.fps
    # whole frames may end a little before the sound does, and a phase may last as long as either
    length = None if seconds is None else max(seconds, frame_count(seconds, fps) / fps)
    script = value if isinstance(value, Script) else parse_script(value, duration=length)
    if length is None and not script.phases:
        raise InputError("the script has no phases, so the clip has no length; give --duration SECONDS")
    if length is not None:
        script.check(length)
    if len(script.steps) > MOST_PHRASES:
        raise InputError(f"the script has {len(script.steps)} phrases; give {MOST_PHRASES} at most")
    for line in script.unknown(context.phrases):
        log.warning(line)
    return ScriptInput(script, context)


class ScriptInput:
    """A script that is opened."""

    def __init__(self, script: Script, context: SignalContext) -> None:
        self.script, self.context = script, context

    @property
    def seconds(self) -> Fraction:
        """The end of its last phase."""
        return max(phase.stop for phase in self.script.phases)

    def feed(self, frames: int) -> ScriptFeed:
        """The script in a clip of so many frames."""
        return ScriptFeed(self.script, self.context)


class ScriptFeed(Feed):
    """A script as tokens."""

    def __init__(self, script: Script, context: SignalContext) -> None:
        self.script, self.context, self.phases = script, context, script.phases

    def tokens(self, start: int, f: int) -> Tensor:
        """Tokens (1, f, n, d) of frames start .. start + f."""
        text = TextEncoder.tokenize(self.script, self.context.fps, f, start)
        # seconds stay float32: moments count
        phrases, timing = (torch.from_numpy(a)[None].to(self.context.device) for a in text)
        tokens: Tensor = self.context.encoder(phrases, timing)
        return tokens

    def record(self) -> dict[str, Any]:
        """The script as text."""
        return {"script": str(self.script)}
