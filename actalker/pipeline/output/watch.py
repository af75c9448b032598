"""Scores of a clip while it is written: seams between windows, drift of colour and of identity.

Letters: h w picture size.
"""

from __future__ import annotations

from collections import deque
from math import ceil

import numpy as np
import torch
from torch.nn import functional as F

from ...diffusion.shifted import shifted_windows
from ...diffusion.windows import windows
from ..request import Request


class Watch:
    """Scores a clip from its frames, one after another, in constant memory. `report` returns:

    seam: mean absolute change between neighbouring frames where windows meet, over that inside of windows;
        about 1 where no seam shows. None for clips of one window, and where nothing moves.
    colour_drift: mean red, green and blue of the last second less those of the first, of 255.
    identity_drift: 1 less the cosine between the identity tokens of the last and of the first frame; 0 for
        the same face. None for models without identity, and those that read it from no picture.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.edges = edges(request)
        second = ceil(request.inputs.fps)
        self.beginning: list[np.ndarray] = []
        self.ending: deque[np.ndarray] = deque(maxlen=second)
        self.second = second
        self.jumps: dict[bool, list[float]] = {True: [0.0, 0.0], False: [0.0, 0.0]}  # sum and count
        self.first = self.last = np.zeros((0, 0, 3), np.uint8)
        self.number = 0

    def see(self, frame: np.ndarray) -> None:
        """Add the next frame, (h, w, 3) uint8."""
        if self.number:
            jump = self.jumps[self.number in self.edges]
            jump[0] += float(np.abs(frame.astype(np.int16) - self.last).mean())
            jump[1] += 1
        else:
            self.first = frame
        colour = frame.mean((0, 1))
        if len(self.beginning) < self.second:
            self.beginning.append(colour)
        self.ending.append(colour)
        self.last = frame
        self.number += 1

    def report(self) -> dict[str, object]:
        """Return the scores of the frames so far, for the sidecar."""
        at, inside = ((total / count if count else 0.0) for total, count in self.jumps.values())
        drift = np.mean(self.ending, axis=0) - np.mean(self.beginning, axis=0)
        return {
            "seam": round(at / inside, 3) if self.edges and inside > 0 else None,
            "colour_drift": [round(float(v), 3) for v in drift],
            "identity_drift": self._identity_drift(),
        }

    @torch.no_grad()
    def _identity_drift(self) -> float | None:
        inputs = self.request.inputs
        if "identity" not in inputs.model.encoders or inputs.model.reads_reference():
            return None
        pictures = torch.from_numpy(np.stack([self.first, self.last])).permute(0, 3, 1, 2)
        pixels = (pictures.to(inputs.pixels.device).float() / 127.5 - 1).to(inputs.pixels.dtype)
        first, last = inputs.model.encoders["identity"](pixels).float().flatten(1)
        if not first.any():  # a model whose identity tokens are empty
            return None
        return round(max(0.0, 1 - float(F.cosine_similarity(first, last, dim=0))), 4)


def edges(request: Request) -> set[int]:
    """Return the video frames at which a window begins, or at which the window before that one ends.

    Frame 0 is not among them. With shifted windows they are the starts of the windows of the last step.
    """
    inputs, codec, config = request.inputs, request.inputs.model.codec, request.inputs.model.config
    latents = codec.latents_of(inputs.frames)
    if request.sampling.windows == "shifted":
        offset = (request.sampling.steps - 1) * config.sampling.shift % config.window
        firsts = {places[0] for places in shifted_windows(latents, config.window, offset)}
    else:
        plan = windows(latents, config.window, config.overlap)
        met = zip(plan, plan[1:], strict=False)
        firsts = {place for (_, stop), (start, _) in met for place in (start, stop)}
    return {frame for frame in map(codec.frames_of, firsts) if 0 < frame < inputs.frames}
