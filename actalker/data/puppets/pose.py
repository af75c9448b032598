"""The maps between a head's points and the frame: portrait placement, head pose, parallax, jaw.

Head coordinates are the canonical crop's unit square. From the frame to the head: undo the portrait's
placement (scale, shift, tilt) and the head's motion (roll about the neck, shift), then slide on the sphere of
the head by yaw and pitch. Drawing needs only this backward map; landmarks invert it by fixed-point steps.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .anatomy import FACE_Y, MOUTH_Y, NOSE_Y, Anatomy
from .motion import CHIN_DROP, HEAD_SHIFT, INDEX, JAW_OPENING, ROLL_DEGREES

NECK = (0.5, 0.82)  # the head rolls about it
TURN = (0.058, 0.046)  # parallax shift of the nose's tip at yaw = 1 and pitch = 1
PARTED = 0.004  # an opening above which lips show what is between them


class Pose:
    """Map points between the frame and the head, for each frame of a motion.

    channels: (f, P) absolute, with the portrait's rest state added.
    """

    def __init__(self, anatomy: Anatomy, channels: Tensor) -> None:
        self.anatomy = anatomy
        self.channel = {name: channels[:, i] for name, i in INDEX.items()}
        yaw, pitch, roll = (self.channel[k] for k in ("yaw", "pitch", "roll"))
        self.yaw, self.pitch = TURN[0] * yaw, TURN[1] * pitch
        self.parted = float((JAW_OPENING * self.channel["jaw"]).max()) > PARTED  # in any frame
        place = _similarity(anatomy.scale, math.radians(anatomy.tilt), (0.5, 0.5), anatomy.shift)
        angle = torch.deg2rad(ROLL_DEGREES * roll.double())
        cos, sin = torch.cos(angle), torch.sin(angle)
        moved = torch.zeros(len(roll), 3, 3, dtype=torch.float64)
        moved[:, 0, 0], moved[:, 0, 1], moved[:, 1, 0], moved[:, 1, 1], moved[:, 2, 2] = (
            cos,
            -sin,
            sin,
            cos,
            1.0,
        )
        neck = torch.tensor(NECK, dtype=torch.float64)
        slide = torch.stack([yaw, pitch], 1).double() * HEAD_SHIFT
        moved[:, :2, 2] = neck - (moved[:, :2, :2] @ neck) + slide
        self.place = place  # canonical to frame: the body's
        self.forward = (place @ moved).float()  # head to frame (f, 3, 3)
        self.backward = torch.linalg.inv(place @ moved).float()

    def depth(self, u: Tensor, v: Tensor) -> Tensor:
        """Return how far the point (u, v) is in front of the head's outline, 0 to about 1."""
        a = self.anatomy
        x2 = (u - 0.5).square_()
        dome = (1 - x2 * (1 / a.face_width**2) - ((v - FACE_Y) * (1 / 0.43)).square_()).clamp_(min=0)
        nose = (1 - x2 * (1 / 0.055**2) - ((v - NOSE_Y) * (1 / 0.12)).square_()).clamp_(min=0).square_()
        return dome.mul_(0.72).add_(nose, alpha=0.35)

    def to_head(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map frame coordinates x (w,), y (h,) to head coordinates.

        Returns u, v on the head's surface, and u0, v0 without the parallax of yaw and pitch, which parts at
        the head's outline need; each is (f, h, w).
        """
        m = self.backward
        u0 = m[:, 0, 0, None, None] * x[None, None] + (m[:, 0, 1, None] * y + m[:, 0, 2, None])[..., None]
        v0 = m[:, 1, 0, None, None] * x[None, None] + (m[:, 1, 1, None] * y + m[:, 1, 2, None])[..., None]
        depth = self.depth(u0, v0)
        u = torch.addcmul(u0, depth, self.yaw[:, None, None], value=-1)
        v = torch.addcmul(v0, depth, self.pitch[:, None, None], value=-1)
        return u, v, u0, v0

    def jaw_share(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the share of the chin's drop at skin (u, v): 0 above the mouth, 1 at the chin."""
        t = ((v - (MOUTH_Y - 0.07)) * (1 / 0.2)).clamp_(0, 1)
        side = (1 - ((u - 0.5) * (1 / 0.42)).square_()).clamp_(min=0)
        return t.square().mul_(3 - 2 * t).mul_(side)

    def on_skin(self, u: Tensor, v: Tensor) -> Tensor:
        """Return v (f, h, w) in the skin's texture of head points (f, h, w), with the jaw's drop undone."""
        drop = (CHIN_DROP * self.channel["jaw"])[:, None, None]
        return v - drop * self.jaw_share(u, v)

    def to_frame(self, points: Tensor) -> Tensor:
        """Map head points (f, k, 2) to the frame, a unit square, (f, k, 2). The jaw has no effect."""
        u, v = points[..., 0], points[..., 1]
        u0, v0 = u, v
        for _ in range(12):  # the slide's slope stays below 0.6: an error of 1e-3 is left at most
            depth = self.depth(u0, v0)
            u0, v0 = u + depth * self.yaw[:, None], v + depth * self.pitch[:, None]
        m = self.forward
        x = m[:, 0, 0, None] * u0 + m[:, 0, 1, None] * v0 + m[:, 0, 2, None]
        y = m[:, 1, 0, None] * u0 + m[:, 1, 1, None] * v0 + m[:, 1, 2, None]
        return torch.stack([x, y], -1)


def _similarity(
    scale: float, angle: float, centre: tuple[float, float], shift: tuple[float, float]
) -> Tensor:
    """Return the matrix (3, 3) float64 that scales and turns about `centre`, then shifts. angle: radians."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    m = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    m[:2, 2] = np.asarray(centre) + shift - m[:2, :2] @ np.asarray(centre)
    return torch.from_numpy(m)
