"""Random motion of a filmed face apart from speech: brows, lids, gaze, head, smiles and other expressions.

A face rests much of the time. Expressions come and go on smooth curves, alone or together; lids blink; eyes
jump and rest, and the head follows wide jumps; the head sways, moves to other places, nods and shakes. People
differ: some hardly move, some never rest.

Letters: f frames, n events.
"""

from __future__ import annotations

import numpy as np

from ...heads.face_map import NUMBERS
from .looks import (
    DOWN,
    EXPRESSIONS,
    GAZE,
    PITCH,
    PLACE,
    POSE,
    RIGHT,
    ROLL,
    SHUT,
    YAW,
    X,
    ease,
    limited,
    named,
    rise_and_fall,
    with_lips,
)

BEFORE = 4.0  # seconds before a clip from which on events can begin
EVENTS = (0.1, 0.5, 1.2, 2.5)  # expressions a second of faces that are calm, usual, lively, never at rest
HOW_LIVELY = (0.2, 0.35, 0.3, 0.15)  # shares of these faces
STILL_HEAD = 0.12  # share of clips whose head does not move
OFTEN = {
    "smile": 4,
    "grin": 3,
    "laugh": 2,
    "surprise": 2,
    "frown": 2,
    "thought": 2,
    "yawn": 0.4,
    "tongue": 0.3,
}
UNITS: dict[tuple[str, ...], tuple[float, float]] = {  # parts that move alone: how often, and how far at most
    ("jawOpen",): (5, 0.9),
    ("mouthSmile",): (4, 1),
    ("mouthPucker",): (4, 1),
    ("mouthFunnel",): (2, 0.9),
    ("browInnerUp",): (3, 1),
    ("browInnerUp", "browOuterUp"): (4, 1),
    ("browOuterUp",): (1.5, 1),
    ("browDown",): (5, 1),
    ("eyeSquint",): (2, 1),
    ("eyeWide",): (2, 1),
    ("eyeBlink",): (1.5, 0.9),
    ("cheekSquint",): (1, 1),
    ("noseSneer",): (1.5, 1),
    ("mouthFrown",): (2, 1),
    ("mouthPress",): (2, 1),
    ("mouthRollLower",): (1, 1),
    ("mouthRollUpper",): (1, 1),
    ("mouthShrugLower",): (1, 1),
    ("mouthShrugUpper",): (1.5, 0.9),
    ("mouthStretch",): (2, 1),
    ("mouthDimple",): (1.5, 1),
    ("mouthUpperUp",): (1.5, 1),
    ("mouthLowerDown",): (1.5, 1),
    ("mouthLeft",): (1, 0.9),
    ("mouthRight",): (1, 0.9),
    ("jawLeft",): (1.2, 0.9),
    ("jawRight",): (1.2, 0.9),
    ("jawForward",): (0.5, 0.8),
    ("cheekPuff",): (0.5, 1),
    ("tongueOut",): (0.3, 1),
}
ONE_SIDE = 0.15  # share of movements of parts that are mostly on one side
SKEW = 0.08  # standard deviation of the factor on a side, because no face is even
PARTS_APART = 0.2  # standard deviation of the logarithm of the factors on an expression's parts
CLOSED = (
    "mouthPucker",
    "mouthPress",
    "mouthRoll",
    "mouthShrug",
    "mouthFrown",
    "mouthDimple",
    "cheekPuff",
    "noseSneer",
)
NODS = 0.12  # nods and shaken heads a second, of a usual face
RISES, HOLDS, FALLS = (
    ((0.10, 0.25), (0.3, 0.8), (0.3, 0.8)),  # seconds of a short event, a usual one and a long one
    ((0.05, 0.4), (0.4, 2.0), (2.0, 8.0)),
    ((0.2, 0.5), (0.35, 1.0), (0.4, 1.2)),
)
LENGTHS = (0.3, 0.55, 0.15)  # shares of these events
LID_CLOSES, LID_SHUT, LID_OPENS = (0.06, 0.10), (0.02, 0.06), (0.12, 0.20)  # seconds
LEANS = np.array([[0.02, 0.0, 0.0], [0.0, 0.02, -0.05], [0.06, 0.0, 0.0]])  # cm of x, y, z a degree turned
SWAY = np.geomspace(0.08, 1.6, 6)  # Hz
NECK = 0.25  # seconds that a head takes at least to follow the eyes

