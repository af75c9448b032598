"""The motion of a puppet: named channels over time, the channels of each signal, and their gated sum.

A motion is (f, P): f frames, one column for each of P channels, relative to the portrait's rest state, so
zeros are the portrait. Directions are the image's: x to the right, y down, left is the image's left.
Tracks are drawn on a fine grid of TRACK_RATE values a second and read at exact frame times, so that sound and
picture of a performance come from one curve.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter1d

CHANNELS = (
    "jaw",  # [0, 1]   opening; 1 parts the lips by 0.11 of the frame and drops the chin by 0.06
    "spread",  # [-1, 1]  rounded .. wide lips
    "lid_left",  # [0, 1]   closing
    "lid_right",
    "brow_left",  # [-1, 1]  up is +, 0.035 of the frame
    "brow_right",
    "gaze_x",  # [-1, 1]  to the image's right is +
    "gaze_y",  # [-1, 1]  down is +
    "yaw",  # [-1, 1]  the nose to the image's right is +
    "pitch",  # [-1, 1]  the nose down is +
    "roll",  # [-1, 1]  clockwise as seen is +, 8 degrees
    "smile",  # [-1, 1]  mouth corners up is +, 0.03 of the frame
)
INDEX = {name: i for i, name in enumerate(CHANNELS)}
LOW = np.array([0 if c in ("jaw", "lid_left", "lid_right") else -1 for c in CHANNELS], np.float32)
HIGH = np.ones(len(CHANNELS), np.float32)
PARTS: dict[str, tuple[str, ...]] = {  # which channels a signal may move
    "audio": ("jaw", "spread"),
    "expression": CHANNELS[2:11],
    "text": CHANNELS[2:],
}
TRACK_RATE = 200  # values a second of a track; a blink closes in 14 of them

JAW_OPENING, CHIN_DROP = 0.11, 0.06  # of the frame, at jaw = 1
BROW_RAISE, SMILE_LIFT = 0.035, 0.03
ROLL_DEGREES, HEAD_SHIFT = 8.0, 0.03


def still(frames: int) -> np.ndarray:
    """The motion of a face that stays at rest, zeros (frames, P)."""
    return np.zeros((frames, len(CHANNELS)), np.float32)


def compose(parts: Mapping[str, np.ndarray], gates: Mapping[str, np.ndarray | float]) -> np.ndarray:
    """The motion of gated signals together, (f, P): the sum of gate times part, clipped to LOW and HIGH.

    parts: signal -> motion (f, P). gates: signal -> a number or (f,) in [0, 1]; without one it is closed.
    A closed gate leaves its signal's channels at the portrait's rest, bit for bit.
    """
    first = next(iter(parts.values()))
    total = np.zeros_like(first)
    for name, part in parts.items():
        gate = np.broadcast_to(np.asarray(gates.get(name, 0.0), np.float32), (len(part),))
        total += gate[:, None] * part
    return np.clip(total, LOW, HIGH) + 0.0  # + 0.0: a gate of zero leaves -0.0 behind


def at_frames(track: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The values (f, ...) of a track (n, ...) at `times` (f,) seconds, linear between its values."""
    place = np.clip(np.asarray(times, np.float64) * TRACK_RATE, 0, len(track) - 1)
    low = np.minimum(place.astype(np.int64), len(track) - 2)
    weight = (place - low).reshape(-1, *[1] * (track.ndim - 1))
    return (track[low] * (1 - weight) + track[low + 1] * weight).astype(np.float32)


def through(times: list[float], values: list[float], length: int) -> np.ndarray:
    """A track (length,) through `values` at `times`, ascending seconds, by half cosines between them."""
    t, at, v = np.arange(length) / TRACK_RATE, np.asarray(times), np.asarray(values)
    i = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
    s = np.clip((t - at[i]) / np.maximum(at[i + 1] - at[i], 1e-9), 0, 1)
    return v[i] + (v[i + 1] - v[i]) * (0.5 - 0.5 * np.cos(np.pi * s))


