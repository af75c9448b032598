"""From files and arrays to a clip's conditions: all inputs are checked, read and brought together here.

Letters: f frames, H W picture size, n tokens a frame, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..codecs.codec import VIEWS
from ..control.conditions import Conditions
from ..control.gates import Gates
from ..errors import InputError, one_of
from ..media.sound import Sound
from ..regions.regions import is_region, mask_of, read_mask, region_for
from ..signals.feed import Feed, SignalContext, SignalInput
from ..signals.objects import PictureInput, as_picture
from ..signals.signal import SIGNALS, check_driven
from ..timeline import frame_count
from .model.model import TalkingHeadModel
from .options import RunOptions
from .portrait import Portrait, read_portrait


@dataclass
class ClipInputs:
    """All inputs of a clip, at the video's frame times; `conditions` makes those of one window.

    fps: exact rate of the generated frames, and frames their number.
    gates: gates of all signals of the table.
    regions: signal -> region's name or path of a mask, where the caller has chosen one.
    feeds: signal -> its input, for the signals that the clip has.
    Raises: InputError for regions that lie outside the picture, and masks that cannot be read.
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
        """Signal -> (H, W) in [0, 1], the mask that the caller has drawn for it."""
        self.masks()  # raises for a wrong region before the work begins
        self.device = self.model.device
        bound = self.portrait.bound
        self.head = self._pixels(self.portrait.head)
        self.reference = None if bound.reference is None else bound.reference.to(self.head)
        self.pixels = self._pixels(bound.picture) if self.reference is None else self.head

    def _pixels(self, picture: np.ndarray) -> Tensor:
        """A picture (h, w, 3) uint8 as the network takes it, (1, 3, h, w) in [-1, 1]."""
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
        return (image.to(self.device).float() / 127.5 - 1).to(self.model.network.dtype)

    @property
    def sound(self) -> Sound | None:
        """The sound that is written beside the frames, or None."""
        return next((feed.sound for feed in self.feeds.values() if feed.sound is not None), None)

    @property
    def mono(self) -> np.ndarray | None:
        """The same sound as one channel at 16 kHz, (n,)."""
        return next((feed.mono for feed in self.feeds.values() if feed.mono is not None), None)

    def opened(self) -> list[str]:
        """Signals of the clip whose gate is open at some time."""
        return [s for s in self.signals if (self.gates.values(s, self.frames, self.fps) > 0).any()]

    def facts(self) -> list[str]:
        """Lines about the inputs that decide the result; the plan shows them."""
        return [*self.portrait.bound.facts, *(fact for feed in self.feeds.values() for fact in feed.facts)]

    def record(self) -> dict[str, object]:
        """The signals' entries of the sidecar, which come beside the settings."""
        return {name: value for feed in self.feeds.values() for name, value in feed.record().items()}

    def choices(self) -> dict[str, str | Path]:
        """Signal -> its region, or the path of its mask: the caller's choice, else the paper's rule."""
        opened = self.opened()
        return {s: region_for(s, SIGNALS[s].region, opened == [s], self.regions.get(s)) for s in self.signals}

    def masks(self) -> dict[str, Tensor]:
        """Signal -> mask (H, W) in [0, 1] of where it acts.

        Raises: InputError for a region that lies outside the picture.
        """
        out = {}
        for signal, choice in self.choices().items():
            regions = self.portrait.masks
            out[signal] = self.drawn[signal] if isinstance(choice, Path) else mask_of(choice, regions, signal)
            if out[signal].max() < 0.5:
                of_heads = self.model.codec.moves
                where = "face" if of_heads else "square that is animated"
                other = "" if of_heads else ", or --crop face"
                raise InputError(
                    f"region {signal}={choice}: lies outside the {where}; choose another region{other}"
                )
        return out

    def _drawn(self, signal: str, choice: str | Path) -> Tensor:
        """The mask (H, W) of a mask picture, which is drawn over the portrait's file as it is."""
        portrait = self.portrait
        size = portrait.image.shape[:2] if portrait.turns % 2 == 0 else portrait.image.shape[1::-1]
        mask = read_mask(region_for(signal, SIGNALS[signal].region, False, choice), size)
        return portrait.bound.carried(np.rot90(mask, portrait.turns))

    def conditions(self, start: int, stop: int) -> Conditions:
        """Conditions of video frames start to stop, a batch of one."""
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
            regions=regions,
            masks=masks,
            gates=gates,
            micro=self.model.micro_conditions(1),
            head=self.head,
            reference=self.reference,
        )

    def gate(self, signal: str, start: int, f: int) -> np.ndarray:
        """A signal's gate at frames start .. start + f, (f,): 0 too where its input does not show it."""
        gate = self.gates.values(signal, f, self.fps, start)
        shown = self.feeds[signal].shown(start, f)
        return gate if shown is None else gate * shown


