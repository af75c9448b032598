"""Files and arrays to a clip's conditions: the one place where raw inputs meet.

Letters: f frames, H W picture size, n tokens a frame, d width.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..control.conditions import Conditions
from ..control.gates import Gates
from ..errors import InputError, one_of
from ..heads.motion import HeadMotion
from ..media.sound import SHORTEST, Sound, read_sound
from ..regions.regions import is_region, mask_of, read_mask, region_for
from ..signals.audio import SpeechFeatures
from ..signals.script import Script, parse_script
from ..signals.signal import SIGNALS, check_driven
from ..signals.text import TextEncoder
from ..timeline import frame_count
from .driver import Driver
from .model import TalkingHeadModel
from .performance import liven, moves_of_itself, open_performance, perform
from .portrait import Portrait, read_portrait

log = logging.getLogger("actalker")
MOST_PHRASES = 200  # of a script: every window reads all of them


@dataclass
class ClipInputs:
    """Everything a clip is made from, on the video's frame times; conditions are made a window at a time."""

    model: TalkingHeadModel
    portrait: Portrait
    fps: Fraction
    frames: int
    gates: Gates
    regions: Mapping[str, str | Path] = field(default_factory=dict)
    sound: Sound | None = None
    mono: np.ndarray | None = None
    expression: Driver | None = None
    script: Script | None = None
    audio_start: Fraction = Fraction(0)
    """Seconds of the sound's file that lie before the clip."""

    def __post_init__(self) -> None:
        self.signals = [
            name
            for name, value in (("audio", self.mono), ("expression", self.expression), ("text", self.script))
            if value is not None
        ]
        self.speech = None
        if self.mono is not None:
            source: SpeechFeatures = self.model.encoders["audio"].source  # type: ignore[assignment]
            self.speech = source.reader(self.mono, self.fps)
        self.drawn = {s: self._drawn(s, r) for s, r in self.regions.items() if not is_region(r)}
        """Signal -> (H, W), the mask that the caller has drawn for it."""
        self.masks()  # what is wrong with a region shows before the work
        self.device = self.model.device
        bound = self.portrait.bound
        self.head = self._pixels(self.portrait.head)
        self.reference = None if bound.reference is None else bound.reference.to(self.head)
        self.pixels = self._pixels(bound.picture) if self.reference is None else self.head

    def _pixels(self, picture: np.ndarray) -> Tensor:
        """(s, s, 3) uint8 to (1, 3, s, s) in [-1, 1], as the network takes it."""
        given = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
        return (given.to(self.device).float() / 127.5 - 1).to(self.model.network.dtype)

    def opened(self) -> list[str]:
        """Signals that are given, and open at some time of the clip."""
        return [s for s in self.signals if (self.gates.values(s, self.frames, self.fps) > 0).any()]

    def facts(self) -> list[str]:
        """What was found in the inputs and decides the result, a line each: the plan shows them."""
        sound = [f"sound from {float(self.audio_start):g} s of its file on"] if self.audio_start else []
        driver = [] if self.expression is None else list(self.expression.facts)
        return [*self.portrait.bound.facts, *sound, *driver]

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
        given = portrait.image.shape[:2] if portrait.turns % 2 == 0 else portrait.image.shape[1::-1]
        mask = read_mask(region_for(signal, SIGNALS[signal].region, False, choice), given)
        return portrait.bound.carried(np.rot90(mask, portrait.turns))  # drawn over what was given

    def conditions(self, start: int, stop: int) -> Conditions:
        """The conditions of frames start to stop, a batch of one."""
        f = stop - start
        tokens, gates = {}, {}
        for signal in self.signals:
            tokens[signal] = self._tokens(signal, start, f).to(self.pixels.dtype)
            gates[signal] = torch.from_numpy(self.gate(signal, start, f))[None].to(self.device)
        masks = {s: m.to(self.device)[None, None].expand(1, f, -1, -1) for s, m in self.masks().items()}
        places = {
            name: self.portrait.masks[name].to(self.device)[None, None].expand(1, f, -1, -1)
            for name in ("face", "mouth")
        }
        told = self.model.told(1)
        return self.model.conditions(
            self.pixels, tokens, masks, places, gates, told, self.head, self.reference
        )

    def _tokens(self, signal: str, start: int, f: int) -> Tensor:
        if signal == "audio":
            assert self.speech is not None
            return self.model.encoders["audio"](torch.from_numpy(self.speech(f, start))[None].to(self.pixels))
        if signal == "expression":
            assert self.expression is not None
            rows = torch.arange(start, start + f).clamp(max=len(self.expression) - 1)
            return self.expression.tokens[rows][None]
        assert self.script is not None
        text = TextEncoder.tokenize(self.script, self.fps, f, start)
        timing = torch.from_numpy(text.timing)[None].to(self.device)  # seconds stay float32: moments count
        return self.model.encoders["text"](torch.from_numpy(text.bytes)[None].to(self.device), timing)

    def gate(self, signal: str, start: int, f: int) -> np.ndarray:
        """How far a signal is open at frames start .. start + f, (f,).

        A driving video closes its gate where it shows no face, and where it ends (`Driver.shown`).
        """
        gate = self.gates.values(signal, f, self.fps, start)
        if signal == "expression" and self.expression is not None:
            gate = gate * self.expression.shown(start, f, self.frames, self.fps)
        return gate


