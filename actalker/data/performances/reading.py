"""A model of tracking errors: it maps a driver's motion to what `heads.track`, or a phone, measures.

The target of training is how the face moved; the model's input is this measurement. The constants are what
`python benchmarks/reading.py PORTRAITS` prints: known motions are drawn on generated portraits, with a
camera's noise, and tracked.

Letters: f frames.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from ...heads.face_map import NUMBERS
from ...heads.model import CLOSE, INDEX, ours
from ...heads.track import WIDEST, WINK
from ...heads.zips import smoothstep
from .looks import COUNT, PLACE, SHUT, gap_of

READ: dict[str, tuple[float, float, float]] = {  # gain; deviation of the error; the same where nothing moves
    "browDown": (0.20, 0.094, 0.028),
    "browInnerUp": (0.45, 0.059, 0.010),
    "browOuterUp": (0.54, 0.053, 0.011),
    "cheekSquint": (0.07, 0.032, 0.006),
    "eyeBlink": (0.95, 0.050, 0.008),
    "eyeSquint": (0.18, 0.068, 0.020),
    "eyeWide": (0.18, 0.091, 0.019),
    "jawLeft": (0.22, 0.031, 0.006),
    "jawOpen": (0.42, 0.018, 0.002),
    "jawRight": (0.14, 0.025, 0.005),
    "mouthDimple": (0.0, 0.020, 0.004),
    "mouthFrown": (0.21, 0.059, 0.010),
    "mouthFunnel": (0.08, 0.030, 0.002),
    "mouthLeft": (0.50, 0.039, 0.005),
    "mouthLowerDown": (0.12, 0.050, 0.006),
    "mouthPress": (0.24, 0.060, 0.011),
    "mouthPucker": (0.33, 0.061, 0.010),
    "mouthRight": (0.54, 0.040, 0.006),
    "mouthRollLower": (0.41, 0.035, 0.006),
    "mouthRollUpper": (0.19, 0.027, 0.006),
    "mouthShrugLower": (0.27, 0.049, 0.011),
    "mouthShrugUpper": (0.51, 0.077, 0.008),
    "mouthSmile": (0.73, 0.038, 0.005),
    "mouthStretch": (0.18, 0.045, 0.010),
    "mouthUpperUp": (0.18, 0.031, 0.005),
    "noseSneer": (0.31, 0.033, 0.005),
    "mouthClose": (0.95, 0.10, 0.010),  # here and below: the lips' opening, cm
    "yaw": (0.93, 0.40, 0.10),
    "pitch": (0.76, 0.57, 0.11),
    "roll": (1.0, 0.19, 0.045),
    "x": (0.95, 0.16, 0.017),
    "y": (0.8, 0.27, 0.019),
    "z": (0.85, 0.36, 0.073),
    "gaze right": (0.58, 1.23, 0.21),
    "gaze down": (0.30, 1.34, 0.21),
}  # cheekPuff, jawForward, tongueOut are not read at all
CROSS: dict[tuple[str, str], float] = {  # (source, target): what the target reads where the source is 1
    ("eyeBlink", "gaze down"): 6.0,  # of either eye
    ("eyeBlink", "eyeWide"): -0.42,
    ("eyeBlink", "eyeSquint"): 0.10,
    ("eyeBlink", "noseSneer"): 0.07,
    ("eyeBlink", "pitch"): -0.6,
    ("gaze down", "eyeBlink"): 0.012,
    ("gaze down", "eyeWide"): -0.015,
    ("gaze down", "eyeSquint"): -0.008,
    ("pitch", "browDown"): -0.02,
    ("pitch", "x"): 0.04,
    ("pitch", "y"): 0.02,
    ("jawOpen", "mouthShrugUpper"): -0.73,
    ("mouthClose", "mouthShrugUpper"): 0.23,
    ("mouthClose", "mouthLowerDown"): 0.12,
    ("mouthClose", "jawOpen"): 0.11,
    ("mouthClose", "mouthFunnel"): 0.09,
    ("mouthClose", "mouthShrugLower"): 0.07,
    ("mouthClose", "mouthRollUpper"): 0.05,
    ("mouthClose", "noseSneer"): 0.05,
    ("mouthLeft", "yaw"): 2.7,
    ("mouthLeft", "roll"): -2.2,
    ("mouthLeft", "mouthPress_R"): 0.42,
    ("mouthLeft", "mouthLowerDown_R"): 0.29,
    ("mouthLeft", "jawLeft"): 0.13,
    ("mouthRight", "yaw"): -2.9,
    ("mouthRight", "roll"): 1.9,
    ("mouthRight", "mouthPress_L"): 0.41,
    ("mouthRight", "mouthLowerDown_L"): 0.33,
    ("mouthShrugLower", "mouthRollLower"): 0.12,
    ("mouthRollLower", "mouthRollUpper"): 0.10,
}
OTHER_SIDE = 0.2  # share of one side's reading that goes to the other side
VARIES = 0.25  # deviation of a gain's natural logarithm from driver to driver
CLEARER = 0.25  # most of a drawn head's loss that a filmed one recovers: it has folds and shade
FILMED = {"browDown": (0.30, 0.030), "browInnerUp": (0.50, 0.035)}  # gain and error there: brows fold most
LESS = 0.6  # how much of CLEARER also lowers the errors
STAYS, PLACE_STAYS = 0.92, 0.98  # share of an error, and of a place's, that is left a frame later
FULL = 0.7  # sum of moving coefficients at which errors are full; 10 degrees count as 1
WHOLE = 1.4  # factor on the errors where much moves: READ has averages, also over frames clipped at 0
TAKES = 0.15  # share of drivers that are takes of a phone: every coefficient, hardly any error, no place
TAKE_VARIES, TAKE_ERROR, TAKE_ANGLE = 0.15, 0.012, 0.2
LOST, LOSSES, LOST_FOR = 0.2, 3, (1, 25)  # share of clips that lose the face; how often at most; frames
HARDLY, LIPS_VARY = (0.08, 0.25), 0.12  # cm at which lips are read as shut and as parted; deviation of a gain
BETWEEN = 0.25  # share of clips whose frames lie between those of the driver
OWN = (0.02, 0.14)  # coefficients of a driver's rest, which reading keeps within [0, 1]
LEAST_SURE = 0.3

_BLINKS = [INDEX["eyeBlink_R"], INDEX["eyeBlink_L"]]
_PLACES = [PLACE[name] for name in ("x", "y", "z")]
_QUICK = [k for k in range(len(NUMBERS)) if k not in _PLACES]
_ANGLES = [PLACE[name] for name in ("yaw", "pitch", "roll")]
_ONE = [INDEX[key] for name in ("browInnerUp", "cheekPuff") for key in ours(name)]


def _keys(name: str) -> list[int]:
    return [PLACE[key] for key in ours(name) or (name,)]


def _mixing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mixing matrix (62, 62), and the errors' deviations in motion and at rest, (62,) each.

    Row k of the matrix holds what is read of all numbers where number k is 1 and the others are 0.
    """
    mix, error, rest = np.zeros((62, 62)), np.zeros(62), np.zeros(62)
    for name, (gain, moving, still) in READ.items():
        keys = _keys(name)
        error[keys], rest[keys] = moving, still
        for key in keys:
            mix[keys, key] = gain * OTHER_SIDE
            mix[key, key] = gain * (1 - OTHER_SIDE if len(keys) == 2 else 1)
    for (source, target), weight in CROSS.items():
        sources, targets = _keys(source), _keys(target)
        for k, key in enumerate(targets):
            if len(sources) == len(targets) == 2:
                mix[sources[k], key] += weight
            else:
                mix[sources, key] += weight
    return mix, error, rest