@torch.no_grad()
def gather(
    model: TalkingHeadModel,
    portrait: PictureInput,
    values: Mapping[str, object],
    options: RunOptions | None = None,
) -> ClipInputs:
    """Read every input, and bring it to the video's frame times; slow inputs are read when they are needed.

    Args:
        portrait: see `objects.as_picture`.
        values: signal -> its input, or None.
        options: how the clip is made. Without a duration the clip is as long as the first of its signals, in
            the order of the table.
    Raises: InputError for inputs that cannot be used, before any long work.
    """
    options = options or RunOptions()
    view = None if options.view is None else one_of(options.view, VIEWS, "view")
    values = {name: values[name] for name in SIGNALS if values.get(name) is not None}
    _check(model, values, options)
    face_model = None if options.face_model is None else Path(options.face_model)
    face = read_portrait(
        as_picture(portrait),
        model.config.size,
        crop=options.crop,
        face_model=face_model,
        face_index=options.face_index,
        codec=model.codec,
        view=view,
        limit=options.limit,
    )
    contexts = {
        name: SignalContext(
            encoder=model.encoders[name],
            device=model.device,
            dtype=model.network.dtype,
            fps=options.rate,
            face_model=face_model,
            phrases=model.config.phrases,
            liveliness=float(options.liveliness),
            seed=int(options.seed),
        )
        for name in model.signals
    }
    inputs, seconds = _opened(values, contexts, options)
    frames = frame_count(seconds, options.rate)
    return ClipInputs(
        model=model,
        portrait=face,
        fps=options.rate,
        frames=frames,
        gates=Gates({**dict.fromkeys(SIGNALS, 1.0), **options.opening.pieces}),
        regions=options.acting,
        feeds=_feeds(inputs, contexts, frames),
    )


def _check(model: TalkingHeadModel, values: Mapping[str, object], options: RunOptions) -> None:
    """Raise InputError for signals and options that do not go with the model, before anything is read."""
    check_driven(values)
    fps, seconds = options.rate, options.seconds
    if seconds is not None and seconds * fps < Fraction(1, 2):
        raise InputError(
            f"duration {float(seconds):g} s: is less than a frame; give {float(1 / fps):.2g} s or more"
        )
    for name in values:
        if name not in model.encoders:
            taken = ", ".join(model.signals)
            raise InputError(f"--{name}: this model takes none; it takes {taken}")
    for name in options.opening.pieces:
        one_of(name, SIGNALS, "signal in gates")


def _opened(
    values: Mapping[str, object], contexts: Mapping[str, SignalContext], options: RunOptions
) -> tuple[dict[str, SignalInput], Fraction]:
    """The signals' inputs, opened in the order of the table, and the clip's length in seconds.

    Raises: InputError for inputs that cannot be used, and for the start of a signal without an input.
    """
    inputs: dict[str, SignalInput] = {}
    seconds = options.seconds
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
    return inputs, seconds


def _feeds(
    inputs: Mapping[str, SignalInput], contexts: Mapping[str, SignalContext], frames: int
) -> dict[str, Feed]:
    """The feeds of a clip in the order of the table: those of its inputs, and of signals that need none."""
    feeds = {name: opened.feed(frames) for name, opened in inputs.items()}
    for name, context in contexts.items():
        idle = SIGNALS[name].idle
        feed = None if idle is None or name in feeds else idle.load()(context, frames, feeds)
        if feed is not None:
            feeds[name] = feed
    return {name: feeds[name] for name in SIGNALS if name in feeds}
