"""The script of one clip: open it, and encode it. Letters: f frames, n tokens a frame, d width."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, kind_of
from ..timeline import frame_count
from .feed import Feed, SignalContext
from .script import Script, parse_script
from .text import TextEncoder

log = logging.getLogger("actalker")
MOST_PHRASES = 200  # of a script, since every window reads all of them


def open_text(value: str | Path | Script, context: SignalContext, start: Fraction) -> ScriptInput:
    """Open a script, and check it against the clip's length, if that is known.

    Phrases that the model has not learnt are logged.

    Raises: InputError for what is no script, for one that ends after the clip, for one without phases where
        nothing else sets the clip's length, and for too many phrases.
    """
    if not isinstance(value, (str, Path, Script)):
        raise InputError(f"text: is {kind_of(value)}; give a script, or a YAML file's path")
    seconds, fps = context.seconds, context.fps
    # whole frames may end a little after the sound or before it; a phase may last as long as either
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
    """An opened script; a `SignalInput`."""

    def __init__(self, script: Script, context: SignalContext) -> None:
        """Keep the script."""
        self.script, self.context = script, context

    @property
    def seconds(self) -> Fraction:
        """End of the last phase."""
        return max(phase.stop for phase in self.script.phases)

    def feed(self, frames: int) -> ScriptFeed:
        """Return the script in a clip of so many frames."""
        return ScriptFeed(self.script, self.context)


class ScriptFeed(Feed):
    """The script of a clip as tokens."""

    def __init__(self, script: Script, context: SignalContext) -> None:
        """Keep the script."""
        self.script, self.context, self.phases = script, context, script.phases

    def tokens(self, start: int, f: int) -> Tensor:
        """Return the tokens (1, f, n, d) of frames start .. start + f - 1."""
        text = TextEncoder.tokenize(self.script, self.context.fps, f, start)
        # timing stays float32: in half precision seconds are too coarse
        phrases, timing = (torch.from_numpy(a)[None].to(self.context.device) for a in text)
        tokens: Tensor = self.context.encoder(phrases, timing)
        return tokens

    def record(self) -> dict[str, object]:
        """Return the script as text, for the sidecar."""
        return {"script": str(self.script)}
