"""Photographs, paintings and drawings as training clips: a portrait, warped by a puppet's motion.

The picture is moved by a field that follows the same pose and the same jaw, lips, lids and brows as a puppet;
the opened mouth, which no portrait shows, is painted in. Real texture under known motion, from one picture.

Letters: f frames, s side of a picture; lengths in the unit square of the canonical crop (u right, v down).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import Crop
from ..faces.face import FacePoints
from ..media.files import picture_files
from ..media.image import read_image
from .puppets.anatomy import EYE_Y, MOUTH_Y, Anatomy
from .puppets.motion import BROW_RAISE, CHIN_DROP, SMILE_LIFT
from .puppets.pose import Pose
from .puppets.render import DOWN, GAZE, UP, Brush, Lips, paint_inside

EYE = (0.062, 0.022, 0.018)  # half width, height above and below its middle
KEPT = 2.0  # portraits are kept at this many times the training size
MARGIN = 1.5  # and with this much around the canonical square


@dataclass(frozen=True)
class KnownPortrait:
    """A portrait ready to be placed and warped.

    picture: (3, t, t) in [0, 1]. points: of its face, in its pixels. seam: where the lips part, in head
    heights below the mouth's middle; above 0 where a smile shows its upper teeth.
    """

    picture: Tensor
    points: FacePoints
    seam: float = 0.0


def astronaut() -> KnownPortrait:
    """The public-domain portrait of Eileen Collins (NASA) that scikit-image carries, with its points."""
    from skimage.data import astronaut as photograph

    points = FacePoints(
        eye_left=(204.4, 102.1),
        eye_right=(245.9, 104.4),
        mouth=(223.2, 143.8),
        lips=(202.3, 138.9, 244.5, 154.7),
        chin=(221.4, 177.4),
        brow_y=89.9,
        box=(180.9, 71.8, 270.2, 177.4),
    )
    return _known(photograph(), points, 256, seam=0.032)


def _known(image: np.ndarray, points: FacePoints, size: int, seam: float = 0.0) -> KnownPortrait:
    side = points.scale / (0.68 - 0.42) * MARGIN
    x, y = (points.eyes[0] + points.mouth[0]) / 2, (points.eyes[1] + points.mouth[1]) / 2
    square = Crop(x - side / 2, y - side * 0.55, side)
    picture = torch.from_numpy(square.apply(image, size)).permute(2, 0, 1).float() / 255
    return KnownPortrait(picture, points.moved(square, size), seam)


class PortraitFolder:
    """The astronaut and the portraits of a folder, drawn with random place, mirror and colours.

    folder: pictures with one face each; those without a face are refused by name.
    size: side of the drawn picture in pixels.
    """

    def __init__(self, folder: str | None, size: int) -> None:
        self.size = size
        self.known = [astronaut()]
        for path in [] if folder is None else picture_files(folder):
            from ..faces.find import find_upright

            image = read_image(path)
            found = find_upright(image, name=str(path))
            self.known.append(_known(found.image, found.face.points(), round(size * KEPT)))

    def draw(self, generator: torch.Generator) -> tuple[Tensor, FacePoints, float]:
        """A portrait (3, s, s) in [0, 1], its points in pixels, and its seam; a function of the generator."""
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        known = self.known[rng.integers(len(self.known))]
        picture, points = known.picture, known.points
        t = picture.shape[-1]
        if rng.random() < 0.5:
            picture, points = picture.flip(-1), _mirrored(points, t)
        side = points.scale / 0.26 * rng.uniform(0.9, 1.12)
        x, y = (points.eyes[0] + points.mouth[0]) / 2, (points.eyes[1] + points.mouth[1]) / 2
        x, y = x + side * rng.uniform(-0.04, 0.04), y + side * rng.uniform(-0.04, 0.04)
        square = Crop(x - side / 2, y - side * 0.55, side)
        cut = _cut(picture, square, self.size)
        return _recoloured(cut, rng), points.moved(square, self.size), known.seam


def _mirrored(p: FacePoints, t: float) -> FacePoints:
    def at(q: tuple[float, float]) -> tuple[float, float]:
        return t - q[0], q[1]

    def box(b: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return t - b[2], b[1], t - b[0], b[3]

    return replace(
        p,
        eye_left=at(p.eye_right),
        eye_right=at(p.eye_left),
        mouth=at(p.mouth),
        lips=box(p.lips),
        chin=at(p.chin),
        box=box(p.box),
        contours={},
    )


def _cut(picture: Tensor, square: Crop, size: int) -> Tensor:
    """A square of (3, t, t), antialiased, the border repeated outside."""
    t, fine = picture.shape[-1], 2 * size
    at = (torch.arange(fine) + 0.5) / fine * square.side
    x, y = (at + square.x) * (2 / t) - 1, (at + square.y) * (2 / t) - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    cut = F.grid_sample(picture[None], grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(cut, 2)[0]


def _recoloured(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Other light, film and taste: saturation, warmth, contrast, brightness, grey, a turn of the colours."""
    grey = (picture * torch.tensor([0.3, 0.59, 0.11])[:, None, None]).sum(0, keepdim=True)
    saturation = 0.0 if rng.random() < 0.15 else rng.uniform(0.5, 1.4)
    out = grey + (picture - grey) * saturation
    if rng.random() < 0.2:
        out = out[torch.from_numpy(rng.permutation(3))]
    tint = torch.tensor([1 + rng.normal() * 0.08, 1.0, 1 + rng.normal() * 0.08])[:, None, None].float()
    out = (out * tint - 0.5) * rng.uniform(0.6, 1.25) + 0.5 + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.1:
        out = 1 - out  # a negative is a face too, and nobody's
    return out.clamp(0, 1)


