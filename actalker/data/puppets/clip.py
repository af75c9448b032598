"""A performance of a puppet, a function of (seed, index): portrait, driving video, sound, script, motion.

Each signal has a motion of its own: speech moves the jaw and the lips, another puppet's face drives lids,
brows, gaze and head, and the script's phases add what they ask for. The video shows the sum of what the gates
let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...faces.face import FacePoints
from ...signals.script import Script
from .anatomy import EYE_Y, MOUTH_Y, Anatomy, random_anatomy
from .motion import INDEX, PARTS, at_frames, compose, driving, speech, still
from .phrases import perform, random_script
from .pose import Pose
from .render import Puppet
from .voice import random_voice, speak

FOREHEAD = 0.2  # from the eyes to the top of the face's box
LEAD = 1.2  # most seconds of a performance before the clip
AFTER = 0.8  # seconds of it after the clip
DRIVER_TALKS = 0.6  # chance that the driving face speaks words of its own


@dataclass(frozen=True)
class PuppetConfig:
    """Length and look of a performance."""

    frames: int = 14
    """Frames a clip."""

    fps: int = 25
    """Frames a second."""

    size: int = 128
    """Side of the picture, pixels."""

    driver_size: int = 128
    """Side of the driving face's crop, pixels."""


@dataclass(frozen=True)
class PuppetClip:
    """A performance of a puppet.

    portrait: (3, s, s) in [0, 1]. driver: (f, 3, t, t) uint8; rest: (3, t, t), the same face at rest.
    sound: (n,) mono at 16 kHz, of the whole performance, in which the clip begins at frame `start`.
    parts: signal -> (f, P), the motion that it asks for. points: of the portrait's face, in pixels.
    """

    config: PuppetConfig
    puppet: Puppet
    portrait: Tensor
    driver: Tensor
    rest: Tensor
    sound: np.ndarray
    script: Script
    start: int
    parts: dict[str, np.ndarray]
    points: FacePoints

    @property
    def anatomy(self) -> Anatomy:
        """The looks of the puppet."""
        return self.puppet.anatomy


def puppet_clip(seed: int, index: int, config: PuppetConfig | None = None) -> PuppetClip:
    """Make performance `index` of `seed`: the same on every machine of a kind."""
    config = config or PuppetConfig()
    rng = np.random.default_rng([seed, index])
    anatomy = random_anatomy(rng)
    start = int(rng.integers(0, round(LEAD * config.fps)))
    seconds = (start + config.frames) / config.fps
    whole = seconds + AFTER
    spoken = speech(rng, whole)
    times = (start + np.arange(config.frames)) / config.fps
    sound = speak(spoken[:, INDEX["jaw"]], spoken[:, INDEX["spread"]], random_voice(rng), rng)
    script = random_script(rng, whole)
    parts = {
        "audio": at_frames(spoken, times),
        "expression": at_frames(driving(rng, seconds), times),
        "text": perform(script, times),
    }
    for name, part in parts.items():
        owned = [INDEX[channel] for channel in PARTS[name]]
        part[:, [k for k in range(part.shape[1]) if k not in owned]] = 0
    puppet = Puppet(anatomy, config.size)
    portrait = puppet.render(still(1))[0]
    rest, driver = _driver(rng, parts["expression"], seconds, times, config)
    return PuppetClip(
        config,
        puppet,
        portrait=portrait,
        driver=driver,
        rest=rest,
        sound=sound,
        script=script,
        start=start,
        parts=parts,
        points=face_points(anatomy, config.size),
    )


def render_target(clip: PuppetClip, gates: Mapping[str, np.ndarray | float]) -> Tensor:
    """The target video of a clip under gates, (f, 3, s, s) in [0, 1]. gates: as `compose` takes them."""
    return clip.puppet.render(compose(clip.parts, gates))


def _driver(
    rng: np.random.Generator, expression: np.ndarray, seconds: float, times: np.ndarray, config: PuppetConfig
) -> tuple[Tensor, Tensor]:
    """Pictures uint8 of another puppet at rest, and with the same expression and, often, other words."""
    looks = random_anatomy(rng)
    rest = np.array(looks.rest)
    rest[[INDEX[channel] for channel in PARTS["expression"]]] = 0  # so that its motion is what it shows
    motion = expression.copy()
    if rng.random() < DRIVER_TALKS:
        motion += at_frames(speech(rng, seconds), times)
    motion = np.concatenate([still(1), motion])
    looks = replace(looks, rest=tuple(rest.tolist()))
    frames = Puppet(looks, config.driver_size).render(motion)
    drawn = (frames.clamp(0, 1) * 255).round().to(torch.uint8)
    return drawn[0], drawn[1:]


def face_points(anatomy: Anatomy, size: int) -> FacePoints:
    """The points of a puppet's portrait, in pixels."""
    a = anatomy
    pose = Pose(a, torch.tensor(a.rest, dtype=torch.float32)[None])
    lips = (MOUTH_Y - a.lip_upper, MOUTH_Y + a.lip_lower)
    head = [
        (0.5 - a.eye_gap, EYE_Y),
        (0.5 + a.eye_gap, EYE_Y),
        (0.5, MOUTH_Y),
        (0.5, a.chin),
        (0.5, a.brow_y),
        *[(0.5 + side * a.mouth_width, y) for side in (-1, 1) for y in lips],
        *[(0.5 + side * a.face_width, y) for side in (-1, 1) for y in (EYE_Y - FOREHEAD, a.chin)],
    ]
    marks = (pose.to_frame(torch.tensor(head)[None])[0] * size).numpy().astype(float)

    def box(rows: np.ndarray) -> tuple[float, float, float, float]:
        low, high = rows.min(0), rows.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def at(row: int) -> tuple[float, float]:
        return float(marks[row, 0]), float(marks[row, 1])

    return FacePoints(
        eye_left=at(0),
        eye_right=at(1),
        mouth=at(2),
        lips=box(marks[5:9]),
        chin=at(3),
        brow_y=at(4)[1],
        box=box(marks[9:13]),
    )
