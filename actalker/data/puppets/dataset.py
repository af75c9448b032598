"""Training samples of pictures, functions of (seed, index): a puppet under a random set of gates.

The target shows what the gates let through: a closed gate leaves its signal's part of the face at the
portrait's rest, a gate of 0.5 moves it half as far. So the data says exactly what a gate means.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch.utils.data import Dataset

from ...control.gates import draw_gates
from ...errors import one_of
from ...faces.crop import Crop
from ...faces.face import FacePoints
from ...regions.shapes import REGIONS
from ...signals.signal import SIGNALS
from ...signals.text import TextEncoder
from ...signals.whisper import speech_features
from ..sample import Sample, as_uint8, signal_names
from .clip import PuppetConfig, puppet_clip, render_target


@dataclass(frozen=True)
class PuppetDataConfig:
    """The settings of the clips that a training sees."""

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

    all_open: float = 0.4
    """Chance that all gates are open in a clip."""

    signals: tuple[str, ...] = ()
    """Signals of the clips; none: those of the model that is trained, or all of them."""


class PuppetDataset(Dataset):
    """The first `clips` puppets of a seed; each is drawn once and stays in memory (about 1.7 MB)."""

    def __init__(self, config: PuppetDataConfig, clips: int) -> None:
        self.config, self.clips = config, clips
        self.speech = speech_features(None)
        self.samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self.clips

    def name(self, index: int) -> str:
        """The name of a clip in messages."""
        return f"puppet {self.config.seed}/{index}"

    def __getitem__(self, place: int) -> Sample:
        index = place % self.clips
        if index not in self.samples:
            self.samples[index] = self.make(index)
        return self.samples[index]

    def make(self, index: int) -> Sample:
        """Draw clip `index`. Raises: InputError for signals that puppets do not have."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + index)
        clip = puppet_clip(config.seed, index, PuppetConfig(config.frames, config.fps, config.size))
        signals = config.signals or tuple(SIGNALS)
        gates = draw_gates(list(signals), generator, all_open=config.all_open)
        rate = Fraction(config.fps)
        for name in signals:
            one_of(name, clip.parts, "signal for a puppet")
        values = dict.fromkeys(clip.parts, np.zeros(config.frames, np.float32))
        values |= {name: gates.values(name, config.frames, rate) for name in signals}
        points = as_found(clip.points, config.size, generator)
        mouth = REGIONS["mouth"]([points], (config.size, config.size))
        face = REGIONS["face"]([points], (config.size, config.size))
        text = TextEncoder.tokenize(clip.script, rate, config.frames, clip.start, phases=config.phases)
        audio = self.speech.reader(clip.sound, rate)(config.frames, clip.start)
        arrays = {
            "audio": {"features": torch.from_numpy(audio).half()},
            "expression": {"crops": clip.driver, "rest": clip.rest},
            "text": {"bytes": torch.from_numpy(text.bytes), "timing": torch.from_numpy(text.timing)},
        }
        return Sample(
            portrait=as_uint8(clip.portrait),
            frames=as_uint8(render_target(clip, values)),
            arrays={name: arrays[name] for name in signals},
            gates=torch.from_numpy(np.stack([values[name] for name in signals])),
            face=(face >= 0.5).to(torch.uint8),
            mouth=(mouth >= 0.5).to(torch.uint8),
            micro=torch.tensor([float(config.fps), 0.0, 0.0]),
            index=torch.tensor(index),
            signals=signal_names(signals),
        )


def as_found(points: FacePoints, size: int, generator: torch.Generator) -> FacePoints:
    """A face's points as a finder would give them: shifted and scaled together by a little, at random."""
    x, y, grow = (torch.randn(3, generator=generator) * 0.012).tolist()
    return points.moved(Crop(x * size, y * size, size * (1 + grow)), size)
