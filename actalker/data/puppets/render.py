"""Draws puppets: all frames of a motion in one vectorised pass.

The still parts of a head are textures read through the pose's map; mouth, eyes and brows are drawn over them
from closed curves in head coordinates, each in its own box of pixels. Edges are anti-aliased by the share of
a pixel that a signed distance covers.

Frames are (f, 3, s, s) float32 in [0, 1]. Letters: f frames, s side, h w a box's rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.face import Box
from . import textures
from .anatomy import EYE_Y, MOUTH_Y, Anatomy
from .medium import picture
from .motion import BROW_RAISE, JAW_OPENING, SMILE_LIFT
from .pose import Pose
from .textures import SPAN, colour

UP, DOWN = 0.24, 0.76  # of the opening: how far the upper lip rises, the lower falls
GAZE = (0.021, 0.011)  # travel of the iris


class Puppet:
    """One identity at one frame size, ready to be drawn.

    anatomy: its looks; size: side of a frame in pixels, at least 16.
    """

    def __init__(self, anatomy: Anatomy, size: int = 128) -> None:
        self.anatomy, self.size = anatomy, size
        detail = max(64, round(size * anatomy.scale * (SPAN[1] - SPAN[0]) * 1.2))
        self.skin = textures.skin(anatomy, detail)
        self.before = textures.hair_before(anatomy, detail)
        self.behind = textures.hair_behind(anatomy, detail)
        self.at = (torch.arange(size) + 0.5) / size
        # ground, neck and clothes do not move, so they are drawn once
        rest = Pose(anatomy, torch.zeros(1, len(anatomy.rest)))
        m = torch.linalg.inv(rest.place).float()
        u = m[0, 0] * self.at[None, None] + m[0, 1] * self.at[:, None] + m[0, 2]
        v = m[1, 0] * self.at[None, None] + m[1, 1] * self.at[:, None] + m[1, 2]
        self.body = read_texture(textures.body(anatomy, detail), u, v, "border")[0]
        self.ground = textures.ground(anatomy, size)
        self.hair_behind = bool(self.behind[3].any())

    @torch.no_grad()
    def render(self, motion: np.ndarray | Tensor) -> Tensor:
        """The frames (f, 3, s, s) in [0, 1] of a motion (f, P) relative to the portrait's rest."""
        return self._draw(Pose(self.anatomy, absolute(self.anatomy, motion)))

    def _parts(self, pose: Pose) -> list[tuple[Draw, tuple[slice, slice]]]:
        """The functions that draw mouth, eyes and brows, each with its box of the frame."""
        a = self.anatomy
        return [
            (_mouth, self._box(pose, (0.5 - 0.19, MOUTH_Y - 0.08, 0.5 + 0.19, MOUTH_Y + 0.16))),
            *[
                (eye, self._box(pose, (middle - 0.085, EYE_Y - 0.06, middle + 0.085, EYE_Y + 0.05)))
                for eye, middle in ((_eye_left, 0.5 - a.eye_gap), (_eye_right, 0.5 + a.eye_gap))
            ],
            (
                _brows,
                self._box(
                    pose, (0.5 - a.eye_gap - 0.09, a.brow_y - 0.08, 0.5 + a.eye_gap + 0.09, a.brow_y + 0.07)
                ),
            ),
        ]

    def _box(self, pose: Pose, corners: Box) -> tuple[slice, slice]:
        """The rows and columns that hold a part of the head, `corners` x0 y0 x1 y1, in all frames."""
        s, (x0, y0, x1, y1) = self.size, corners
        head = torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]).expand(len(pose.yaw), -1, -1)
        place = pose.to_frame(head).flatten(0, 1) * s
        left, top = place.amin(0).floor().clamp(0, s - 1).int().tolist()
        right, low = (place.amax(0).ceil() + 1).clamp(1, s).int().tolist()
        return slice(top, max(low, top + 1)), slice(left, max(right, left + 1))

    def _draw(self, pose: Pose) -> Tensor:
        a, f = self.anatomy, len(pose.yaw)
        u, v, u0, v0 = pose.to_head(self.at, self.at)
        frames = self.ground[None].repeat(f, 1, 1, 1)
        if self.hair_behind:
            _lay(frames, read_texture(self.behind, u0, v0))
        _lay(frames, self.body[None])
        skin = read_texture(self.skin, u, pose.on_skin(u, v))
        _lay(frames, skin[:, :4])
        light = skin[:, 4:]
        for draw, (rows, columns) in self._parts(pose):
            box = (slice(None), slice(None), rows, columns)
            brush = Brush(frames[box], light[box], self.size * a.scale)
            draw(a, pose, brush, u[:, rows, columns], v[:, rows, columns])
        _lay(frames, read_texture(self.before, u, v))
        return picture(a, frames, light)


