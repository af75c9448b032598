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
from ..faces.crop import Crop, canonical_crop
from ..faces.face import Face
from ..faces.find import find_upright
from ..faces.upright import LIES
from ..media.image import read_image
from ..media.sound import SHORTEST, Sound, read_sound
from ..regions.regions import is_region, mask_of, read_mask, region_for
from ..regions.shapes import REGIONS, SOFT_REGIONS
from ..signals.audio import SpeechFeatures
from ..signals.script import Script, parse_script
from ..signals.signal import SIGNALS, check_driven
from ..signals.text import TextEncoder
from ..timeline import frame_count
from .driver import Driver, checked_picture, drive, open_film
from .model import TalkingHeadModel

log = logging.getLogger("actalker")
MOST_PHRASES = 200  # of a script: every window reads all of them


@dataclass
class Portrait:
    """A portrait as the model sees it. picture: (s, s, 3) uint8; masks: name -> (s, s) in [0, 1],
    soft ones where the face's landmarks are known.

    head: its face in the canonical square, as `picture`: who it is. image: the given one, set upright by
    `turns` quarter turns counter-clockwise. crop: the square of it that the model sees. finder: who found
    the face.
    """

    picture: np.ndarray
    head: np.ndarray
    masks: dict[str, Tensor]
    image: np.ndarray
    crop: Crop
    face: Face
    finder: str
    turns: int

    def place(self) -> str:
        """In words, which square of the picture the model sees, and who found the face in it."""
        h, w = self.image.shape[:2]
        square, side = self.crop, round(self.crop.side)
        x0, y0 = max(0.0, square.x), max(0.0, square.y)
        x1, y1 = min(float(w), square.x + square.side), min(float(h), square.y + square.side)
        beyond = 1 - max(0.0, x1 - x0) * max(0.0, y1 - y0) / square.side**2
        return (
            f"found by the {self.finder}; the model sees {side} x {side} pixels from ({round(square.x)}, "
            f"{round(square.y)}) of {w} x {h}"
            + (f", {beyond:.0%} of them beyond the picture" if beyond >= 0.005 else "")
            + (f"; the picture was turned {LIES[self.turns][1]}" if self.turns else "")
        )


def read_portrait(
    source: str | Path | np.ndarray,
    size: int,
    crop: str = "face",
    face_model: Path | None = None,
    face_index: int | None = None,
) -> Portrait:
    """Read a portrait, find its face, cut the model's square around it, mark its regions.

    Args:
        source: a file or an RGB array (h, w, 3) uint8.
        size: side of the model's picture.
        crop: `face` cuts the canonical square; `none` takes the largest centred square as it is.
        face_index: which face, largest first, when there are several.
    Raises: InputError for unreadable pictures and pictures without a face.
    """
    image = checked_picture(source, "portrait") if isinstance(source, np.ndarray) else read_image(source)
    name = "portrait" if isinstance(source, np.ndarray) else str(source)
    found = find_upright(image, face_model, face_index, name)
    image, face = found.image, found.face
    square = head = canonical_crop(face)
    if crop == "none":
        side = min(image.shape[:2])
        square = Crop((image.shape[1] - side) / 2, (image.shape[0] - side) / 2, side)
    picture = square.apply(image, size)
    points = face.points().moved(square, size)
    shapes = {**REGIONS, **(SOFT_REGIONS if points.contours else {})}
    masks = {region: shape([points], (size, size)) for region, shape in shapes.items()}
    return Portrait(picture, head.apply(image, size), masks, image, square, face, found.finder, found.turns)


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
        source: SpeechFeatures = self.model.encoders["audio"].source  # type: ignore[assignment]
        self.speech = None if self.mono is None else source.reader(self.mono, self.fps)
        self.drawn = {s: self._drawn(s, r) for s, r in self.regions.items() if not is_region(r)}
        """Signal -> (H, W), the mask that the caller has drawn for it."""
        self.masks()  # what is wrong with a region shows before the work
        self.device = self.model.device
        self.pixels = self._pixels(self.portrait.picture)
        self.head = self._pixels(self.portrait.head)

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
        return sound + ([] if self.expression is None else list(self.expression.facts))

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
                raise InputError(
                    f"region {signal}={choice}: lies outside the square that is animated; choose another "
                    "region, or --crop face"
                )
        return out

    def _drawn(self, signal: str, choice: str | Path) -> Tensor:
        portrait = self.portrait
        given = portrait.image.shape[:2] if portrait.turns % 2 == 0 else portrait.image.shape[1::-1]
        mask = read_mask(region_for(signal, SIGNALS[signal].region, False, choice), given)
        grey = np.rot90((mask * 255).round().astype(np.uint8), portrait.turns)  # drawn over what was given
        cut = portrait.crop.apply(np.repeat(grey[..., None], 3, axis=2), self.model.config.size)
        return torch.as_tensor(cut[..., 0].astype(np.float32) / 255)

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
        return self.model.conditions(self.pixels, tokens, masks, places, gates, self.model.told(1), self.head)

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
    expression: str | Path | Iterable[np.ndarray] | None = None,
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
) -> ClipInputs:
    """Read every input and bring it to the video's frame times; a driving video's motion is read later.

    audio_start: seconds of the sound that are left out at its beginning, exact to the sample.
    Without `duration` the clip is as long as what is left of the speech, else as the driving video, else as
    the script.
    expression_start: seconds of the driving video that are left out at its beginning.
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
    face = read_portrait(portrait, model.config.size, crop, face_model, face_index)
    sound = _sound(audio, duration, audio_start)
    seconds = sound.duration if duration is None and sound is not None else duration
    film = None
    if expression is None and expression_start:
        raise InputError(
            f"expression start {float(expression_start):g} s: there is no driving video; give one, or none"
        )
    if expression is not None:
        limit = None if seconds is None else frame_count(seconds, fps)
        film = open_film(expression, fps, limit, expression_start)
        seconds = film.frames / fps if seconds is None else seconds
    script = None if text is None else _script(text, fps, seconds)
    for line in [] if script is None else script.unknown(model.config.phrases):
        log.warning(line)
    if seconds is None:
        assert script is not None
        seconds = max(phase.stop for phase in script.phases)
    return ClipInputs(
        model,
        face,
        fps,
        frame_count(seconds, fps),
        Gates({**dict.fromkeys(SIGNALS, 1.0), **given}),
        regions or {},
        sound,
        None if sound is None else sound.mono(16000),
        None if film is None else drive(model, film, face_model),
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
