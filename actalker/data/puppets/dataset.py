"""(seed, index) to a training sample: a puppet, or a warped portrait, under a random set of gates.

The target shows what the gates let through: a closed gate leaves its signal's part of the face at the
portrait's rest, a gate of 0.5 moves it half as far. So what a gate means is in the data, exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from ...control.gates import draw_gates
from ...errors import InputError, one_of
from ...faces.crop import Crop
from ...faces.face import FacePoints
from ...media.files import picture_files
from ...provenance import whole_file
from ...regions.shapes import REGIONS
from ...signals.signal import SIGNALS
from ...signals.text import TextEncoder
from ...signals.whisper import WhisperConfig, speech_features
from ..portraits import PortraitFolder, warp_portrait
from ..sample import FIELD, Sample, as_uint8, no_field
from .clip import PuppetClip, PuppetConfig, puppet_clip
from .field import motion_field
from .motion import compose

DEVICES = ("cpu", "cuda")
DRAWN = 3  # to be raised when the same settings give other clips: a cache then keeps them apart


@dataclass(frozen=True)
class PuppetDataConfig:
    """What the clips of a training are."""

    seed: int = 0
    """Clips are a function of (seed, index)."""

    frames: int = 14
    """Frames a clip."""

    size: int = 128
    """Side of the picture, pixels."""

    fps: int = 25
    """Frames a second."""

    phases: int = 4
    """Rows for a script's phases; shorter scripts are padded."""

    portraits: str | None = None
    """Folder of portraits to warp beside the puppets; the astronaut photograph is always among them."""

    portrait_share: float = 0.2
    """Share of clips that are warped portraits."""

    still_head: float = 0.0
    """Share of clips whose head does not turn: all that moves is lids, brows, gaze and lips."""

    all_open: float = 0.4
    """Chance that all gates are open in a clip."""

    insides: int = 1
    """How many random insides of an open mouth a frame is the mean of, if the portrait's mouth is closed and
    tells nothing of them; 1: what the puppet's mouth holds. A mean is what a model can learn."""

    moments: int = 1
    """A clip begins at the one of so many frames of its performance at which the jaw is widest open, for few
    are; 1: anywhere."""

    device: str = "cpu"
    """Where clips are drawn, cpu or cuda; on the latter in the training's own process, without workers."""

    whisper: WhisperConfig | None = None
    """The Whisper whose hidden states the model reads; none: log-mel windows."""

    cache: str | None = None
    """Folder that keeps drawn clips (about 1.7 MB each) for the next run; else memory does, for this one."""


class PuppetDataset(Dataset):
    """Clips `index` of `seed`; each is drawn once and then kept (about 1.7 MB a clip).

    Raises: InputError for a device that is unknown or not there, no insides or moments, and a folder of
    portraits that holds none.
    """

    def __init__(self, config: PuppetDataConfig, clips: int) -> None:
        if one_of(config.device, DEVICES, "device to draw on") == "cuda" and not torch.cuda.is_available():
            raise InputError("data.device: cuda is not available here; draw on the cpu")
        if config.insides < 1:
            raise InputError(f"data.insides: {config.insides}; give 1 (the puppet's own) or more")
        if config.moments < 1:
            raise InputError(f"data.moments: {config.moments}; give 1 (a clip begins anywhere) or more")
        if config.portraits is not None:
            picture_files(config.portraits)  # told before the work
        self.config, self.clips = config, clips
        # clips of other settings, or with gates of other signals, have other names
        settings = repr((replace(config, cache=None), tuple(SIGNALS), DRAWN))
        self.prefix = hashlib.sha256(settings.encode()).hexdigest()[:12]
        self.speech = speech_features(config.whisper)
        self.kept: dict[int, Sample] = {}
        self.faces: PortraitFolder | None = None

    def __len__(self) -> int:
        return self.clips

    def name(self, index: int) -> str:
        """What a clip is called in messages."""
        return f"puppet {self.config.seed}/{index}"

    def __getitem__(self, place: int) -> Sample:
        index = place % self.clips
        if self.config.cache is not None:
            return self._from_disk(Path(self.config.cache) / f"{self.prefix}-{index:06d}.safetensors", index)
        if index not in self.kept:
            self.kept[index] = self.make(index)
        return self.kept[index]

    def _from_disk(self, path: Path, index: int) -> Sample:
        if path.is_file():
            return Sample(**load_file(path))
        sample = self.make(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as work:
            save_file({name: value.contiguous() for name, value in vars(sample).items()}, work)
        return sample

    def make(self, index: int) -> Sample:
        """Draw clip `index`."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + index)
        still = bool(torch.rand((), generator=generator) < config.still_head)
        drawn = PuppetConfig(
            config.frames,
            config.fps,
            config.size,
            still_head=still,
            moments=config.moments,
            device=config.device,
        )
        clip = puppet_clip(config.seed, index, drawn)
        gates = draw_gates(list(SIGNALS), generator, all_open=config.all_open)
        rate = Fraction(config.fps)
        for name in SIGNALS:
            one_of(name, clip.parts, "signal for a puppet")
        values = {name: gates.values(name, config.frames, rate) for name in SIGNALS}
        portrait, frames, field, points = self._pictures(clip, values, generator)
        points = as_found(points, config.size, generator)
        mouth = REGIONS["mouth"]([points], (config.size, config.size))
        face = REGIONS["face"]([points], (config.size, config.size))
        text = TextEncoder.tokenize(clip.script, rate, config.frames, clip.start, phases=config.phases)
        audio = self.speech.reader(clip.sound, rate)(config.frames, clip.start)
        return Sample(
            portrait=as_uint8(portrait),
            frames=as_uint8(frames),
            audio=torch.from_numpy(audio).half(),
            crops=clip.driver,
            rest=clip.rest,
            bytes=torch.from_numpy(text.bytes),
            timing=torch.from_numpy(text.timing),
            gates=torch.from_numpy(np.stack([values[name] for name in SIGNALS])),
            face=(face >= 0.5).to(torch.uint8),
            mouth=(mouth >= 0.5).to(torch.uint8),
            micro=torch.tensor([float(config.fps), 0.0, 0.0]),
            motion=torch.from_numpy(np.stack([clip.parts[name] for name in SIGNALS])),
            field=field.half(),
            index=torch.tensor(index),
        )

    def _pictures(
        self, clip: PuppetClip, gates: dict[str, np.ndarray], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, FacePoints]:
        """Portrait (3, s, s), target frames (f, 3, s, s) in [0, 1], their field, the portrait's points."""
        motion, size = compose(clip.parts, gates), self.config.size
        if torch.rand((), generator=generator) < self.config.portrait_share:
            if self.faces is None:
                self.faces = PortraitFolder(self.config.portraits, size)
            picture, points, seam = self.faces.draw(generator)
            return picture, warp_portrait(picture, points, motion, seam), no_field(len(motion), size), points
        field = motion_field(clip.puppet, motion, size // FIELD)
        return clip.portrait, clip.puppet.render(motion, self.config.insides), field, clip.points


def as_found(points: FacePoints, size: int, generator: torch.Generator) -> FacePoints:
    """A face's points as a finder would give them: all a little off, together."""
    x, y, grow = (torch.randn(3, generator=generator) * 0.012).tolist()
    return points.moved(Crop(x * size, y * size, size * (1 + grow)), size)