class Brush:
    """Lays colours on a box of the frames.

    frames: (f, 3, h, w), painted in place; light: (f, 1, h, w) on the head; sharp: pixels a unit of length.
    """

    def __init__(self, frames: Tensor, light: Tensor, sharp: float) -> None:
        self.frames, self.light, self.sharp = frames, light, sharp

    def cover(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """The share of a pixel that a signed distance (positive inside) covers. soft: widens the edge."""
        return distance.mul(1 / (1 / self.sharp + soft)).add_(0.5).clamp_(0, 1)

    def paint(self, cover: Tensor, paint: Tensor, lit: bool = True) -> None:
        """Lay `paint` ((3, 1, 1) or (f, 3, h, w)) on the frames, as opaque as `cover` (f, h, w).

        lit: whether the head's light falls on it.
        """
        end = paint * self.light if lit else paint.expand_as(self.frames)
        self.frames.lerp_(end, cover[:, None])

    def shade(self, amount: Tensor) -> None:
        """Darken by `amount` (f, h, w) in [0, 1]."""
        self.frames.mul_((1 - amount)[:, None])


Draw = Callable[[Anatomy, Pose, Brush, Tensor, Tensor], None]  # a part of the head, at head coordinates u, v


def absolute(a: Anatomy, motion: np.ndarray | Tensor) -> Tensor:
    """The absolute channels (f, P) of a motion relative to the portrait: its rest state is added."""
    return torch.as_tensor(motion, dtype=torch.float32) + torch.tensor(a.rest)


def read_texture(texture: Tensor, u: Tensor, v: Tensor, outside: str = "zeros") -> Tensor:
    """A texture (c, t, t) read at head coordinates u, v (f, h, w), bilinear: (f, c, h, w).

    outside: `grid_sample`'s padding beyond the texture.
    """
    grid = torch.stack([u, v], -1).sub_(SPAN[0]).mul_(2 / (SPAN[1] - SPAN[0])).sub_(1)
    return F.grid_sample(texture.expand(len(u), -1, -1, -1), grid, padding_mode=outside, align_corners=False)


def _lay(frames: Tensor, paint: Tensor) -> None:
    """Lay premultiplied colour and cover (f, 4, s, s) over the frames, in place."""
    frames.mul_(1 - paint[:, 3:]).add_(paint[:, :3])


class Lips:
    """The curves of a mouth in every frame; all its numbers are (f, 1, 1).

    half_width: of the mouth. gap: opening at the middle. corner: lift of the corners. thick: factor on the
    height of the lips. square: 1 where the mouth opens as a slot, 0 as an o.
    """

    def __init__(self, a: Anatomy, pose: Pose) -> None:
        jaw, spread, smile = (pose.channel[k][:, None, None] for k in ("jaw", "spread", "smile"))
        round_, broad = (-spread).clamp(min=0), spread.clamp(min=0)
        self.half_width = a.mouth_width * (1 - 0.36 * round_ + 0.17 * broad - 0.05 * jaw) + 0.010 * smile
        self.gap = JAW_OPENING * jaw
        self.corner = SMILE_LIFT * smile
        self.thick = 1 + 0.30 * round_ - 0.16 * broad - 0.12 * smile.clamp(min=0)
        # a broad mouth opens as a slot, a rounded one as an o
        self.square = 0.5 + 0.35 * broad - 0.2 * round_

    def line(self, t2: Tensor) -> Tensor:
        """The height of the lips' line below MOUTH_Y at (x / half_width)² = t2; the corners are lifted."""
        return 0.3 * self.corner - self.corner * t2

    def lens(self, t2: Tensor) -> Tensor:
        """The height of the opening at t2, relative to that of the middle: 0 at the corners."""
        return (1 - t2) * (1 + self.square * t2)

    def edges(self, a: Anatomy, t2: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The heights, below the lips' line, of the upper lip's outer and inner edge and of the lower's.

        t2: as for `line`. x: from the middle. Both, and the edges, are (f, h, w).
        """
        lens = self.lens(t2)
        bow = (1 - t2) * (1 - a.cupid * torch.exp(-(x * (1 / 0.012)).square_()) + a.cupid * 0.6 * t2)
        top_in, low_in = -UP * self.gap * lens, DOWN * self.gap * lens
        top = top_in - a.lip_upper * self.thick * bow
        low = low_in + a.lip_lower * self.thick * (1 - t2 * t2)
        return top, top_in, low_in, low


def _mouth(a: Anatomy, pose: Pose, brush: Brush, u: Tensor, v: Tensor) -> None:
    lips = Lips(a, pose)
    x, y = u - 0.5, v - MOUTH_Y
    t2 = (x / lips.half_width).square_().clamp_(max=1.0)
    end = brush.cover(lips.half_width - x.abs())  # nothing beyond the corners
    y = y - lips.line(t2)
    top, top_in, low_in, low = lips.edges(a, t2, x)
    upper = brush.cover(torch.minimum(y - top, top_in - y + 0.003), 0.004) * end
    lower = brush.cover(torch.minimum(low - y, y - low_in + 0.003), 0.004) * end
    brush.shade(0.28 * end * brush.cover(0.012 - (y - low - 0.012).abs(), 0.02) * (1 - t2))  # under the lip
    lip = colour(a.lip)
    brush.paint(upper, lip * 0.88)
    sheen = torch.exp(-((y - 0.5 * (low_in + low)) * (1 / 0.008)).square_() - (x * (1 / 0.04)).square_())
    brush.paint(lower, lip + (0.10 + 0.25 * a.gloss) * sheen[:, None])
    inside = brush.cover(torch.minimum(y - top_in, low_in - y)) * end
    if pose.parted:
        paint_inside(a, lips, brush, x, y, edges=(top_in, low_in), inside=inside)
    seam = brush.cover(0.0028 - (y - 0.5 * (top_in + low_in)).abs(), 0.003) * end
    brush.shade(0.55 * seam * (1 - lips.gap * (1 / 0.02)).clamp_(0, 1))
    corner = torch.exp(-((x.abs() - lips.half_width) * (1 / 0.009)).square_() - (y * (1 / 0.009)).square_())
    brush.shade(0.35 * corner)


def paint_inside(
    a: Anatomy,
    lips: Lips,
    brush: Brush,
    x: Tensor,
    y: Tensor,
    edges: tuple[Tensor, Tensor],
    inside: Tensor,
) -> None:
    """Paint the inside of an open mouth: its dark, the tongue and the teeth.

    x, y: from the middle of the lips' line. edges: heights of the upper and lower inner edge. inside: cover
    of the opening. All are (f, h, w).
    """
    top, low = edges
    dark = colour(a.inside) * 0.9
    fill = dark.expand(len(x), 3, *x.shape[1:]).clone()
    floor = DOWN * lips.gap
    tongue = 1 - (
        (x / (lips.half_width * 0.62)).square_() + ((y - floor - 0.006) / (0.35 * lips.gap + 0.008)).square_()
    )
    fill.lerp_((colour(a.tongue) * 0.62).expand_as(fill), brush.cover(tongue * 0.02, 0.01)[:, None])
    bow = 0.012 * (x / 0.09).square_()
    row = torch.minimum(
        -0.006 + a.teeth + bow.neg() - y, lips.half_width * 0.82 - x.abs()
    )  # upper: fixed to the skull
    teeth = brush.cover(row, 0.003)
    row = torch.minimum(
        y - (floor - 0.35 * a.teeth + bow), lips.half_width * 0.66 - x.abs()
    )  # lower: with the jaw
    teeth = torch.maximum(teeth, brush.cover(row, 0.003) * 0.7)
    near = torch.minimum(y - top, low - y).mul_(1 / 0.02).clamp_(0, 1).mul_(0.3).add_(0.62)  # lips' shadow
    fill.lerp_(colour(a.tooth).expand_as(fill) * near[:, None], teeth[:, None])
    brush.frames.lerp_(fill, inside[:, None])


def _eye_left(a: Anatomy, pose: Pose, brush: Brush, u: Tensor, v: Tensor) -> None:
    _eye(a, pose, brush, u - (0.5 - a.eye_gap), v - EYE_Y, side=-1, lid="lid_left")


def _eye_right(a: Anatomy, pose: Pose, brush: Brush, u: Tensor, v: Tensor) -> None:
    _eye(a, pose, brush, u - (0.5 + a.eye_gap), v - EYE_Y, side=1, lid="lid_right")


def _eye(a: Anatomy, pose: Pose, brush: Brush, x: Tensor, y: Tensor, side: int, lid: str) -> None:
    """Draw an eye. x, y: from its centre. side: -1 for the image's left, 1 for its right. lid: a channel."""
    closed = pose.channel[lid].clamp(0, 1)[:, None, None]
    look_x, look_y = (pose.channel[k].clamp(-1.2, 1.2)[:, None, None] for k in ("gaze_x", "gaze_y"))
    y = y + side * a.eye_tilt * x  # the outer corner higher
    t = x * (1 / a.eye_width)
    t2 = t.square().clamp_(max=1.0)
    arch, end = 1 - t2, brush.cover(a.eye_width - x.abs())
    peak = arch * (1 + 0.25 * t2)
    lower = a.eye_lower * arch * (1 - 0.1 * closed)
    rest = -a.eye_upper * peak
    # looking down takes the lid along a little
    shut = (closed + 0.18 * look_y.clamp(min=0) * (1 - closed)).clamp(0, 1)
    upper = rest + (lower * 0.92 - rest) * shut
    open_ = brush.cover(torch.minimum(y - upper, lower - y)) * end * (1 - closed.ge(0.999).float())
    lidded = brush.cover(torch.minimum(y - rest + 0.004, upper - y), 0.004) * end
    skin = colour(a.skin)
    fold = torch.exp(-((y - rest * 1.55 + 0.004) * (1 / 0.0045)).square_()) * (1 - t2) * 0.25
    brush.shade(fold)
    brush.paint(lidded * (0.75 * shut), skin * 0.90)
    brush.paint(open_, colour(a.white) * 0.95)
    gx, gy = GAZE[0] * look_x, GAZE[1] * look_y - 0.002
    r = ((x - gx).square() + (y - gy).square()).sqrt_()
    tone = colour(a.iris_colour) * (1.25 - (y - gy)[:, None] * (-0.5 / a.iris))
    tone = tone * (1 - 0.55 * (r * (1 / a.iris)).clamp_(0, 1).pow_(6))[:, None]
    brush.paint(open_ * brush.cover(a.iris - r), tone.clamp_(0, 1), lit=False)
    brush.paint(open_ * brush.cover(a.iris * 0.45 - r), colour(a.pupil_colour), lit=False)
    glint = (
        (x - gx - 0.3 * a.iris * np.sign(a.light[0] or 1)).square() + (y - gy + 0.4 * a.iris).square()
    ).sqrt_()
    shine = 0.0 if a.pupil_colour[0] > 0.2 else 0.9  # stone does not glint
    brush.paint(open_ * brush.cover(0.0055 - glint, 0.003) * shine, torch.ones(3, 1, 1), lit=False)
    brush.shade(open_ * (0.42 * (1 - (y - upper) * (1 / 0.014)).clamp_(0, 1)))  # the lid's shadow
    lash = brush.cover(0.0030 - (y - upper).abs(), 0.003) * end
    brush.paint(lash * 0.8, colour(a.brow_colour) * 0.45)
    brush.shade(0.18 * end * torch.exp(-((y - lower - 0.002) * (1 / 0.004)).square_()))


def _brows(a: Anatomy, pose: Pose, brush: Brush, u: Tensor, v: Tensor) -> None:
    for side, name in ((-1, "brow_left"), (1, "brow_right")):
        raised = pose.channel[name][:, None, None]
        x = side * (u - 0.5) - a.eye_gap  # outward +
        t = x * (1 / a.brow_length)
        t2 = t.square().clamp_(max=1.0)
        low = (-raised).clamp(min=0)
        mid = (
            a.brow_y
            - BROW_RAISE * raised
            - a.brow_arch * (1 - (t - 0.3).square())
            + a.brow_slant * x * 0.5
            - 0.18 * low * (x - 0.0)
        )
        half = a.brow_thick * (1 - 0.75 * t.clamp(-1, 1).add_(1).mul_(0.5).square_()) * (1 - t2 * t2)
        hair = brush.cover(half - (v - mid).abs(), 0.006) * brush.cover(a.brow_length - x.abs(), 0.01)
        brush.paint(hair * 0.88, colour(a.brow_colour))