def warp_portrait(picture: Tensor, points: FacePoints, motion: np.ndarray, seam: float = 0.0) -> Tensor:
    """A portrait that performs a motion.

    Args:
        picture: (3, s, s) in [0, 1]. points: of its face, in pixels.
        motion: (f, P) channels relative to the portrait, as `puppets.motion` names them.
        seam: height at which the lips part, below the mouth's middle.
    Returns: (f, 3, s, s) in [0, 1]; zeros give the portrait back, but for one resampling.
    """
    s = picture.shape[-1]
    anatomy = _anatomy(points, s)
    channels = torch.as_tensor(motion, dtype=torch.float32)
    pose = Pose(anatomy, channels)
    at = (torch.arange(s) + 0.5) / s
    u, v, u0, v0 = pose.to_head(at, at)
    u1, v1, inside = _face(anatomy, pose, u, v, seam)
    place = pose.place.float()
    x = place[0, 0] * u1 + place[0, 1] * v1 + place[0, 2]
    y = place[1, 0] * u1 + place[1, 1] * v1 + place[1, 2]
    # the head takes part whole, the ground not at all, with hair and neck between
    far = (((u0 - 0.5) / 0.42).square() + ((v0 - 0.47) / 0.5).square()).sqrt()
    share = 1 - _smooth((far - 0.95) / 0.75)
    x = at[None, None, :] + (x - at[None, None, :]) * share
    y = at[None, :, None] + (y - at[None, :, None]) * share
    grid = torch.stack([x, y], -1) * 2 - 1
    frames = F.grid_sample(
        picture.expand(len(motion), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    if float(inside.max()) > 0:
        tone = picture.mean(dim=(1, 2))
        _paint_mouth(anatomy, pose, frames, u, v, seam, tone)
    return frames.clamp(0, 1)


def _anatomy(points: FacePoints, size: int) -> Anatomy:
    """A puppet's proportions and place for a portrait's points."""
    eyes, mouth = np.asarray(points.eyes) / size, np.asarray(points.mouth) / size
    down = mouth - eyes
    scale = float(np.hypot(*down)) / (MOUTH_Y - EYE_Y)
    tilt = math.atan2(-down[0], down[1])
    cos, sin = math.cos(tilt), math.sin(tilt)
    up = np.array([-sin, cos]) * (EYE_Y - 0.5) * scale
    shift = eyes - 0.5 - up
    gap = np.hypot(*(np.asarray(points.eye_right) - points.eye_left)) / size / scale / 2
    return Anatomy(
        seed=0,
        scale=scale,
        tilt=math.degrees(tilt),
        shift=(float(shift[0]), float(shift[1])),
        eye_gap=float(gap),
        mouth_width=float(np.clip((points.lips[2] - points.lips[0]) / size / scale / 2, 0.06, 0.16)),
        brow_y=float(EYE_Y - (points.eyes[1] - points.brow_y) / size / scale),
        face_width=float(np.clip((points.box[2] - points.box[0]) / size / scale / 2, 0.2, 0.32)),
    )


def _smooth(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _bell(t: Tensor) -> Tensor:
    return torch.exp(-t.square())


def _face(a: Anatomy, pose: Pose, u: Tensor, v: Tensor, seam: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where the face's own motion took the skin at head points from; and how open the lips are there."""
    channel = {name: values[:, None, None] for name, values in pose.channel.items()}
    u1, v1 = u, v
    # brows: the skin between hair and eyes rides along
    for side, name in ((-1, "brow_left"), (1, "brow_right")):
        near = _bell((u - 0.5 - side * a.eye_gap) / 0.085) * _bell((v - a.brow_y) / 0.045)
        v1 = v1 + BROW_RAISE * channel[name] * near
    for side, name in ((-1, "lid_left"), (1, "lid_right")):
        u1, v1 = _eye(a, channel, u1, v1, side, name)
    # mouth: width, corners, parting, jaw
    rest, lips = a.mouth_width, Lips(a, pose)
    x, y = u1 - 0.5, v1 - MOUTH_Y
    near = _bell(x / 0.19) * _bell(y / 0.085)
    x = x * (1 + (rest / lips.wide - 1) * near)
    y = y + SMILE_LIFT * channel["smile"] * near * ((x / rest).square().clamp(max=1.6) - 0.3)
    y = y - seam
    lens = lips.lens((x / rest).square().clamp(max=1))
    opened = lips.gap * lens
    rise, fall = UP * opened, DOWN * opened
    above = y + rise * (1 - _smooth(-(y + rise) / 0.1))
    drop = CHIN_DROP * channel["jaw"]
    below = y
    for _ in range(3):
        s = _smooth(below / 0.14)
        below = y - fall * (1 - s) - drop * s * pose.jaw_share(u1, below + MOUTH_Y + seam)
    middle = fall - rise
    y = torch.where(
        y < middle * 0.5, torch.minimum(above, torch.zeros_like(y) + above.clamp(max=0)), below.clamp(min=0)
    )
    y = torch.where((opened <= 1e-5) & (below < 0), below, y)
    return x + 0.5, y + seam + MOUTH_Y, opened


def _eye(
    a: Anatomy, channel: dict[str, Tensor], u: Tensor, v: Tensor, side: int, lid: str
) -> tuple[Tensor, Tensor]:
    """The lid's skin is pulled over the eye; the iris moves within it."""
    wide, high, low = EYE
    x, y = u - 0.5 - side * a.eye_gap, v - EYE_Y
    arch = (1 - (x / wide).square()).clamp(min=0)
    top, bottom = -high * arch, low * arch
    shut = channel[lid].clamp(0, 1)
    edge = top + (bottom - top) * shut  # the upper lid's edge now
    fold = top - 0.036 * arch.sqrt()  # the skin above it that unfolds
    lash = torch.minimum(0.008 * arch.sqrt(), 0.5 * (edge - fold))  # rides on the edge as it is
    under = (y > fold) & (y < edge) & (arch > 0)
    pulled = fold + (y - fold) * (top - 0.014 * arch.sqrt() - fold) / (edge - lash - fold).clamp(min=1e-6)
    pulled = torch.where(y < edge - lash, torch.lerp(y, pulled, _smooth(shut * 6)), y - edge + top)
    open_ = _smooth((y - edge) / 0.006) * _smooth((bottom - y) / 0.006) * (arch > 0)
    moved_x = x - GAZE[0] * channel["gaze_x"] * open_ * arch
    moved_y = y - GAZE[1] * channel["gaze_y"] * open_
    y = torch.where(under, pulled, moved_y)
    return torch.where(under, x, moved_x) + 0.5 + side * a.eye_gap, y + EYE_Y


def _paint_mouth(
    a: Anatomy, pose: Pose, frames: Tensor, u: Tensor, v: Tensor, seam: float, tone: Tensor
) -> None:
    """The inside of the opened mouth, in place; tone: the picture's mean colour, which tints it."""
    lips = Lips(a, pose)
    x, y = u - 0.5, v - MOUTH_Y - seam
    lens = lips.lens((x / lips.wide).square().clamp(max=1))
    top, low = -UP * lips.gap * lens, DOWN * lips.gap * lens
    light = torch.ones_like(frames[:, :1])
    brush = Brush(frames, light, frames.shape[-1] * a.scale)
    inside = brush.cover(torch.minimum(y - top, low - y)) * brush.cover(lips.wide - x.abs())
    inside = inside * (lips.gap * lens * 60).clamp(0, 1)
    grey = float(tone.std()) < 0.03
    looks = replace(_mouth_colours(a, grey), teeth=0.0 if seam > 0.01 else 0.016)  # a smile has its own teeth
    paint_inside(looks, lips, brush, x, y, top, low, inside)


def _mouth_colours(a: Anatomy, grey: bool) -> Anatomy:
    if not grey:
        return a
    return replace(a, inside=(0.1, 0.1, 0.1), tongue=(0.4, 0.4, 0.4), tooth=(0.8, 0.8, 0.8))
