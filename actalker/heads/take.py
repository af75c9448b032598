"""Takes: a head's motion as the CSV file that Epic's app Live Link Face writes from a phone's ARKit.

Its columns are 52 blendshapes of ARKit, then nine rotations in radians. browInnerUp and cheekPuff are one
column there and two coefficients here. The head's place is not in the file. Signs were checked against
recordings of the app: eyes that look to the person's left have a negative yaw, eyes that look down a positive
pitch, and so does the head, by Unreal's conversion from ARKit (yaw to the person's right, pitch down, roll
clockwise as the camera sees it).
"""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..provenance import check_readable
from .model import COEFFICIENTS, INDEX, ours
from .motion import HeadMotion

# fmt: off
SHAPES = (  # in the app's order
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft",
    "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight",
    "EyeSquintRight", "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose",
    "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight",
    "MouthFrownLeft", "MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft",
    "MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper",
    "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft",
    "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft",
    "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight",
    "TongueOut",
)
# fmt: on
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
EYES = ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
NUMBERS = SHAPES + HEAD + EYES
TIME, COUNT = "Timecode", "BlendshapeCount"
SIGNS = np.array([-1.0, 1.0, 1.0])  # of our yaw, pitch and roll there
CLOCK = 60  # frames of the timecode's second, as the app counts them
CLOCKS = (24, 25, 30, CLOCK)
FINE = 1000  # parts of such a frame that the timecode's decimals count
CODE = re.compile(r"(\d+):(\d\d):(\d\d)[:;](\d\d(?:\.\d+)?)")
MOST, MOST_TURN = 2.0, 3.2  # of a coefficient, which exceeds 1 by little; radians
HELP = "give a take of Live Link Face (.csv)"


def write_take(path: str | Path, motion: HeadMotion) -> None:
    """Writes a motion as a take.

    A frame without a face has a count of 0 and no numbers, as in the app's own files. Negative coefficients
    are written as they are: mouthClose that opens the lips further, lids that are wider open than usual.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow((TIME, COUNT, *NUMBERS))
        for time, numbers, sure in zip(motion.times, _numbers(motion), motion.confidence, strict=True):
            if sure > 0:
                rows.writerow((_code(time), len(NUMBERS), *(f"{number:.10f}" for number in numbers)))
            else:
                rows.writerow((_code(time), 0))


def _numbers(motion: HeadMotion) -> np.ndarray:
    """The numbers (f, 61) of a motion in the order and with the signs of the columns."""
    keys = [[INDEX[key] for key in ours(name[0].lower() + name[1:])] for name in SHAPES]
    shapes = np.stack([motion.coefficients[:, key].mean(1) for key in keys], 1)
    yaw, pitch = -np.radians(motion.gaze[:, 0]), np.radians(motion.gaze[:, 1])
    level = np.zeros_like(yaw)
    eyes = np.stack([yaw, pitch, level, yaw, pitch, level], 1)
    return np.concatenate([shapes, np.radians(motion.pose[:, :3]) * SIGNS, eyes], 1)


def _code(time: float) -> str:
    """A time in seconds as hours, minutes, seconds and frames of 1/60 second."""
    fine = round(Fraction(float(time)) * CLOCK * FINE)
    frames, part = divmod(fine, FINE)
    seconds, frames = divmod(frames, CLOCK)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}.{part:03d}"


def read_take(path: str | Path) -> HeadMotion:
    """Reads a take of Live Link Face as an absolute motion.

    Times count from its first row; the head's place is 0. Frames without numbers have confidence 0 and are
    interpolated linearly from their neighbours. Raises: InputError for another kind of file; the message says
    what is wrong, and in which row.
    """
    path = check_readable(path, "take")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: is no table of text; {HELP}") from None
    columns = {name.strip().lower(): k for k, name in enumerate(rows[0])} if rows else {}
    missing = [name for name in (TIME, *NUMBERS) if name.lower() not in columns]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"{path}: has no column {missing[0]}{more}; {HELP}")
    if len(rows) < 2:
        raise InputError(f"{path}: holds no frames; {HELP}")
    clock = _clock(path, [row[columns[TIME.lower()]] for row in rows[1:]])
    places = [columns[name.lower()] for name in NUMBERS]
    numbers = np.full((len(rows) - 1, len(NUMBERS)), np.nan)
    for k, row in enumerate(rows[1:]):
        cells = [row[place].strip() if place < len(row) else "" for place in places]
        if any(cells):
            numbers[k] = [_number(path, k, name, cell) for name, cell in zip(NUMBERS, cells, strict=True)]
    return _motion(path, clock, numbers)


def _number(path: Path, row: int, name: str, cell: str) -> float:
    """The number in a cell of column `name`. Raises: InputError where it is none or out of range."""
    limit = MOST if name in SHAPES else MOST_TURN
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not abs(value) <= limit:
        what = "a coefficient of 0 to 1" if name in SHAPES else "an angle in radians"
        raise InputError(f"{path}: {name} is {cell[:20]!r} in frame {row + 1}; {what} is needed: {HELP}")
    return value


def _clock(path: Path, codes: list[str]) -> np.ndarray:
    """Timecodes HH:MM:SS:FF as seconds (f,) from the first row on. Raises: InputError.

    A second has 24, 25, 30 or 60 frames: the fewest that the largest number of a frame allows, if the take
    is longer than a second; else 60.
    """
    parts = []
    for k, code in enumerate(codes):
        match = CODE.fullmatch(code.strip())
        if match is None:
            raise InputError(
                f"{path}: the timecode of frame {k + 1} is {code[:30]!r}, not HH:MM:SS:FF; {HELP}"
            )
        parts.append([float(part) for part in match.groups()])
    hours, minutes, seconds, frames = np.array(parts).T
    whole = 3600 * hours + 60 * minutes + seconds
    turned = len(np.unique(whole)) > 2  # a whole second at least is seen
    most = frames.max()
    per = next((one for one in CLOCKS if most < one), CLOCK) if turned else CLOCK
    times = whole + frames / per
    times += 86400 * np.cumsum(np.append(0, np.diff(times) < -43200))  # over midnight
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise InputError(
            f"{path}: time goes back at frame {back[0] + 2} ({codes[back[0] + 1].strip()}); {HELP}"
        )
    return times - times[0]


def _motion(path: Path, times: np.ndarray, numbers: np.ndarray) -> HeadMotion:
    """The motion of numbers (f, 61), NaN where a frame shows no face, at times (f,), seconds."""
    seen = ~np.isnan(numbers[:, 0])
    if not seen.any():
        raise InputError(f"{path}: shows a face in none of its {len(times)} frames; {HELP}")
    filled = np.stack([np.interp(times, times[seen], column[seen]) for column in numbers.T], 1)
    table = dict(zip(NUMBERS, filled.T, strict=True))
    coefficients = np.zeros((len(times), len(COEFFICIENTS)))
    for name in SHAPES:
        for key in ours(name[0].lower() + name[1:]):
            coefficients[:, INDEX[key]] = table[name]
    turned = np.degrees(np.stack([table[name] for name in HEAD], 1)) * SIGNS
    right = -np.degrees((table["LeftEyeYaw"] + table["RightEyeYaw"]) / 2)
    down = np.degrees((table["LeftEyePitch"] + table["RightEyePitch"]) / 2)
    return HeadMotion(
        times=times,
        coefficients=coefficients,
        pose=np.concatenate([turned, np.zeros((len(times), 3))], 1),
        gaze=np.stack([right, down], 1),
        confidence=seen.astype(float),
        shot=np.zeros(len(times), int),
    )