@torch.no_grad()
def gather(
    model: TalkingHeadModel,
    portrait: str | Path | np.ndarray,
    audio: str | Path | Sound | None = None,
    expression: str | Path | HeadMotion | Iterable[np.ndarray] | None = None,
    text: str | Path | Script | None = None,
    gates: Gates | None = None,
    regions: Mapping[str, str | Path] | None = None,
    fps: Fraction = Fraction(25),
    duration: Fraction | None = None,
    crop: str = "face",
    face_model: Path | None = None,
    face_index: int | None = None,
    audio_start: Fraction = Fraction(0),
    expression_start: Fraction = Fraction(0),
    view: str | None = None,
    limit: int | None = None,
    liveliness: float = 0.0,
    seed: int = 0,
) -> ClipInputs:
    """Read every input and bring it to the video's frame times; a driving video's motion is read later.

    audio_start: seconds of the sound that are left out at its beginning, exact to the sample.
    Without `duration` the clip is as long as what is left of the speech, else as the driving video, else as
    the script.
    expression_start: seconds of the driving video that are left out at its beginning.
    view, limit: what is shown of the portrait, and how large (`codecs.Sitter`).
    liveliness: in [0, 1], of models of heads that learnt it: how much a face moves of itself where there is
    no driving video; seed: of that.
    Raises: InputError for inputs that cannot be used, before any long work.
    """
    asked = {"audio": audio, "expression": expression, "text": text}
    check_driven(name for name, value in asked.items() if value is not None)
    if duration is not None and duration * fps < Fraction(1, 2):
        raise InputError(
            f"duration {float(duration):g} s: is less than a frame; give {float(1 / fps):.2g} s or more"
        )
    for name, value in asked.items():
        if value is not None and name not in model.encoders:
            taken = ", ".join(signal for signal in SIGNALS if signal in model.encoders)
            raise InputError(f"--{name}: this model takes none; it takes {taken}")
    given = {} if gates is None else gates.pieces
    for name in given:
        one_of(name, SIGNALS, "signal in gates")
    face = read_portrait(portrait, model.config.size, crop, face_model, face_index, model.codec, view, limit)
    sound = _sound(audio, duration, audio_start)
    seconds = sound.duration if duration is None and sound is not None else duration
    film = None
    if expression is None and expression_start:
        raise InputError(
            f"expression start {float(expression_start):g} s: there is no driving video; give one, or none"
        )
    if expression is not None:
        longest = None if seconds is None else frame_count(seconds, fps)
        film = open_performance(model, expression, fps, longest, expression_start)
        seconds = film.frames / fps if seconds is None else seconds
    script = None if text is None else _script(text, fps, seconds)
    for line in [] if script is None else script.unknown(model.config.phrases):
        log.warning(line)
    if seconds is None:
        assert script is not None
        seconds = max(phase.stop for phase in script.phases)
    frames = frame_count(seconds, fps)
    mono = None if sound is None else sound.mono(16000)
    driver = None if film is None else perform(model, film, face_model)
    if film is None and liveliness and moves_of_itself(model):
        driver = liven(model, liveliness, seed, frames, fps, mono)
    return ClipInputs(
        model,
        face,
        fps,
        frames,
        Gates({**dict.fromkeys(SIGNALS, 1.0), **given}),
        regions or {},
        sound,
        mono,
        driver,
        script,
        audio_start,
    )


def _sound(audio: str | Path | Sound | None, duration: Fraction | None, start: Fraction) -> Sound | None:
    """The speech from `start` on, no longer than the clip."""
    if audio is None:
        if start:
            raise InputError(
                f"audio start {float(start):g} s: there is no sound; give audio, or leave it out"
            )
        return None
    longest = None if duration is None else max(duration, SHORTEST)
    if not isinstance(audio, Sound):
        return read_sound(audio, limit=longest, start=start)
    if start >= audio.duration > 0:
        ends = f"its sound ends at {float(audio.duration):.2f} s"
        raise InputError(f"{audio.name}: {ends}; start before that, not at {float(start):g} s")
    stop = audio.duration if longest is None else min(audio.duration, start + longest)
    heard = audio if (start, stop) == (0, audio.duration) else audio.cut(start, stop)
    heard.check()
    return heard


def _script(text: str | Path | Script, fps: Fraction, seconds: Fraction | None) -> Script:
    """The script, checked against a clip of so many seconds; None: the script tells how long the clip is."""
    # whole frames may end a little before the sound does, and a phase may last as long as either
    length = None if seconds is None else max(seconds, frame_count(seconds, fps) / fps)
    script = text if isinstance(text, Script) else parse_script(text, duration=length)
    if length is None and not script.phases:
        raise InputError("the script has no phases, so the clip has no length; give --duration SECONDS")
    if length is not None:
        script.check(length)
    if len(script.steps) > MOST_PHRASES:
        raise InputError(f"the script has {len(script.steps)} phrases; give {MOST_PHRASES} at most")
    return script