def speech(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A random track of speech, (n, P): syllables at 3-6 Hz, closures between, pauses of 0.2-0.6 s."""
    n = int(np.ceil(seconds * TRACK_RATE)) + 1
    track = still(n)
    vigour, tempo = rng.uniform(0.6, 1.0), rng.uniform(3.3, 5.5)
    t = -rng.uniform(0, 0.5)
    jaw_t, jaw_v, spread_t, spread_v = [t - 0.1], [0.0], [t - 0.1], [0.0]
    left = int(rng.integers(2, 9))
    while t < seconds + 0.5:
        if left == 0:
            rest = rng.uniform(0.2, 0.6)
            jaw_t += [t, t + rest]
            jaw_v += [0.0, 0.0]
            spread_t += [t + 0.4 * rest, t + 0.6 * rest]
            spread_v += [0.0, 0.0]
            t, left = t + rest, int(rng.integers(3, 10))
        length = 1 / np.clip(tempo * rng.uniform(0.8, 1.25), 3, 6)
        opening = vigour * rng.uniform(0.2, 1.0)
        closure = 0.0 if rng.random() < 0.65 else opening * rng.uniform(0.1, 0.4)
        jaw_t += [t + 0.06 * length, t + rng.uniform(0.42, 0.58) * length]
        jaw_v += [closure, opening]
        spread_t.append(t + 0.5 * length)
        spread_v.append(rng.uniform(-1, 1))
        t, left = t + length, left - 1
    track[:, INDEX["jaw"]] = gaussian_filter1d(through(jaw_t, jaw_v, n), 0.012 * TRACK_RATE)
    track[:, INDEX["spread"]] = gaussian_filter1d(through(spread_t, spread_v, n), 0.02 * TRACK_RATE)
    return np.clip(track, LOW, HIGH)


def steps(
    rng: np.random.Generator,
    seconds: float,
    hold: tuple[float, float],
    move: tuple[float, float],
    centre: float = 0.4,
) -> np.ndarray:
    """A random track (n,) in [-1, 1] that holds a value, moves to the next one and holds that.

    hold, move: least and most seconds of each. centre: chance that the next value is zero.
    """
    t = -rng.uniform(*hold)
    times, values = [t - 1.0], [0.0]
    while t < seconds + 0.1:
        value = 0.0 if rng.random() < centre else rng.uniform(-1, 1)
        times += [t, t + rng.uniform(*move)]
        values += [values[-1], value]
        t = times[-1] + rng.uniform(*hold)
    return through([*times, t + 1], [*values, values[-1]], int(np.ceil(seconds * TRACK_RATE)) + 1)


def blinks(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Random closing of the left and right lid, (n, 2): blinks of about 0.2 s every 1-3 s, few of one eye."""
    n = int(np.ceil(seconds * TRACK_RATE)) + 1
    t = rng.uniform(-1, 1)
    times, values = [t - 0.5], [np.zeros(2)]
    while t < seconds:
        long = rng.random() < 0.15
        depth = np.ones(2) if rng.random() < 0.88 else np.roll([1.0, 0.0], rng.integers(2))
        depth = depth * (rng.uniform(0.4, 1) if rng.random() < 0.15 else 1)
        shut = rng.uniform(0.2, 0.9) if long else 0.04
        times += [t, t + 0.07, t + 0.07 + shut, t + 0.17 + shut]
        values += [np.zeros(2), depth, depth, np.zeros(2)]
        t = times[-1] + rng.uniform(0.8, 2.8)
    times.append(t + 1)
    values.append(np.zeros(2))
    return np.stack([through(times, [v[k] for v in values], n) for k in (0, 1)], 1)


def driving(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A random track of a driver, (n, P): blinks, brows, saccades and head pose."""
    n = int(np.ceil(seconds * TRACK_RATE)) + 1
    track = still(n)
    track[:, INDEX["lid_left"]], track[:, INDEX["lid_right"]] = blinks(rng, seconds).T
    both, uneven = (
        steps(rng, seconds, (0.2, 1.0), (0.15, 0.4)),
        steps(rng, seconds, (0.3, 1.2), (0.2, 0.4), 0.6),
    )
    vigour = rng.uniform(0.5, 1.0)
    track[:, INDEX["brow_left"]] = vigour * (both + 0.5 * uneven)
    track[:, INDEX["brow_right"]] = vigour * (both - 0.5 * uneven)
    for name in ("gaze_x", "gaze_y"):
        track[:, INDEX[name]] = steps(rng, seconds, (0.3, 1.3), (0.03, 0.06))
    amount = rng.uniform(0.3, 1.0)
    for name in ("yaw", "pitch", "roll"):
        track[:, INDEX[name]] = amount * steps(rng, seconds, (0.0, 0.5), (0.35, 0.9), 0.15)
    return np.clip(track, LOW, HIGH)
