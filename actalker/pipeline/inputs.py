"""Files and arrays to a clip's conditions: the one place where raw inputs meet.

Letters: f frames, H W picture size, n tokens a frame, d width.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..control.conditions import Conditions
from ..control.gates import Gates
from ..errors import InputError
from ..faces.crop import Crop, canonical_crop
from ..faces.face import Face
from ..faces.find import find_faces
from ..media.image import read_image
from ..media.sound import Sound, read_sound
from ..media.video import probe, read_frames
from ..regions.regions import read_mask, region_for
from ..regions.shapes import REGIONS
from ..signals.audio import AudioEncoder, loudness_reference
from ..signals.script import Script, parse_script
from ..signals.signal import SIGNALS
from ..signals.text import TextEncoder
from ..timeline import frame_count
from .model import TalkingHeadModel

log = logging.getLogger("actalker")
FADE = Fraction(2, 5)  # seconds in which a driving video that ends early lets go of the face
PROBES = 5             # frames of a driving video in which its face is looked for


@dataclass
class Portrait:
    """A portrait as the model sees it. picture: (s, s, 3) uint8; masks: name -> (s, s) in [0, 1]."""

    picture: np.ndarray
    masks: dict[str, Tensor]
    image: np.ndarray
    crop: Crop | None
    face: Face


def read_portrait(
    source: str | Path | np.ndarray,
    size: int,
    crop: str = "face",
    face_model: Path | None = None,
    face_index: int | None = None,
    soft: bool = False,
) -> Portrait:
    """Read a portrait, find its face, cut the model's square around it, mark its regions.

    Args:
        source: a file or an RGB array (h, w, 3) uint8.
        size: side of the model's picture.
        crop: `face` cuts the canonical square; `none` takes the largest centred square as it is.
        face_index: which face, largest first, when there are several.
    Raises: InputError for unreadable pictures and pictures without a face.
    """
    image = source if isinstance(source, np.ndarray) else read_image(Path(source))
    name = "portrait" if isinstance(source, np.ndarray) else str(source)
    face = find_faces(image, model=face_model, index=face_index, name=name)
    if crop == "face":
        square = canonical_crop(face)
    else:
        side = min(image.shape[:2])
        square = Crop((image.shape[1] - side) / 2, (image.shape[0] - side) / 2, side)
    picture = square.apply(image, size)
    points = face.points().moved(square, size)
    masks = {region: REGIONS[region]([points], (size, size)) for region in REGIONS}
    return Portrait(picture, masks, image, square, face)


def driving_crops(
    video: str | Path | Iterable[np.ndarray],
    fps: Fraction,
    size: int,
    limit: int | None,
    face_model: Path | None = None,
) -> Iterator[np.ndarray]:
    """Square crops (size, size, 3) uint8 of a driving video's face, frame by frame at `fps`.

    One crop serves the whole video, so that head motion stays in the picture.
    """
    if isinstance(video, (str, Path)):
        path = Path(video)
        length = probe(path).duration
        wanted = {frame_count(length * k / PROBES, fps) - 1 for k in range(PROBES)}
        looked = [frame for k, frame in enumerate(islice(read_frames(path, fps=fps), max(wanted) + 1)) if k in wanted]
        frames: Iterable[np.ndarray] = read_frames(path, fps=fps)
        name = str(path)
    else:
        kept = list(video)
        looked, frames, name = kept[:: max(1, len(kept) // PROBES)], kept, "driving video"
    squares = []
    for frame in looked:
        try:
            squares.append(canonical_crop(find_faces(frame, model=face_model, name=name)))
        except InputError:
            continue
    if not squares:
        raise InputError(f"{name}: no face found in {len(looked)} of its frames; give a video that shows one face")
    centre = np.median([(c.x, c.y, c.side) for c in squares], axis=0)
    square = Crop(*(float(v) for v in centre))
    for frame in islice(frames, limit):
        yield square.apply(frame, size)


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
    expression: Tensor | None = None
    """Tokens of the driving video, (k, n, d), k its own frames."""
    script: Script | None = None

    def __post_init__(self) -> None:
        self.signals = [
            name
            for name, value in (("audio", self.mono), ("expression", self.expression), ("text", self.script))
            if value is not None
        ]
        self.level = None if self.mono is None else loudness_reference(self.mono)
        self._still: dict[str, Tensor] | None = None
        device = next(self.model.network.parameters()).device
        self.device = device
        picture = torch.from_numpy(self.portrait.picture.copy()).permute(2, 0, 1)[None]
        self.pixels = (picture.to(device).float() / 127.5 - 1).to(self.model.network.dtype)

    def opened(self) -> list[str]:
        """Signals that are given and open at some time."""
        return [s for s in self.signals if s in self.gates.open_signals()]

    def masks(self) -> dict[str, Tensor]:
        """Signal -> (H, W) where it acts: the caller's choice, else the paper's rule."""
        size = self.model.config.size
        out = {}
        for signal in self.signals:
            choice = region_for(
                signal, SIGNALS[signal].region, self.opened() == [signal], self.regions.get(signal)
            )
            if isinstance(choice, Path):
                mask = read_mask(choice, self.portrait.image.shape[:2])
                if self.portrait.crop is not None:
                    grey = np.repeat((mask * 255).round().astype(np.uint8)[..., None], 3, axis=2)
                    mask = self.portrait.crop.apply(grey, size)[..., 0].astype(np.float32) / 255
                out[signal] = torch.as_tensor(mask)
            else:
                out[signal] = self.portrait.masks[choice]
        return out

    def conditions(self, start: int, stop: int) -> Conditions:
        """The conditions of frames start to stop, a batch of one."""
        f = stop - start
        tokens, gates = {}, {}
        for signal in self.signals:
            tokens[signal] = self._tokens(signal, start, f).to(self.pixels.dtype)
            gates[signal] = torch.from_numpy(self._gate(signal, start, f))[None].to(self.device)
        masks = {s: m.to(self.device)[None, None].expand(1, f, -1, -1) for s, m in self.masks().items()}
        places = {
            name: self.portrait.masks[name].to(self.device)[None, None].expand(1, f, -1, -1)
            for name in ("face", "mouth")
        }
        micro = torch.tensor([[float(self.model.config.fps), 0.0, 0.0]], device=self.device)
        return self.model.conditions(self.pixels, tokens, masks, places, gates, micro)

    def _tokens(self, signal: str, start: int, f: int) -> Tensor:
        if signal == "audio":
            assert self.mono is not None
            raw = AudioEncoder.features(self.mono, self.fps, f, start, reference=self.level)
            return self.model.encoders["audio"](torch.from_numpy(raw)[None].to(self.pixels))
        if signal == "expression":
            assert self.expression is not None
            rows = torch.arange(start, start + f).clamp(max=len(self.expression) - 1)
            return self.expression[rows][None]
        assert self.script is not None
        text = TextEncoder.tokenize(self.script, self.fps, f, start)
        timing = torch.from_numpy(text.timing)[None].to(self.pixels)
        return self.model.encoders["text"](torch.from_numpy(text.bytes)[None].to(self.device), timing)

    def _gate(self, signal: str, start: int, f: int) -> np.ndarray:
        gate = self.gates.values(signal, f, self.fps, start)
        if signal == "expression" and self.expression is not None and self.frames > len(self.expression):
            left = (len(self.expression) - np.arange(start, start + f)) / float(FADE * self.fps)
            gate = gate * np.clip(left, 0, 1).astype(np.float32)
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
) -> ClipInputs:
    """Read every input and bring it to the video's frame times.

    Without `duration` the clip is as long as the speech, else the driving video, else the script.
    Raises: InputError for inputs that cannot be used, before any long work.
    """
    if audio is None and expression is None and text is None:
        raise InputError("no driving signal: give at least one of --audio, --expression and --text")
    if duration is not None and duration <= 0:
        raise InputError(f"duration {float(duration):g} s: give more than 0 seconds")
    face = read_portrait(portrait, model.config.size, crop, face_model, face_index)
    sound = audio if isinstance(audio, Sound) or audio is None else read_sound(Path(audio), limit=duration)
    tokens = None
    if expression is not None:
        limit = None
        if duration is not None or sound is not None:
            limit = frame_count(duration if duration is not None else sound.duration, fps)  # type: ignore[union-attr]
        tokens = _expression_tokens(model, driving_crops(expression, fps, 64, limit, face_model))
    frames = _length(fps, duration, sound, tokens)
    script = None
    if text is not None:
        length = None if frames is None else frames / fps
        script = text if isinstance(text, Script) else parse_script(text, duration=length)
        if frames is None:
            if not script.phases:
                raise InputError("the script has no phases, so the clip has no length; give --duration SECONDS")
            frames = frame_count(max(phase.stop for phase in script.phases), fps)
        elif isinstance(text, Script):
            script.check(frames / fps)
    assert frames is not None
    mono = sound.mono(16000) if sound is not None else None
    chosen = gates or Gates.all_open(SIGNALS)
    for name in ("audio", "expression", "text"):
        if name not in chosen.pieces:
            chosen = chosen.change(**{name: 1.0})
    return ClipInputs(model, face, fps, frames, chosen, regions or {}, sound, mono, tokens, script)


def _length(fps: Fraction, duration: Fraction | None, sound: Sound | None, tokens: Tensor | None) -> int | None:
    """Frames of the clip; None where only the script can say."""
    if duration is not None:
        return frame_count(duration, fps)
    if sound is not None:
        return frame_count(sound.duration, fps)
    return None if tokens is None else len(tokens)


def _expression_tokens(model: TalkingHeadModel, crops: Iterator[np.ndarray]) -> Tensor:
    """Tokens (k, n, d) of a driving video's crops, read in blocks so that memory stays small."""
    encoder, like = model.encoders["expression"], next(model.network.parameters())
    parts = []
    while block := list(islice(crops, 64)):
        pictures = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2)[None].to(like.device)
        parts.append(encoder((pictures.float() / 127.5 - 1).to(like.dtype))[0][0])
    return torch.cat(parts)
