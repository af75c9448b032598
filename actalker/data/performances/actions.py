"""The actions that a script can ask of a face: their wordings, and the motion they mean.

Left and right are the picture's, as its viewer sees it: "looks left" and "looks to her left" turn the eyes
to the picture's left, "winks left" shuts the eye on the left of the picture, the person's right.

Letters: f frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...heads.face_map import NUMBERS
from .looks import EXPRESSIONS, PITCH, ease, named

SWING = 2.0  # Hz of nods and shaken heads; the text encoder's input has waves of this rate
KEEPS = 0.7  # share of a nod that the eyes undo, to stay on the viewer
SHORT = 0.4  # largest share of a phase that a rise or a fall takes
BLINK = (0.08, 0.04, 0.16)  # seconds that lids close, are shut, open
AGAIN = 0.40  # seconds from one blink to the next


@dataclass(frozen=True, eq=False)
class Action:
    """An action of a face.

    wordings: ways to say it, lower case; a text may have another "the", "her" or "his", or none.
    goal: numbers by name at their strongest (`looks.named`). swing: numbers that go to and fro at SWING Hz.
    rise, fall: seconds to come and to go, less in short phases. blinks: how many, at the phase's beginning.
    """

    wordings: tuple[str, ...]
    goal: Mapping[str, float] = field(default_factory=dict)
    swing: Mapping[str, float] = field(default_factory=dict)
    rise: float = 0.35
    fall: float = 0.4
    blinks: int = 0

    @cached_property
    def _goal(self) -> np.ndarray:
        return named(self.goal)

    @cached_property
    def _swing(self) -> np.ndarray:
        return named(self.swing)

    def motion(self, since: np.ndarray, length: float) -> np.ndarray:
        """The action's numbers (f, 62), before `looks.with_lips`, in a phase of `length` seconds.

        since: (f,) seconds from the phase's beginning; outside the phase the numbers are 0. In an infinite
        phase, of a base text, the goal is held all along.
        """
        if np.isinf(length):
            return np.broadcast_to(self._goal, (len(since), len(NUMBERS)))
        rise, fall = min(self.rise, SHORT * length), min(self.fall, SHORT * length)
        there = ease(since / rise) * ease((length - since) / fall)
        out = there[:, None] * self._goal
        if self.swing:
            out = out + (there * _wave(since, self._swing[PITCH] != 0))[:, None] * self._swing
        if self.blinks:
            lids = _blinks(since, length, self.blinks)
            out = out + lids[:, None] * named({"eyeBlink": 1})
        return out


def _wave(since: np.ndarray, nods: bool) -> np.ndarray:
    """The swing (f,) of a shaken head, to both sides, or of a nod, which goes down and hardly up."""
    turn = 2 * np.pi * SWING * since
    return 0.5 - 0.5 * np.cos(turn) - 0.12 * np.sin(turn) if nods else np.sin(turn)


def _blinks(since: np.ndarray, length: float, count: int) -> np.ndarray:
    """How far blinks close the lids, (f,) in [0, 1]: one after the other, quicker in a short phase."""
    whole = sum(BLINK)
    pace = min(1.0, length / ((count - 1) * AGAIN + whole))
    closes, shut, opens = (pace * part for part in BLINK)
    out = np.zeros(len(since))
    for k in range(count):
        at = since - k * pace * AGAIN
        out = np.maximum(out, ease(at / closes) - ease((at - closes - shut) / opens))
    return out


E_ = EXPRESSIONS
_NOD = {"pitch": 9.0, "gaze down": -9.0 * KEEPS, "y": 0.15}
_SHAKE = {"yaw": 9.0, "gaze right": -9.0 * KEEPS}
ACTIONS: tuple[Action, ...] = (
    # smiles
    Action(("smiles", "is smiling", "gives a smile", "looks happy"), E_["smile"], rise=0.45, fall=0.6),
    Action(
        ("grins", "smiles broadly", "shows a broad smile", "is grinning"), E_["grin"], rise=0.45, fall=0.6
    ),
    Action(
        ("laughs", "is laughing", "bursts into laughter"), E_["laugh"], {"y": 0.12, "pitch": 1.0}, 0.35, 0.6
    ),
    Action(("smirks", "gives a smirk", "smiles with one corner"), E_["smirk"], rise=0.4, fall=0.5),
    # moods
    Action(("frowns", "is frowning", "looks displeased", "scowls"), E_["frown"]),
    Action(("looks sad", "is sad", "seems sad", "looks unhappy"), E_["sad"], rise=0.6, fall=0.7),
    Action(
        ("looks surprised", "is surprised", "looks astonished", "gasps"), E_["surprise"], rise=0.2, fall=0.5
    ),
    Action(("looks angry", "is angry", "glares", "looks furious"), E_["anger"], rise=0.3, fall=0.5),
    Action(("looks disgusted", "is disgusted", "makes a face of disgust"), E_["disgust"]),
    Action(
        ("looks afraid", "is afraid", "looks scared", "looks frightened"), E_["fear"], rise=0.25, fall=0.5
    ),
    Action(("looks doubtful", "looks sceptical", "is not convinced", "looks skeptical"), E_["doubt"]),
    Action(("looks thoughtful", "is thinking", "ponders", "thinks"), E_["thought"], rise=0.4, fall=0.5),
    Action(("concentrates", "is concentrating", "looks focused"), E_["care"], rise=0.4, fall=0.5),
    Action(("winces", "looks pained", "grimaces"), E_["wince"], rise=0.15, fall=0.4),
    # brows
    Action(
        ("raises brows", "raises the eyebrows", "lifts the brows", "eyebrows go up", "raises eyebrows"),
        {"browInnerUp": 0.85, "browOuterUp": 0.95, "eyeWide": 0.2},
        rise=0.2,
        fall=0.3,
    ),
    Action(
        ("raises one eyebrow", "lifts one brow", "cocks an eyebrow", "raises an eyebrow"),
        {"browOuterUp_L": 1.0, "browInnerUp_L": 0.55, "browDown_R": 0.3},
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("lowers brows", "lowers the eyebrows", "knits the brows", "eyebrows go down", "furrows the brow"),
        {"browDown": 0.95, "eyeSquint": 0.2},
        rise=0.25,
        fall=0.35,
    ),
    # lids
    Action(("blinks", "blinks once", "gives a blink"), blinks=1),
    Action(("blinks twice", "blinks two times", "blinks again and again"), blinks=2),
    Action(
        ("closes eyes", "closes the eyes", "shuts the eyes", "eyes closed"),
        {"eyeBlink": 1.0},
        rise=0.15,
        fall=0.2,
    ),
    Action(
        ("winks left", "winks with the left eye", "closes the left eye"),
        {
            "eyeBlink_R": 1.0,
            "cheekSquint_R": 0.45,
            "mouthSmile_R": 0.25,
            "eyeSquint_L": 0.15,
            "browDown_R": 0.2,
        },
        rise=0.12,
        fall=0.2,
    ),
    Action(
        ("winks right", "winks with the right eye", "closes the right eye", "winks"),
        {
            "eyeBlink_L": 1.0,
            "cheekSquint_L": 0.45,
            "mouthSmile_L": 0.25,
            "eyeSquint_R": 0.15,
            "browDown_L": 0.2,
        },
        rise=0.12,
        fall=0.2,
    ),
    Action(
        ("squints", "narrows the eyes", "squints the eyes"),
        {"eyeSquint": 0.85, "eyeBlink": 0.15, "cheekSquint": 0.35, "browDown": 0.3},
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("widens the eyes", "opens the eyes wide", "eyes go wide", "widens eyes"),
        {"eyeWide": 1.0, "browInnerUp": 0.15, "browOuterUp": 0.2},
        rise=0.2,
        fall=0.3,
    ),
    # gaze
    Action(
        ("looks left", "looks to the left", "glances left"),
        {"gaze right": -24, "yaw": -2},
        rise=0.06,
        fall=0.06,
    ),
    Action(
        ("looks right", "looks to the right", "glances right"),
        {"gaze right": 24, "yaw": 2},
        rise=0.06,
        fall=0.06,
    ),
    Action(("looks up", "glances up", "eyes go up"), {"gaze down": -17, "pitch": -1.5}, rise=0.06, fall=0.06),
    Action(
        ("looks down", "glances down", "eyes go down"), {"gaze down": 17, "pitch": 1.5}, rise=0.06, fall=0.06
    ),
    # head
    Action(
        (
            "turns left",
            "turns the head left",
            "turns to the left",
            "turns head left",
            "turns head to the left",
        ),
        {"yaw": -18, "gaze right": -5, "x": -0.4},
        rise=0.45,
        fall=0.5,
    ),
    Action(
        (
            "turns right",
            "turns the head right",
            "turns to the right",
            "turns head right",
            "turns head to the right",
        ),
        {"yaw": 18, "gaze right": 5, "x": 0.4},
        rise=0.45,
        fall=0.5,
    ),
    Action(
        ("raises the head", "lifts the chin", "tilts head up", "raises the chin"),
        {"pitch": -13, "gaze down": 6, "z": 0.5},
        rise=0.4,
        fall=0.45,
    ),
    Action(
        ("lowers the head", "bows the head", "tilts head down", "lowers the chin"),
        {"pitch": 14, "gaze down": 3, "z": -0.6, "y": 0.3},
        rise=0.4,
        fall=0.45,
    ),
    Action(("nods", "is nodding", "nods the head", "nods yes"), swing=_NOD, rise=0.15, fall=0.2),
    Action(
        ("shakes head", "shakes the head", "is shaking the head", "says no with the head"),
        swing=_SHAKE,
        rise=0.15,
        fall=0.2,
    ),
    Action(
        ("tilts head left", "tilts the head to the left", "leans the head to the left"),
        {"roll": -13, "x": -0.8},
        rise=0.4,
        fall=0.45,
    ),
    Action(
        (
            "tilts head right",
            "tilts the head to the right",
            "leans the head to the right",
            "tilts head",
            "tilts the head",
            "leans the head to the side",
        ),
        {"roll": 13, "x": 0.8},
        rise=0.4,
        fall=0.45,
    ),
    Action(
        ("leans forward", "leans in", "comes closer"), {"z": -8.0, "y": 0.5, "pitch": 2}, rise=0.5, fall=0.55
    ),
    Action(
        ("leans back", "moves back", "draws back"), {"z": 9.0, "y": -0.3, "pitch": -2}, rise=0.5, fall=0.55
    ),
    # mouth
    Action(
        ("opens mouth", "opens the mouth", "mouth opens", "drops the jaw"),
        {"jawOpen": 0.45},
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("opens the mouth wide", "mouth wide open", "gapes"),
        {"jawOpen": 0.85, "mouthLowerDown": 0.2, "browOuterUp": 0.1},
        rise=0.35,
        fall=0.35,
    ),
    Action(("yawns", "is yawning", "gives a yawn"), E_["yawn"], rise=0.6, fall=0.6),
    Action(
        ("presses lips", "presses the lips together", "tightens the lips"), E_["pressed"], rise=0.25, fall=0.3
    ),
    Action(("rolls the lips in", "tucks the lips in", "bites the lips"), E_["rolled"], rise=0.25, fall=0.3),
    Action(
        ("puckers lips", "puckers the lips", "purses the lips", "blows a kiss", "kisses"),
        E_["kiss"],
        rise=0.3,
        fall=0.3,
    ),
    Action(("pouts", "is pouting", "makes a pout"), E_["pout"]),
    Action(("rounds the lips", "makes an o with the lips", "lips form an o"), E_["oh"], rise=0.25, fall=0.3),
    Action(("shows teeth", "shows the teeth", "bares the teeth", "clenches the teeth"), E_["teeth"]),
    Action(("puffs cheeks", "puffs the cheeks", "blows out the cheeks", "inflates the cheeks"), E_["puffed"]),
    Action(
        ("sticks out the tongue", "sticks tongue out", "shows the tongue", "tongue out"),
        E_["tongue"],
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("pulls the mouth left", "moves the mouth left", "mouth goes left"),
        {"mouthRight": 0.85, "mouthDimple_R": 0.3},
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("pulls the mouth right", "moves the mouth right", "mouth goes right"),
        {"mouthLeft": 0.85, "mouthDimple_L": 0.3},
        rise=0.25,
        fall=0.3,
    ),
    Action(
        ("moves the jaw left", "jaw goes left", "pushes the jaw left"), {"jawRight": 0.8, "jawOpen": 0.06}
    ),
    Action(
        ("moves the jaw right", "jaw goes right", "pushes the jaw right"), {"jawLeft": 0.8, "jawOpen": 0.06}
    ),
    Action(
        ("wrinkles the nose", "scrunches the nose", "sneers", "wrinkles nose"),
        {"noseSneer": 0.95, "mouthUpperUp": 0.1, "mouthClose": 0.9, "cheekSquint": 0.25, "eyeSquint": 0.2},
        rise=0.25,
        fall=0.3,
    ),
)
WORDINGS: tuple[tuple[str, ...], ...] = tuple(action.wordings for action in ACTIONS)
