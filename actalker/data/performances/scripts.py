"""The motion that a script's words ask for, over time; and random scripts.

Letters: f frames.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

import numpy as np

from ...heads.face_map import NUMBERS
from ...signals.script import Phase, Script, plain_words
from ...signals.text import LENGTH as TOLD
from .actions import ACTIONS, WORDINGS, Action
from .looks import limited, with_lips

__all__ = ["ACTIONS", "WORDINGS", "Action", "actions_of", "draw_script", "performed"]

MILD = ("slightly", "a little", "gently", "faintly")  # words that halve what a step asks for
MILDER = 0.5
SUBJECTS = ("", "", "", "she ", "he ", "the person ", "the woman ", "the man ")
BASES = (
    "a person is talking",
    "a portrait",
    "a face in front of a camera",
    "a person speaks calmly",
    "someone talks to the viewer",
    "a talking head",
    "a close-up of a face",
    "a woman speaks",
    "a man speaks to the camera",
)
NO_BASE, HELD_BASE = 0.25, 0.08  # shares of scripts without a base text, and with one that asks for something
PARTS = ("eyes", "eyebrows", "mouth", "tongue", "jaw", "lips")  # wordings about these have no other subject
LENGTH = (0.5, 2.6)  # seconds of a phase
GAP = (0.0, 1.0)  # between phases
THEN, AND, MILDLY, OVERLAP = 0.15, 0.12, 0.1, 0.1  # chances
MOST = 5  # phases and steps of a drawn script


@lru_cache(maxsize=1)
def _known() -> dict[str, Action]:
    """Wording in plain words -> its action, the longest wordings first."""
    known = {plain_words(wording): action for action in ACTIONS for wording in action.wordings}
    return dict(sorted(known.items(), key=lambda one: -len(one[0])))


@lru_cache(maxsize=4096)
def actions_of(text: str) -> tuple[tuple[Action, ...], float]:
    """The actions that a text asks for, and their strength: 1, or MILDER with a word of MILD.

    Where several wordings share words, the longest counts: "tilts head left" is not "tilts head".
    """
    said = f" {plain_words(text)} "
    size = MILDER if any(f" {word} " in said for word in MILD) else 1.0
    for word in MILD:
        said = said.replace(f" {word} ", " ")
    actions = []
    for wording, action in _known().items():
        if f" {wording} " in said:
            said = said.replace(f" {wording} ", " | ")
            actions.append(action)
    return tuple(dict.fromkeys(actions)), size


def performed(script: Script, frames: int, fps: Fraction, start: int = 0) -> np.ndarray:
    """The motion that a script asks for at frames start .. start + frames, (frames, 62) float32, relative.

    Frame k is at k / fps seconds, whatever the range. Phases that overlap add up. Actions of the base text
    that can last (smiles, looks left) last all along.
    """
    rate = Fraction(fps)
    times = np.arange(start, start + frames) * float(rate.denominator) / float(rate.numerator)
    total = np.zeros((frames, len(NUMBERS)))
    for action in actions_of(script.base)[0]:
        total += actions_of(script.base)[1] * action.motion(times, np.inf)
    for step in script.steps:
        since, length = times - float(step.start), float(step.stop - step.start)
        here = (since > 0) & (since < length)
        if here.any():
            actions, size = actions_of(step.text)
            for action in actions:
                total[here] += size * action.motion(since[here], length)
    return with_lips(limited(total)).astype(np.float32)


def draw_script(seconds: float, rng: np.random.Generator) -> Script:
    """A random script: a base text, and phases within `seconds` with up to MOST steps."""
    phases: list[Phase] = []
    steps, at = 0, float(rng.uniform(0, 0.6))
    while steps < MOST:
        length = min(float(rng.uniform(*LENGTH)), seconds - at)
        if length < LENGTH[0]:
            break
        said = [_said(rng)]
        if length > 1.2 and steps + 2 <= MOST and rng.random() < THEN:
            said.append(_said(rng))
        phases.append(Phase(", then ".join(said), _exact(at), _exact(at + length)))
        steps += len(said)
        at += length * (rng.uniform(0.4, 0.9) if rng.random() < OVERLAP else 1) + float(rng.uniform(*GAP))
    base = BASES[rng.integers(len(BASES))]
    chance = rng.random()
    if chance < HELD_BASE:
        goals = [action for action in ACTIONS if action.goal]
        base = f"a person {_worded(goals[rng.integers(len(goals))], rng)}"
    elif chance < HELD_BASE + NO_BASE and phases:
        base = ""
    return Script(base, tuple(phases))


def _said(rng: np.random.Generator) -> str:
    """The random text of a step: an action, sometimes two, sometimes with a word of MILD."""
    text = _worded(ACTIONS[rng.integers(len(ACTIONS))], rng)
    subject = SUBJECTS[rng.integers(len(SUBJECTS))]
    if not text.startswith(PARTS):
        text = subject + text
    if rng.random() < AND:
        text += f" and {_worded(ACTIONS[rng.integers(len(ACTIONS))], rng)}"
    if rng.random() < MILDLY:
        text += f" {MILD[rng.integers(len(MILD))]}"
    return text if len(text) < TOLD else _said(rng)


def _worded(action: Action, rng: np.random.Generator) -> str:
    """A random wording of an action, with a random "the", "their", "her", "his" or none before its nouns."""
    wording = action.wordings[rng.integers(len(action.wordings))]
    owner = ("the", "their", "her", "his", "")[rng.integers(5)]
    return " ".join(re.sub(r"\bthe\b", owner, wording).split())


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * 1000), 1000)