def _filmed(drawn: np.ndarray, place: int) -> np.ndarray:
    """Return gains (place 0) or errors (place 1), (62,), of drawn heads with those of `FILMED` put in."""
    out = drawn.copy()
    for name, values in FILMED.items():
        out[_keys(name)] = values[place]
    return out


_MIX, _ERROR, _REST = _mixing()
_GAIN: np.ndarray = np.diag(_MIX).copy()
_NOT_READ: np.ndarray = _GAIN < 1e-6
_CLEAR_GAIN: np.ndarray = _filmed(_GAIN + CLEARER * (1 - _GAIN), 0)
_CLEAR_ERROR: np.ndarray = _filmed((1 - LESS * CLEARER) * _ERROR, 1)
_CLEAR_REST: np.ndarray = (1 - LESS * CLEARER) * _REST


def as_read(numbers: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the reading of a motion by a tracker.

    The reading is weaker than the motion, numbers leak into one another, errors come and go slowly, both lids
    are read together, and the face may be lost for a while. In 25 % of calls the motion is sampled up to half
    a frame earlier, as if the video's frames lay between those of the motion. In 15 % the reading has the
    errors of a phone's face capture instead of those of `heads.track`. The numbers eyeLook stay 0.

    Args:
        numbers: (f, 62) the motion.
        rng: source of all random choices.
    Returns: the reading (f, 62) float32, and its confidence (f,) in [0, 1], 0 where the face is lost.
    """
    true = np.array(numbers, np.float64)
    opening = gap_of(true) - CLOSE * true[:, SHUT]
    if rng.random() < BETWEEN:
        true, opening = _shifted(rng.uniform(0, 0.5), true, opening)
    if rng.random() < TAKES:
        read, read_opening = _taken(true, opening, rng)
    else:
        read, read_opening = _tracked(true, opening, rng)
    read[:, SHUT] = (gap_of(read) - read_opening) / CLOSE
    sure = _confidence(len(read), rng)
    return _without(read, sure).astype(np.float32), sure.astype(np.float32)


def _shifted(share: float, true: np.ndarray, opening: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion and the lips' opening at times that lie `share` of a frame earlier."""
    both = np.concatenate([true, opening[:, None]], 1)
    both[1:] = (1 - share) * both[1:] + share * both[:-1]
    return both[:, :-1], both[:, -1]


def _taken(true: np.ndarray, opening: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a phone's reading: motion (f, 62), all but mouthClose, and the lips' opening (f,) in cm."""
    gain = np.exp(rng.normal(0, TAKE_VARIES, true.shape[1]))
    gain[COUNT:] = 1
    read = true * gain + _errors(true, np.where(np.arange(62) < COUNT, TAKE_ERROR, TAKE_ANGLE), rng)
    for first, second in (_ONE[:2], _ONE[2:]):
        read[:, [first, second]] = read[:, [first, second]].mean(1, keepdims=True)
    read[:, _PLACES] = 0
    read[:, :COUNT] = np.clip(read[:, :COUNT], -1, 1)
    read[:, [k for k, name in enumerate(NUMBERS) if name.startswith("eyeLook")]] = 0
    return read, opening + 0.02 * rng.normal(size=len(opening))


def _tracked(
    true: np.ndarray, opening: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a video's reading: motion (f, 62), all but mouthClose, and the lips' opening (f,) in cm."""
    seen = true.copy()
    seen[:, SHUT] = opening
    clear = rng.random()
    gains = (_GAIN + clear * (_CLEAR_GAIN - _GAIN)) * np.exp(
        rng.normal(0, VARIES, 62) * np.where(_GAIN > 0.7, 0.4, 1)
    )
    gains[_NOT_READ] = 0
    mix = _MIX * rng.uniform(0.3, 1.4, _MIX.shape)
    np.fill_diagonal(mix, gains)
    read = seen @ mix
    moving = np.abs(true[:, :COUNT]).sum(1) / 2 + np.abs(true[:, _ANGLES]).sum(1) / 10
    much = np.minimum(moving / FULL, 1)[:, None]
    error = _ERROR + clear * (_CLEAR_ERROR - _ERROR)
    rest = _REST + clear * (_CLEAR_REST - _REST)
    size = rest + (WHOLE * error - rest) * much
    errors = _errors(true, size, rng)
    lids = _lids(seen @ mix, errors)
    read += errors
    own_rest = np.maximum(rng.normal(*OWN, COUNT), 0)
    read[:, :COUNT] = np.clip(own_rest + read[:, :COUNT], 0, 1) - own_rest
    read[:, _BLINKS] = lids
    return read, _lips(opening, errors[:, SHUT], rng)


def _lids(read: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the lids (f, 2) as tracked: alike except for winks, with errors where they are open."""
    lids = read[:, _BLINKS]
    mean = lids.mean(1, keepdims=True)
    wink = smoothstep(np.abs(lids[:, 0] - lids[:, 1]), *WINK)[:, None]
    lids = mean + wink * (lids - mean)
    error = errors[:, _BLINKS[:1]]
    return np.clip(lids + error * np.clip(1 - lids, 0, 1), WIDEST, 1)


def _lips(opening: np.ndarray, error: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the lips' opening (f,) in cm as tracked: lips that are hardly parted are read as shut."""
    read = opening * np.exp(rng.normal(0, LIPS_VARY)) + error
    parted = smoothstep(read, *HARDLY)
    return np.where(opening >= 0, parted * read, read)


def _errors(true: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw errors (f, 62) of standard deviation `size`, (f, 62), which are correlated over some frames."""
    white = rng.normal(size=(len(true) + 1, 62))
    for columns, stays in ((_QUICK, STAYS), (_PLACES, PLACE_STAYS)):
        part = white[:, columns]
        part[1:] *= np.sqrt(1 - stays**2)
        white[:, columns] = lfilter([1.0], [1.0, -stays], part, axis=0)
    return white[1:] * size


def _confidence(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a confidence (f,): 1 in most clips, lower in some, 0 where the face is lost."""
    sure: np.ndarray = np.full(frames, 1.0 if rng.random() < 0.6 else rng.uniform(LEAST_SURE, 1))
    if rng.random() < LOST:
        for _ in range(rng.integers(1, LOSSES + 1)):
            start = rng.integers(0, frames)
            sure[start : start + int(np.exp(rng.uniform(*np.log(LOST_FOR))))] = 0
    if not sure.any():
        sure[rng.integers(0, frames)] = 1
    return sure


def _without(read: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Return the reading with frames without a face (sure 0) interpolated from the frames around them."""
    there = np.flatnonzero(sure > 0)
    if len(there) == len(sure):
        return read
    at = np.arange(len(sure))
    right = np.clip(np.searchsorted(there, at), 0, len(there) - 1)
    after, before = there[right], there[np.maximum(right - (there[right] > at), 0)]
    share = ((at - before) / np.maximum(after - before, 1))[:, None]
    return read[before] * (1 - np.clip(share, 0, 1)) + read[after] * np.clip(share, 0, 1)