_EXPRESSIONS = np.stack([named(one) for one in EXPRESSIONS.values()])
_HOW_OFTEN = np.array([OFTEN.get(name, 1.0) for name in EXPRESSIONS])
_HOW_OFTEN /= _HOW_OFTEN.sum()
_UNITS = np.stack([named(dict.fromkeys(names, most)) for names, (_, most) in UNITS.items()])
_UNITS_OFTEN = np.array([often for often, _ in UNITS.values()])
_UNITS_OFTEN /= _UNITS_OFTEN.sum()
_UNIT_CLOSED = np.array([names[0].startswith(CLOSED) for names in UNITS])
_LEFT = np.array([name.endswith("_L") for name in NUMBERS])
_RIGHT = np.array([name.endswith("_R") for name in NUMBERS])
_OTHER = np.array(  # the index of each number's counterpart in a mirrored face
    [
        PLACE[{"_L": f"{name[:-2]}_R", "_R": f"{name[:-2]}_L"}.get(name[-2:], _swapped)]
        for name in NUMBERS
        for _swapped in [
            name.replace("Left", "%").replace("Right", "Left").replace("%", "Right")
            if name.startswith(("jaw", "mouth"))
            else name
        ]
    ]
)
_SIGN = np.where(np.isin(np.arange(len(NUMBERS)), (YAW, ROLL, X, RIGHT)), -1.0, 1.0)
BLINKS = [PLACE["eyeBlink_R"], PLACE["eyeBlink_L"]]


def mirrored(numbers: np.ndarray) -> np.ndarray:
    """Numbers (..., 62) of the mirror image of a face."""
    return numbers[..., _OTHER] * _SIGN


