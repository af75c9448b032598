"""Mixes channels to one or two: their average, or the loudest where they cancel each other.

Letters: c channels, n samples, w channels of the mix, s seconds of the sound.
"""

from __future__ import annotations

import logging

import numpy as np

log = logging.getLogger("actalker")
HALF = 0.5**0.5
SURROUND = {  # left and right from FL FR FC LFE and the pairs behind (ITU-R BS.775)
    6: [[1, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF]],
    8: [[1, 0, HALF, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF, 0, HALF]],
}
CANCELLED = 1 / 4  # of the power that channels with nothing in common would have
SPEECH = 4000  # Hz: differences over a period of it show speech, no offset and little hum
FADE = 100  # from one way of mixing to the next: 1 / FADE of a second
NEAR = 1 / 4  # of the loudest channel's power: a channel with more is not left for it
SAID = 1 / 100  # of the loudest second's power: quieter seconds are not in the warning


def mix_weights(channels: int, wanted: int) -> np.ndarray:
    """Weights (w, c) that mix c = `channels` to w = `wanted`, 1 or 2; each row has the sum 1."""
    if wanted == channels <= 2:
        weights = np.eye(channels)
    elif wanted == 2 and channels in SURROUND:
        weights = np.array(SURROUND[channels])
    else:
        weights = np.ones((wanted, channels))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class Mix:
    """How a sound's channels (c, n) are mixed to `wanted` ones, by weights that may change every second.

    Usually `mix_weights`. Channels can cancel each other (opposite polarity: a wrongly wired microphone): the
    mix then has less than a quarter of the power of a mix of independent channels. In such seconds the
    loudest channel is heard alone, with one warning.
    """

    def __init__(self, samples: np.ndarray, rate: int, wanted: int, name: str) -> None:
        self.rate = rate
        usual = mix_weights(len(samples), wanted)
        self.weights = usual[None]  # (1, w, c), or (s, w, c)
        if (usual > 0).sum(axis=1).max() == 1:
            return  # no two channels meet
        weights, power, lost = _by_second(samples, rate, usual)
        if lost.any():
            self.weights = weights
        heard = np.flatnonzero(lost & (power > SAID * power.max(initial=0)))
        if heard.size:
            end = min(int(heard[-1]) + 1, samples.shape[1] / rate)
            message = (
                "%s: its channels cancel each other between %d and %.4g s; there the louder one is heard"
            )
            log.warning(message, name, heard[0], end)

    def __call__(self, block: np.ndarray, start: int) -> np.ndarray:
        """Mix the samples from `start` on, (c, k) float32, to (w, k) float32."""
        if len(self.weights) == 1:
            return self.weights[0] @ block
        out = np.empty((self.weights.shape[1], block.shape[1]), np.float32)
        last = len(self.weights) - 1
        fade = max(1, self.rate // FADE)
        for second in range(start // self.rate, (start + block.shape[1] - 1) // self.rate + 1):
            first = max(second * self.rate - start, 0)
            part = block[:, first : (second + 1) * self.rate - start]
            now, before = self.weights[min(second, last)], self.weights[max(min(second, last) - 1, 0)]
            mixed = now @ part
            if (now != before).any():
                along = (np.arange(part.shape[1]) + first + start - second * self.rate) / fade
                mixed += (before @ part - mixed) * np.clip(1 - along, 0, 1).astype(np.float32)
            out[:, first : first + part.shape[1]] = mixed
        return out


def _by_second(
    samples: np.ndarray, rate: int, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each second: weights (s, w, c), power of the loudest channel (s,), whether channels cancel (s,)."""
    step = max(1, rate // SPEECH)
    seconds = max(1, -(-samples.shape[1] // rate))
    alone = np.zeros((seconds, *usual.shape))  # power of each channel that a mix takes
    mixed, apart = np.zeros((2, seconds, len(usual)))  # power of the mix; of channels with nothing in common
    for second in range(seconds):
        part = np.asarray(samples[:, second * rate : (second + 1) * rate], dtype=np.float32)
        if part.shape[1] <= step:
            continue
        change = part[:, step:] - part[:, :-step]
        together = (change @ change.T).astype(np.float64) / change.shape[1]
        alone[second] = np.where(usual > 0, np.diag(together), 0)
        mixed[second] = np.einsum("wc,cd,wd->w", usual, together, usual)
        apart[second] = (usual**2 * alone[second]).sum(axis=1)
    lost = mixed < CANCELLED * apart
    weights = np.broadcast_to(usual, (seconds, *usual.shape)).copy()
    for row in range(len(usual)):
        known = np.flatnonzero(apart[:, row])  # silence is mixed as what comes before it
        if not known.size:
            continue
        nearest = known[np.maximum(np.searchsorted(known, np.arange(seconds), side="right") - 1, 0)]
        # one channel throughout, unless another is far louder
        usually = int(alone[:, row].sum(axis=0).argmax())
        for k in np.flatnonzero(lost[nearest, row]):
            power = alone[nearest[k], row]
            channel = usually if power[usually] > NEAR * power.max() else int(power.argmax())
            weights[k, row] = np.arange(len(power)) == channel
    return weights, alone.max(axis=(1, 2)), lost.any(axis=1)
