"""Reading a puppet's motion back from its pictures.

For one anatomy, pictures of random motions are drawn and a kernel ridge regression learns to read the
channels from
small crops of mouth, eyes and head. It never sees a generated picture. How well it reads true pictures
that it has
not seen is measured beside everything that is measured with it.

Letters: f frames, P motion channels, r renders, s side of a frame.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.puppets.motion import CHANNELS, HIGH, INDEX, LOW, PARTS
from ..data.puppets.render import Puppet
from ..faces.face import FacePoints

RENDERS = 480
RIDGE = 1e-3
BLUR = 0.6  # pixels: generated pictures are a little soft
SEEN_BY = {  # which crops read which channels
    "mouth": ("jaw", "spread", "smile"),
    "eyes": ("lid_left", "lid_right", "brow_left", "brow_right", "gaze_x", "gaze_y"),
    "head": ("yaw", "pitch", "roll"),
}


class MotionReader:
    """Reads (f, P) channels, relative to the portrait's rest, from frames of one puppet."""

    def __init__(self, puppet: Puppet, points: FacePoints, seed: int = 0, renders: int = RENDERS) -> None:
        self.points, self.size = points, puppet.size
        rng = np.random.default_rng([seed, 77])
        motion = random_motions(rng, renders)
        frames = torch.cat([puppet.render(part) for part in np.array_split(motion, max(1, renders // 60))])
        self.fits = {}
        for crop, names in SEEN_BY.items():
            columns = [INDEX[name] for name in names]
            self.fits[crop] = (columns, _Kernel(self._features(frames, crop), motion[:, columns]))

    def read(self, frames: Tensor) -> np.ndarray:
        """Channels (f, P) of frames (f, 3, s, s) in [0, 1]."""
        out = np.zeros((len(frames), len(CHANNELS)))
        for crop, (columns, fit) in self.fits.items():
            out[:, columns] = fit(self._features(frames, crop))
        return np.clip(out, LOW, HIGH)

    def _features(self, frames: Tensor, crop: str) -> np.ndarray:
        unit, (x, y), (mx, my) = self.points.scale, self.points.eyes, self.points.mouth
        box, size = {
            "mouth": ((mx - 0.75 * unit, my - 0.45 * unit, mx + 0.75 * unit, my + 0.75 * unit), (22, 26)),
            "eyes": ((x - 0.95 * unit, y - 0.6 * unit, x + 0.95 * unit, y + 0.4 * unit), (22, 40)),
            "head": ((x - 1.4 * unit, y - 1.3 * unit, x + 1.4 * unit, y + 1.6 * unit), (26, 26)),
        }[crop]
        soft = _blurred(frames, BLUR)
        rows = torch.linspace(box[1], box[3], size[0]) * 2 / self.size - 1
        columns = torch.linspace(box[0], box[2], size[1]) * 2 / self.size - 1
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
        cut = F.grid_sample(
            soft, grid.expand(len(frames), -1, -1, -1), padding_mode="border", align_corners=False
        )
        return cut.flatten(1).double().numpy()


class _Kernel:
    """Ridge regression with a Gaussian kernel on principal components."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.mean = x.mean(0)
        _, scale, basis = np.linalg.svd(x - self.mean, full_matrices=False)
        keep = max(1, int((scale**2).cumsum().searchsorted(0.998 * (scale**2).sum())) + 1)
        self.basis = basis[:keep].T
        self.x = (x - self.mean) @ self.basis
        distance = _square_distance(self.x, self.x)
        self.width = 2.0 * float(np.median(distance[distance > 0]))
        kernel = np.exp(-distance / self.width)
        self.offset = y.mean(0)
        self.weights = np.linalg.solve(kernel + RIDGE * np.eye(len(x)), y - self.offset)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        near = np.exp(-_square_distance((x - self.mean) @ self.basis, self.x) / self.width)
        return near @ self.weights + self.offset


def _square_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)


def _blurred(frames: Tensor, sigma: float) -> Tensor:
    at = torch.arange(-2, 3).float()
    line = torch.exp(-0.5 * (at / sigma).square())
    kernel = torch.outer(line, line) / line.sum().square()
    padded = F.pad(frames, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(padded, kernel.expand(3, 1, 5, 5), groups=3)


def random_motions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Motions (count, P) that cover every channel's range, with rest as the most frequent value of each."""
    motion = rng.uniform(LOW, HIGH, (count, len(CHANNELS)))
    motion *= rng.random(motion.shape) < 0.6
    lids = [INDEX["lid_left"], INDEX["lid_right"]]
    together = rng.random(count) < 0.8
    motion[together, lids[1]] = motion[together, lids[0]]
    pose = [INDEX[name] for name in PARTS["expression"] if name in ("yaw", "pitch", "roll")]
    motion[:, pose] *= rng.uniform(0, 1, (count, 1))
    return motion.astype(np.float32)
