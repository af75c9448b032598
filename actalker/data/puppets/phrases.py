"""The actions that a script can ask of a puppet's face: their wordings, and the motion they mean."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...signals.script import Phase, Script
from .motion import HIGH, INDEX, LOW, still

ONSET = 0.15  # seconds to come and to go
SWING = 2.0  # Hz of a nod and of a shaken head


@dataclass(frozen=True)
class Action:
    """An action of a puppet's face.

    wordings: ways to say it. channels: channel -> amplitude. swings: whether it goes to and fro at SWING Hz.
    """

    wordings: tuple[str, ...]
    channels: dict[str, float]
    swings: bool = False

    def motion(self, times: np.ndarray, start: float, stop: float) -> np.ndarray:
        """The action's motion (f, P) at `times` (f,) seconds, in a phase from `start` to `stop`."""
        rise = np.clip((times - start) / ONSET, 0, 1)
        fall = np.clip((stop - times) / ONSET, 0, 1)
        level = _ease(np.minimum(rise, fall))
        if self.swings:
            level = level * np.sin(2 * np.pi * SWING * (times - start))
        out = still(len(times))
        for name, amplitude in self.channels.items():
            out[:, INDEX[name]] = amplitude * level
        return out


def _ease(s: np.ndarray) -> np.ndarray:
    return s * s * (3 - 2 * s)


ACTIONS: dict[str, Action] = {
    "smile": Action(("smiles", "is smiling", "gives a smile", "looks happy"), {"smile": 0.95}),
    "frown": Action(
        ("frowns", "is frowning", "looks displeased", "scowls"),
        {"smile": -0.8, "brow_left": -0.8, "brow_right": -0.8},
    ),
    "raise brows": Action(
        ("raises brows", "raises {their} eyebrows", "lifts the brows", "eyebrows go up"),
        {"brow_left": 0.95, "brow_right": 0.95},
    ),
    "lower brows": Action(
        ("lowers brows", "lowers {their} eyebrows", "knits the brows", "eyebrows go down"),
        {"brow_left": -0.95, "brow_right": -0.95},
    ),
    "close eyes": Action(
        ("closes eyes", "closes {their} eyes", "shuts the eyes", "eyes closed"),
        {"lid_left": 1.0, "lid_right": 1.0},
    ),
    "nod": Action(("nods", "is nodding", "nods {their} head"), {"pitch": 0.85}, swings=True),
    "shake head": Action(
        ("shakes head", "shakes {their} head", "is shaking the head"), {"yaw": 0.85}, swings=True
    ),
    "look left": Action(("looks left", "looks to the left", "glances left"), {"gaze_x": -0.95}),
    "look right": Action(("looks right", "looks to the right", "glances right"), {"gaze_x": 0.95}),
    "look up": Action(("looks up", "glances up", "eyes go up"), {"gaze_y": -0.95}),
    "look down": Action(("looks down", "glances down", "eyes go down"), {"gaze_y": 0.95}),
    "turn left": Action(("turns left", "turns {their} head left", "turns to the left"), {"yaw": -0.9}),
    "turn right": Action(("turns right", "turns {their} head right", "turns to the right"), {"yaw": 0.9}),
    "tilt head": Action(("tilts head", "tilts {their} head", "leans the head to the side"), {"roll": 0.9}),
}
WORDINGS = tuple(tuple(w.format(their="their") for w in action.wordings) for action in ACTIONS.values())
SUBJECTS = (
    ("", "their"),
    ("", "her"),
    ("", "his"),
    ("she ", "her"),
    ("he ", "his"),
    ("the person ", "their"),
)
BASES = (
    "a person is talking",
    "a portrait",
    "a face in front of a camera",
    "a person speaks calmly",
    "someone talks to the viewer",
    "a talking head",
    "a close-up of a face",
    "",
)


def action_of(text: str) -> Action | None:
    """The action that a phase's text asks for, or None where the text has no known wording."""
    said = f" {text.lower().strip()} "
    for action in ACTIONS.values():
        for wording in action.wordings:
            if any(f" {wording.format(their=their)} " in said for their in ("their", "her", "his", "the")):
                return action
    return None


def random_script(rng: np.random.Generator, seconds: float) -> Script:
    """A random script: a base text, and phases of 0.5-1.5 s without overlap, about one in 1.2 seconds."""
    subject, their = SUBJECTS[rng.integers(len(SUBJECTS))]
    names = list(ACTIONS)
    phases, t = [], rng.uniform(0.0, 0.4)
    for _ in range(max(1, round(seconds / 1.2))):
        length = rng.uniform(0.5, 1.5)
        if t + length > seconds:
            break
        action = ACTIONS[names[rng.integers(len(names))]]
        wording = action.wordings[rng.integers(len(action.wordings))].format(their=their)
        phases.append(Phase(text=subject + wording, start=_exact(t), stop=_exact(t + length)))
        t += length + rng.uniform(0.1, 0.8)
    base = BASES[rng.integers(len(BASES))] or (BASES[0] if not phases else "")
    return Script(base=base, phases=tuple(phases))


def perform(script: Script, times: np.ndarray) -> np.ndarray:
    """The motion (f, P) that the phases of a script ask for at `times` (f,) seconds."""
    total = still(len(times))
    for phase in script.phases:
        if (action := action_of(phase.text)) is not None:
            total += action.motion(np.asarray(times, np.float64), float(phase.start), float(phase.stop))
    return np.clip(total, LOW, HIGH)


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * 1000), 1000)
