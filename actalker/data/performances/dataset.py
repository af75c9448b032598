"""Stretches of synthetic performances under random sets of gates, functions of (seed, place).

The target follows the paper's rule: beside other signals each acts in its own region, alone on the whole
face. So the data says exactly what a gate means.

Letters: f frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch.utils.data import Dataset

from ...control.gates import Gates, draw_gates
from ...errors import InputError
from ...heads.articulation import mouth
from ...heads.face_map import NUMBERS
from ...heads.model import COEFFICIENTS
from ...signals.liveliness import Liveliness
from ...signals.script import Script
from ...signals.signal import SIGNALS
from ...signals.text import TextEncoder
from ..sample import signal_names
from .acting import acted
from .performance import Performance
from .reading import as_read
from .scripts import draw_script, performed
from .sitters import draw_sitter
from .talking import Talk

KINDS = {"silent": 0.35, "speaking": 0.35, "lively": 0.15, "exact": 0.15}
"""Drivers of the expression signal with their shares: a video of a silent or a speaking person, liveliness,
or exact motion, which no tracker read."""


@dataclass(frozen=True)
class PerformanceConfig:
    """The settings of the performances that a training sees."""

    seed: int = 0
    """Performances are a function of (seed, index), stretches of them of (seed, place)."""

    frames: int = 14
    """Frames of a stretch."""

    seconds: float = 6.0
    """Length of a performance, from which stretches are cut."""

    fps: int = 25
    """Frames a second."""

    speech: str | None = None
    """Folder of a cache of synthetic speech (`actalker speech`); none: phones are drawn at random."""

    phases: int = 8
    """Rows for a script's phases; shorter scripts are padded."""

    alone: float = 0.3
    """Chance that only a stretch's driver is open; only there is it learnt what the driver's mouth does."""

    all_open: float = 0.3
    """Chance that all gates are open in another stretch; else each set of signals is as likely."""

    fractional: float = 0.25
    """Chance that an open gate is neither 0 nor 1."""

    signals: tuple[str, ...] = ()
    """Signals of the performances; none: those of the model that is trained, or all of them."""


@dataclass(frozen=True, eq=False)
class Material:
    """A whole performance.

    talk: (f, 9) articulators of the speech. driver: (f, 62) the driver's motion. read: (f, 62) that motion as
    a tracker reads it, with the confidence seen (f,). scripted: (f, 62) the motion that the script asks for.
    """

    talk: np.ndarray
    driver: np.ndarray
    read: np.ndarray
    seen: np.ndarray
    script: Script
    scripted: np.ndarray


class PerformanceDataset(Dataset):
    """Stretches of `count` performances: item `place` is a stretch of performance `place % count`.

    Each performance is made once and stays in memory (about 0.1 MB).
    Raises: InputError where performances are shorter than a stretch, and for a folder without speech.
    """

    def __init__(self, config: PerformanceConfig, count: int) -> None:
        self.config, self.count = config, count
        self.length = round(config.seconds * config.fps)
        if not 0 < config.frames <= self.length:
            raise InputError(
                f"data.frames: {config.frames}, but a performance has {self.length}; give 1 to "
                f"{self.length}, or longer data.seconds"
            )
        self.talk = Talk(config.speech)
        self.materials: dict[int, Material] = {}

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The name of a performance in messages."""
        return f"performance {self.config.seed}/{index}"

    def material(self, index: int) -> Material:
        """Performance `index`, made where it is not in memory."""
        if index not in self.materials:
            self.materials[index] = self._make(np.random.default_rng((self.config.seed, index, 0)))
        return self.materials[index]

    def _make(self, rng: np.random.Generator) -> Material:
        frames, fps = self.length, self.config.fps
        talk = self.talk.articulators(frames, fps, rng)
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if kind == "lively":
            driver = Liveliness(fps, int(rng.integers(2**31)), rng.random()).numbers(0, frames)
        else:
            driver = acted(frames, fps, rng)
        if kind == "speaking":  # as a video with the clip's own sound, or one that contradicts it
            said = talk if rng.random() < 0.3 else self.talk.articulators(frames, fps, rng)
            driver[:, : len(COEFFICIENTS)] += mouth(said, np.zeros(len(COEFFICIENTS)))
        driver = driver.astype(np.float32)
        read, seen = as_read(driver, rng)
        if kind in ("lively", "exact"):
            read, seen = driver, np.ones(frames, np.float32)
        script = draw_script(self.config.seconds, rng)
        return Material(
            talk,
            driver,
            read=read.astype(np.float32),
            seen=seen.astype(np.float32),
            script=script,
            scripted=performed(script, frames, Fraction(fps)).astype(np.float32),
        )

    def __getitem__(self, place: int) -> Performance:
        config, material = self.config, self.material(place % self.count)
        rng = np.random.default_rng((config.seed, place, 1))
        rows = int(rng.integers(self.length - config.frames + 1)) + np.arange(config.frames)
        portrait = draw_sitter(rng).astype(np.float32)
        spoken = np.zeros((config.frames, len(NUMBERS)), np.float32)
        spoken[:, : len(COEFFICIENTS)] = mouth(material.talk[rows], portrait[: len(COEFFICIENTS)])
        parts = {"audio": spoken, "expression": material.driver[rows], "text": material.scripted[rows]}
        rate = Fraction(config.fps)
        text = TextEncoder.tokenize(material.script, rate, self.length, phases=config.phases)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        signals = config.signals or tuple(SIGNALS)
        if rng.random() < config.alone and "expression" in signals:
            gates = Gates.all_closed(SIGNALS).change(expression=1.0 if rng.random() < 0.75 else rng.random())
        else:
            gates = draw_gates(list(signals), generator, config.all_open, config.fractional)
        shown = {name: np.ones(config.frames, np.float32) for name in signals}
        shown["expression"] = (material.seen[rows] > 0).astype(np.float32)
        values = {name: gates.values(name, self.length, rate)[rows] * shown[name] for name in signals}
        seen = torch.from_numpy(material.seen[rows])
        timing = torch.from_numpy(text.timing[rows])
        arrays = {
            "audio": {"articulators": torch.from_numpy(material.talk[rows].astype(np.float32))},
            "expression": {"numbers": torch.from_numpy(material.read[rows]), "confidence": seen},
            "text": {"bytes": torch.from_numpy(text.bytes), "timing": timing},
        }
        return Performance(
            portrait=torch.from_numpy(portrait),
            parts=torch.from_numpy(np.stack([parts[name] for name in signals])),
            shown=torch.from_numpy(np.stack([shown[name] for name in signals])),
            arrays={name: arrays[name] for name in signals},
            gates=torch.from_numpy(np.stack([values[name] for name in signals])).float(),
            micro=torch.tensor([float(config.fps), 0.0, 0.0]),
            index=torch.tensor(place % self.count),
            signals=signal_names(signals),
        )