def acted(frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Random motion of a filmed face, (frames, 62) float32, relative; it may begin inside an expression.

    Coefficients reach 1, yaw 25, pitch 18 and roll 15 degrees. eyeLook stays 0, because it follows the gaze.
    """
    times = np.arange(frames) / fps
    seconds = frames / fps
    total = _expressions(times, seconds, rng)
    restless = float(np.exp(rng.normal(0, 0.5)))
    _head(total, times, seconds, restless, rng)
    _gaze(total, times, seconds, restless, rng)
    total = with_lips(limited(total))
    lids = np.maximum(total[:, BLINKS], _blinks(times, seconds, rng))
    total[:, BLINKS] = lids
    return total.astype(np.float32)


def _between(rng: np.random.Generator, low_high: tuple[float, float], n: int) -> np.ndarray:
    return rng.uniform(*low_high, n)


def _lengths(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random seconds, each (n,), for which events rise, hold and fall."""
    kind = rng.choice(len(LENGTHS), n, p=LENGTHS)
    out = []
    for ranges in (RISES, HOLDS, FALLS):
        low, high = np.array(ranges)[kind].T
        out.append(low + (high - low) * rng.random(n) ** 1.5)
    return out[0], out[1], out[2]


def _expressions(times: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Random expressions, and parts of the face that move alone or in pairs, (f, 62)."""
    rate = rng.choice(EVENTS, p=HOW_LIVELY)
    n = rng.poisson(rate * (seconds + BEFORE))
    if n == 0:
        return np.zeros((len(times), len(NUMBERS)))
    whole = rng.random(n) < 0.4
    values = _EXPRESSIONS[rng.choice(len(_EXPRESSIONS), n, p=_HOW_OFTEN)] * np.exp(
        rng.normal(0, PARTS_APART, (n, len(NUMBERS)))
    )
    first, second = rng.choice(len(_UNITS), (2, n), p=_UNITS_OFTEN)
    pair = (rng.random(n) < 0.4)[:, None]
    units = _UNITS[first] + pair * rng.uniform(0.2, 1, (n, 1)) * _UNITS[second]
    one = (rng.random(n) < ONE_SIDE)[:, None]
    units = np.where(one & _LEFT, rng.uniform(0, 0.3, (n, 1)) * units, units)
    units[:, SHUT] = _UNIT_CLOSED[first] * (rng.random(n) < 0.7)
    values = np.where(whole[:, None], values, units)
    size = np.where(whole, rng.uniform(0.15, 1.1, n), rng.uniform(0.08, 1.1, n))[:, None]
    shut = np.clip(values[:, SHUT], 0, 1)
    values = size * values
    values[:, SHUT] = shut
    skew = SKEW * rng.normal(size=(n, 1))
    values = values * np.where(_LEFT, 1 + skew, np.where(_RIGHT, 1 - skew, 1))
    other = (rng.random(n) < 0.5)[:, None]
    values = np.where(other, mirrored(values), values)
    start = rng.uniform(-BEFORE, seconds, n)
    there = rise_and_fall(times, start, *_lengths(rng, n))
    return there.T @ values


def _blinks(times: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """How far random blinks close the lids of the image's left and right eye, (f, 2)."""
    mean = rng.uniform(1.5, 6.0)
    count = int(3 * (seconds + 2) / mean) + 3
    start = np.cumsum(rng.gamma(2.2, mean / 2.2, count)) - rng.uniform(0, 2) - mean / 2
    double = rng.random(count) < 0.12
    start = np.append(start, start[double] + rng.uniform(0.3, 0.5, double.sum()))
    start = start[start < seconds]
    n = len(start)
    if n == 0:
        return np.zeros((len(times), 2))
    depth = np.where(rng.random(n) < 0.14, rng.uniform(0.4, 0.95, n), 1.0)
    hold = np.where(rng.random(n) < 0.08, rng.uniform(0.2, 1.5, n), _between(rng, LID_SHUT, n))
    there = rise_and_fall(times, start, _between(rng, LID_CLOSES, n), hold, _between(rng, LID_OPENS, n))
    sides = np.ones((n, 2))
    wink = rng.random(n) < 0.07
    sides[wink, rng.integers(0, 2, wink.sum())] = rng.uniform(0, 0.25, wink.sum())
    return ((depth[:, None] * sides)[:, None] * there[:, :, None]).max(0)


def _steps(times: np.ndarray, starts: np.ndarray, lengths: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Values (f, k) that stay at a target and move to the next of `targets` (n, k) from each start on.

    starts, lengths: (n,) seconds, when each move begins and how long it takes.
    """
    moved = ease((times - starts[:, None]) / lengths[:, None])
    return moved.T @ np.diff(targets, axis=0, prepend=np.zeros((1, targets.shape[1])))


def _moments(rng: np.random.Generator, mean: float, seconds: float) -> np.ndarray:
    """Random ascending times from BEFORE seconds before the clip to its end. mean: seconds between them."""
    count = int(2.5 * (seconds + BEFORE) / mean) + 4
    starts = np.cumsum(rng.gamma(1.8, mean / 1.8, count) + 0.1) - BEFORE
    return starts[starts < seconds]


def _head(
    total: np.ndarray, times: np.ndarray, seconds: float, restless: float, rng: np.random.Generator
) -> None:
    """Add the head's motion to `total` (f, 62): turns, sway, nods, shakes, and eyes that stay on a target."""
    if rng.random() < STILL_HEAD:
        return
    starts = _moments(rng, float(rng.uniform(1.0, 4.0)), seconds)
    n = len(starts)
    spread = restless * rng.uniform(0.4, 1.2)
    targets = rng.standard_t(5, (n, 6)) * np.array([5.5, 3.5, 2.6, 0.5, 0.35, 1.2]) * spread
    targets *= rng.random((n, 1)) < 0.75  # it comes back
    turned = _steps(times, starts, rng.uniform(0.35, 1.3, n), targets)
    waves = rng.uniform(0.8, 1.25, (len(SWAY), 6)) * SWAY[:, None]
    phase = 2 * np.pi * (times[:, None, None] * waves + rng.random((len(SWAY), 6)))
    size = (SWAY[0] / SWAY)[:, None] ** 0.5 * np.array([0.6, 0.45, 0.35, 0.08, 0.06, 0.15])
    turned += restless * rng.uniform(0.3, 1.3) * (np.sin(phase) * size).sum(1)
    swings = rng.poisson(NODS * (seconds + 1) * min(restless, 2))
    if swings:
        moved = _swings(times, seconds, swings, rng)
        turned[:, :3] += moved
        keeps = rng.uniform(0.2, 0.95)
        total[:, RIGHT] -= keeps * moved[:, 0]
        total[:, DOWN] -= keeps * moved[:, 1]
    turned[:, 3:] += turned[:, :3] @ (LEANS * rng.uniform(0.3, 1.7, (3, 3)))
    total[:, POSE] += turned


def _swings(times: np.ndarray, seconds: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """The yaw, pitch and roll (f, 3) of n nods and shakes of one to three and a half cycles."""
    start, rate = rng.uniform(-1, seconds, n), rng.uniform(1.0, 2.6, n)
    cycles = rng.choice([1, 1.5, 2, 2.5, 3, 3.5], n)
    length = cycles / rate
    since = times - start[:, None]
    inside = (since >= 0) & (since <= length[:, None])
    fade = np.sin(np.pi * np.clip(since / length[:, None], 0, 1)) ** 0.5 * inside
    nods = rng.random(n) < 0.65
    wave = np.sin(2 * np.pi * rate[:, None] * since)
    nod = 0.5 - 0.5 * np.cos(2 * np.pi * rate[:, None] * since)
    nod = nod - 0.15 * np.sin(2 * np.pi * rate[:, None] * since)
    size = rng.uniform(2.5, 11, n) * np.where(nods, 1, rng.choice([-1, 1], n))
    moved = np.where(nods[:, None], nod, wave) * fade
    axes = np.zeros((n, 3))
    axes[np.arange(n), np.where(nods, 1, 0)] = size
    axes += rng.normal(0, 0.08, (n, 3)) * size[:, None]
    return moved.T @ axes


def _gaze(
    total: np.ndarray, times: np.ndarray, seconds: float, restless: float, rng: np.random.Generator
) -> None:
    """Add the gaze to `total` (f, 62): eyes jump and rest; the head follows wide jumps later, and the eyes
    turn back by as much.
    """
    starts = _moments(rng, float(rng.uniform(0.5, 2.5)), seconds)
    n = len(starts)
    kind = rng.choice(3, n, p=(0.45, 0.3, 0.25))
    small, large = rng.normal(0, (3.0, 2.0), (n, 2)), rng.uniform((-26, -15), (26, 17), (n, 2))
    targets = np.where((kind == 1)[:, None], small, np.where((kind == 2)[:, None], large, 0.0))
    apart = np.linalg.norm(np.diff(targets, axis=0, prepend=np.zeros((1, 2))), axis=1)
    looks = _steps(times, starts, 0.021 + 0.0022 * apart + 0.01, targets)  # Carpenter 1988
    follows = rng.uniform(0.0, 0.7) * min(restless, 1.3)
    wider = np.sign(targets) * np.maximum(np.abs(targets) - 7, 0) * follows
    late = starts + rng.uniform(0.04, 0.15, n)
    head = _steps(times, late, NECK + 0.015 * apart + rng.uniform(0, 0.2, n), wider)
    total[:, GAZE] += looks - head
    total[:, [YAW, PITCH]] += head
