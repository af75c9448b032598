"""Files and arrays to a clip's conditions: the one place where raw inputs meet.

Letters: f frames, H W picture size, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codecs.codec import VIEWS
from ..control.conditions import Conditions
from ..control.gates import Gates
from ..errors import InputError, one_of
from ..media.sound import Sound
from ..regions.regions import is_region, mask_of, read_mask, region_for
from ..signals.feed import Feed, SignalContext
from ..signals.objects import PictureInput, as_picture
from ..signals.signal import SIGNALS, check_driven
from ..timeline import frame_count
from .model.model import TalkingHeadModel
from .options import RunOptions
from .portrait import Portrait, read_portrait


@dataclass
class ClipInputs:
    """Everything a clip is made from, on the video's frame times; conditions are made a window at a time.

    feeds: the signals that the clip has. gates: of all signals of the table.
    """

    model: TalkingHeadModel
    portrait: Portrait
    fps: Fraction
    frames: int
    gates: Gates
    regions: Mapping[str, str | Path] = field(default_factory=dict)
    feeds: Mapping[str, Feed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signals = list(self.feeds)
        self.drawn = {s: self._drawn(s, r) for s, r in self.regions.items() if not is_region(r)}
        """Signal -> (H, W), the mask that the caller has drawn for it."""
        self.masks()  # what is wrong with a region shows before the work
        self.device = self.model.device
        bound = self.portrait.bound
        self.head = self._pixels(self.portrait.head)
        self.reference = None if bound.reference is None else bound.reference.to(self.head)
        self.pixels = self._pixels(bound.picture) if self.reference is None else self.head

    def _pixels(self, picture: np.ndarray) -> Tensor:
        """(h, w, 3) uint8 to (1, 3, h, w) in [-1, 1], as the network takes it."""
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
        return (image.to(self.device).float() / 127.5 - 1).to(self.model.network.dtype)

    @property
    def sound(self) -> Sound | None:
        """What is heard beside the frames."""
        return next((feed.sound for feed in self.feeds.values() if feed.sound is not None), None)

    @property
    def mono(self) -> np.ndarray | None:
        """(n,) at 16 kHz, the same as one channel."""
        return next((feed.mono for feed in self.feeds.values() if feed.mono is not None), None)

    def opened(self) -> list[str]:
        """Signals that the clip has, and that are open at some time of it."""
        return [s for s in self.signals if (self.gates.values(s, self.frames, self.fps) > 0).any()]

    def facts(self) -> list[str]:
        """What was found in the inputs and decides the result, a line each: the plan shows them."""
        return [*self.portrait.bound.facts, *(fact for feed in self.feeds.values() for fact in feed.facts)]

    def record(self) -> dict[str, Any]:
        """What the sidecar says of the signals beside the settings."""
        return {name: value for feed in self.feeds.values() for name, value in feed.record().items()}

    def choices(self) -> dict[str, str | Path]:
        """Signal -> the region where it acts, or the mask picture: the caller's, else the paper's rule."""
        opened = self.opened()
        return {s: region_for(s, SIGNALS[s].region, opened == [s], self.regions.get(s)) for s in self.signals}

    def masks(self) -> dict[str, Tensor]:
        """Signal -> (H, W) where it acts."""
        out = {}
        for signal, choice in self.choices().items():
            known = self.portrait.masks
            out[signal] = self.drawn[signal] if isinstance(choice, Path) else mask_of(choice, known, signal)
            if out[signal].max() < 0.5:
                of_heads = self.model.codec.moves
                where = "face" if of_heads else "square that is animated"
                other = "" if of_heads else ", or --crop face"
                raise InputError(
                    f"region {signal}={choice}: lies outside the {where}; choose another region{other}"
                )
        return out

    def _drawn(self, signal: str, choice: str | Path) -> Tensor:
        portrait = self.portrait
        size = portrait.image.shape[:2] if portrait.turns % 2 == 0 else portrait.image.shape[1::-1]
        mask = read_mask(region_for(signal, SIGNALS[signal].region, False, choice), size)
        return portrait.bound.carried(np.rot90(mask, portrait.turns))  # drawn over the picture as it was

    def conditions(self, start: int, stop: int) -> Conditions:
        """The conditions of frames start to stop, a batch of one."""
        f = stop - start
        tokens, gates = {}, {}
        for signal, feed in self.feeds.items():
            tokens[signal] = feed.tokens(start, f).to(self.pixels.dtype)
            gates[signal] = torch.from_numpy(self.gate(signal, start, f))[None].to(self.device)
        regions = {s: m.to(self.device)[None, None].expand(1, f, -1, -1) for s, m in self.masks().items()}
        masks = {
            name: self.portrait.masks[name].to(self.device)[None, None].expand(1, f, -1, -1)
            for name in ("face", "mouth")
        }
        return self.model.conditions(
            self.pixels,
            tokens,
            regions,
            masks,
            gates,
            self.model.told(1),
            self.head,
            self.reference,
        )

    def gate(self, signal: str, start: int, f: int) -> np.ndarray:
        """How far a signal is open at frames start .. start + f, (f,), where its input holds it."""
        gate = self.gates.values(signal, f, self.fps, start)
        shown = self.feeds[signal].shown(start, f)
        return gate if shown is None else gate * shown


@torch.no_grad()
def gather(
    model: TalkingHeadModel,
    portrait: PictureInput,
    values: Mapping[str, Any],
    options: RunOptions | None = None,
) -> ClipInputs:
    """Read every input and bring it to the video's frame times; what takes long is read later.

    values: signal -> its input. Without a duration the clip is as long as the first signal of the table that
    is given.
    Raises: InputError for inputs that cannot be used, before any long work.
    """
    options = options or RunOptions()
    fps, seconds = options.rate, options.seconds
    view = None if options.view is None else one_of(options.view, VIEWS, "view")
    values = {name: values[name] for name in SIGNALS if values.get(name) is not None}
    check_driven(values)
    if seconds is not None and seconds * fps < Fraction(1, 2):
        raise InputError(
            f"duration {float(seconds):g} s: is less than a frame; give {float(1 / fps):.2g} s or more"
        )
    for name in values:
        if name not in model.encoders:
            taken = ", ".join(model.signals)
            raise InputError(f"--{name}: this model takes none; it takes {taken}")
    gates = options.opening.pieces
    for name in gates:
        one_of(name, SIGNALS, "signal in gates")
    face_model = None if options.face_model is None else Path(options.face_model)
    face = read_portrait(
        as_picture(portrait),
        model.config.size,
        options.crop,
        face_model,
        options.face_index,
        model.codec,
        view,
        options.limit,
    )
    contexts = {
        name: SignalContext(
            encoder=model.encoders[name],
            device=model.device,
            dtype=model.network.dtype,
            fps=fps,
            face_model=face_model,
            phrases=model.config.phrases,
            liveliness=float(options.liveliness),
            seed=int(options.seed),
        )
        for name in model.signals
    }
    inputs = {}
    for name, signal in SIGNALS.items():
        start = options.start(name)
        if name in values:
            context = replace(contexts[name], seconds=seconds)
            inputs[name] = signal.open.load()(values[name], context, start)
            seconds = inputs[name].seconds if seconds is None else seconds
        elif start:
            raise InputError(
                f"{name} start {float(start):g} s: there is no {signal.input}; give {name}, or leave it out"
            )
    assert seconds is not None
    frames = frame_count(seconds, fps)
    feeds: dict[str, Feed] = {name: opened.feed(frames) for name, opened in inputs.items()}
    for name, context in contexts.items():
        idle = SIGNALS[name].idle
        feed = None if idle is None or name in feeds else idle.load()(context, frames, feeds)
        if feed is not None:
            feeds[name] = feed
    feeds = {name: feeds[name] for name in SIGNALS if name in feeds}
    opening = Gates({**dict.fromkeys(SIGNALS, 1.0), **gates})
    return ClipInputs(model, face, fps, frames, opening, options.acting, feeds)
