"""Textures of the parts of a head that move only as a whole, painted once a clip: skin, hair, body, ground.

Each is a picture over SPAN of head coordinates with premultiplied colour and cover, read through the pose's
map when a frame is drawn, so that every texture moves with the head. Letters: t side of a texture.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .anatomy import EYE_Y, FACE_Y, MOUTH_Y, NOSE_Y, Anatomy, Colour

SPAN = (-0.12, 1.12)  # head coordinates that a texture covers, both ways


def axes(size: int) -> tuple[Tensor, Tensor]:
    """The head coordinates of a texture's pixels: u (1, size), v (size, 1)."""
    at = SPAN[0] + (torch.arange(size) + 0.5) * ((SPAN[1] - SPAN[0]) / size)
    return at[None, :], at[:, None]


def noise(
    rng: np.random.Generator, size: int, first: int, octaves: int, channels: int = 1, stretch: float = 1.0
) -> Tensor:
    """Smooth noise (channels, size, size) of about [-1, 1], a sum of octaves.

    first: cells a side of the first octave, doubled in each next one. stretch: above 1, longer in y.
    """
    out, total = torch.zeros(channels, size, size), 0.0
    for k in range(octaves):
        cells = max(2, min(size, first * 2**k))
        rows = max(2, round(cells / stretch))
        grid = torch.as_tensor(rng.uniform(-1, 1, (1, channels, rows, cells)).astype(np.float32))
        out += F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=True)[0] * 0.6**k
        total += 0.6**k
    return out * (1.8 / total)


def colour(c: Colour) -> Tensor:
    """A colour as a tensor (3, 1, 1)."""
    return torch.tensor(c, dtype=torch.float32)[:, None, None]


def bump(u: Tensor, v: Tensor, at: tuple[float, float], width: tuple[float, float]) -> Tensor:
    """A Gaussian hill of height 1 around `at`, of standard deviations `width`, in u and v."""
    return torch.exp(-0.5 * (((u - at[0]) / width[0]).square() + ((v - at[1]) / width[1]).square()))


def step(d: Tensor, width: float) -> Tensor:
    """A smooth step over a signed distance: 0 below -width, 1 above width."""
    t = (d / (2 * width) + 0.5).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def outline(a: Anatomy, u: Tensor, v: Tensor, grow: float = 0.0) -> Tensor:
    """The signed distance (positive inside) to the face's outline, widened by `grow`."""
    x, y = (u - 0.5).abs(), v - FACE_Y
    below = (y / (a.chin - FACE_Y)).clamp(0, 1)
    half_width = a.face_width * (1 - a.taper * below * below) + grow
    half_height = torch.where(y > 0, a.chin - FACE_Y + grow, FACE_Y - a.head_top + grow)
    r = ((x / half_width).square() + (y / half_height).square()).sqrt()
    return (1 - r) * torch.where(y > 0, 0.5 * (half_width + half_height), half_width)


def relief(a: Anatomy, u: Tensor, v: Tensor) -> Tensor:
    """The height of the face over the picture plane, at head coordinates u, v."""
    x, nose_y = (u - 0.5).abs(), NOSE_Y + a.nose_length
    half_width = a.face_width * 1.03
    half_height = torch.where(v > FACE_Y, a.chin - FACE_Y, FACE_Y - a.head_top) * 1.03
    h = 0.2 * (1 - (x / half_width).square() - ((v - FACE_Y) / half_height).square()).clamp(min=0.002).sqrt()
    ridge = ((v - EYE_Y + 0.02) / (nose_y - EYE_Y)).clamp(0, 1) * step(nose_y + 0.012 - v, 0.014)
    d = torch.exp(-0.5 * (x / (0.013 + 0.4 * a.nose_width * ridge)).square()) * ridge * 0.030
    d = d + 0.012 * bump(x, v, (0, nose_y - 0.004), (0.016, 0.016))
    d = d + 0.013 * bump(x, v, (a.nose_width * 0.92, nose_y + 0.004), (0.010, 0.012))
    d = d - 0.022 * bump(x, v, (a.eye_gap - 0.01, EYE_Y - 0.008), (0.045, 0.026))
    d = d + 0.009 * bump(x, v, (a.eye_gap, EYE_Y), (0.03, 0.016))
    d = d + 0.007 * bump(x, v, (a.eye_gap, a.brow_y + 0.012), (0.05, 0.016))
    d = d + 0.016 * bump(x, v, (a.eye_gap + 0.01, 0.545), (0.05, 0.045))
    d = d + 0.014 * bump(x, v, (0, MOUTH_Y), (0.07, 0.04))
    d = d - 0.010 * bump(x, v, (0, MOUTH_Y + 0.06), (0.05, 0.012))
    d = d + 0.014 * bump(x, v, (0, a.chin - 0.055), (0.045, 0.03))
    fold = a.mouth_width + 0.02 - 0.55 * (MOUTH_Y - v)
    d = d - 0.004 * torch.exp(-0.5 * ((x - fold) / 0.008).square()) * step(v - nose_y, 0.03) * step(
        0.7 - v, 0.03
    )
    return h + a.relief * d


def lit(a: Anatomy, height: Tensor, pixel: float) -> tuple[Tensor, Tensor]:
    """The light on a surface `height` (t, t): its brightness, about 1, and its gloss, in [0, 1].

    pixel: the side of a pixel in head coordinates.
    """
    dy, dx = torch.gradient(height, spacing=pixel)
    norm = (1 + dx.square() + dy.square()).rsqrt()
    lx, ly = a.light
    lz = max(0.15, 1 - lx * lx - ly * ly) ** 0.5
    facing = (lx * -dx + ly * -dy + lz) * norm
    soft = facing.clamp(min=0)
    hard = step(facing - 0.35, 0.18) * 0.85
    light = soft * (1 - a.hardness) + hard * a.hardness
    mirror = (2 * facing * norm - lz).clamp(0, 1)
    return a.ambient + (1.12 - a.ambient) * light / max(lz, 0.6), mirror**24


def skin(a: Anatomy, size: int) -> Tensor:
    """The head with ears, beard and nose, without mouth, eyes and brows: (5, size, size).

    Channels: premultiplied colour, cover, and the light for what is painted on the head.
    """
    rng = np.random.default_rng([a.seed, 1])
    u, v = axes(size)
    pixel = (SPAN[1] - SPAN[0]) / size
    x = (u - 0.5).abs()
    mottle = noise(rng, size, 6, 5)[0]
    fine = torch.from_numpy(rng.normal(size=(size, size)).astype(np.float32)) * 0.3
    light, mirror = lit(a, relief(a, u, v) + 0.0012 * a.mottle * mottle, pixel)
    light = light * (
        1 + a.mottle * (0.6 * mottle + fine) + a.medium.strokes * 0.5 * noise(rng, size, 24, 2)[0]
    )
    dark = 0.16 * bump(x, v, (a.eye_gap - 0.015, EYE_Y - 0.02), (0.045, 0.02))  # sockets
    dark = dark + 0.22 * bump(x, v, (0, NOSE_Y + a.nose_length + 0.026), (0.035, 0.009))
    dark = dark + 0.12 * bump(x, v, (0, MOUTH_Y + 0.052), (0.05, 0.012))
    dark = dark + 0.25 * step(v - a.hairline - 0.01, 0.06).neg().add(1) * (a.hair not in ("bald", "receding"))
    light = light * (1 - dark)

    face = outline(a, u, v)
    cover = step(face, 0.75 * pixel)
    tone = colour(a.skin).expand(3, size, size).clone()
    warm = 0.8 * bump(x, v, (a.eye_gap + 0.02, 0.55), (0.05, 0.045)) + 0.5 * bump(
        x, v, (0, NOSE_Y), (0.03, 0.03)
    )
    tone.lerp_(colour(a.blush).expand_as(tone), (warm + 0.25 * mottle).clamp(0, 1) * (0.3 + 3 * a.mottle))
    nostril = bump(x, v, (0.55 * a.nose_width, NOSE_Y + a.nose_length + 0.017), (0.0075, 0.0042))
    tone.mul_(1 - 0.75 * nostril)
    rim = 1 - 0.3 * (1 - face / 0.09).clamp(0, 1).square()
    if a.beard or a.moustache:
        hairs = (noise(rng, size, 40, 2, stretch=2.0)[0] * 0.5 + 0.5 + fine).clamp(0, 1)
        low = step(v - 0.6 - 0.9 * (0.19 - x).clamp(min=0) + 0.08 * step(x - 0.17, 0.05), 0.035)
        low = low * (1 - bump(x, v, (0, MOUTH_Y + 0.004), (a.mouth_width * 0.75, 0.022)))
        above = step(0.016 - (v - 0.647 - 0.12 * x).abs(), 0.012) * step(a.mouth_width * 1.05 - x, 0.02)
        mask = torch.maximum(low * a.beard, above * a.moustache) * (0.55 + 0.45 * hairs)
        tone.lerp_(colour(a.beard_colour).expand_as(tone), mask.clamp(0, 1))
    lit_tone = tone * (light * rim) + 0.45 * a.gloss * mirror
    if a.ears:
        ear = _ears(a, x, v, pixel)
        shade = 0.82 * (1 - 0.35 * bump(x, v, (a.face_width + 0.012, 0.5), (0.012, 0.03)))
        lit_tone = lit_tone * cover + colour(a.skin) * (shade * light.clamp(0.5, 1.1)) * (1 - cover)
        cover = torch.maximum(cover, ear)
    return torch.cat([lit_tone.clamp(0, 1) * cover, cover[None], light[None]])


def _ears(a: Anatomy, x: Tensor, v: Tensor, pixel: float) -> Tensor:
    r = (
        ((x - a.face_width - 0.002) / (0.03 * a.ears)).square() + ((v - 0.48) / (0.065 * a.ears)).square()
    ).sqrt()
    return step((1 - r) * 0.03, 0.75 * pixel)


def _strands(a: Anatomy, rng: np.random.Generator, size: int) -> Tensor:
    """The colour of hair under light, (3, size, size)."""
    u, v = axes(size)
    curls = a.hair == "cloud"
    fibres = noise(rng, size, 20 if curls else 30, 3, stretch=1.0 if curls else 6.0)[0]
    band = bump(u, v, (0.5 + 0.25 * a.light[0], 0.17), (0.14, 0.05))
    shade = 0.75 + 0.28 * fibres + 0.5 * band * (1 + fibres) + 0.2 * a.light[0] * (u - 0.5) / 0.3
    return (colour(a.hair_colour) * shade + 0.05 * band * (1 + fibres)).clamp(0, 1)


def hair_behind(a: Anatomy, size: int) -> Tensor:
    """The hair behind neck and shoulders, (4, size, size); zeros for short hair."""
    rng = np.random.default_rng([a.seed, 2])
    u, v = axes(size)
    x, pixel = (u - 0.5).abs(), (SPAN[1] - SPAN[0]) / size
    wave = 0.02 * noise(rng, size, 7, 3)[0]
    if a.hair in ("long", "curtain", "veil"):
        length = 1.3 if a.hair == "veil" else 0.75 + 0.5 * (a.parting + 0.5)
        half_width = a.face_width + 0.06 + 0.05 * ((v - 0.4) / 0.5).clamp(0, 1)
        d = torch.minimum(torch.minimum(half_width - x, length - v), v - 0.35) + wave
    elif a.hair == "cloud":
        d = 0.36 - ((u - 0.5).square() + ((v - 0.38) * 0.95).square()).sqrt() + 1.6 * wave
    elif a.hair == "bun":
        d = 0.09 - ((u - 0.5).square() + (v - a.head_top + 0.02).square()).sqrt() + 0.4 * wave
    else:
        return torch.zeros(4, size, size)
    cover = step(d, 1.2 * pixel)
    return torch.cat([_strands(a, rng, size) * 0.7 * cover, cover[None]])


def hair_before(a: Anatomy, size: int) -> Tensor:
    """The hair, hat or veil, and glasses in front of the face, (4, size, size)."""
    rng = np.random.default_rng([a.seed, 3])
    u, v = axes(size)
    x, pixel = (u - 0.5).abs(), (SPAN[1] - SPAN[0]) / size
    rough = noise(rng, size, 12, 4)[0]
    strands = _strands(a, rng, size)
    skull = outline(a, u, v, 0.03 if a.hair not in ("bald", "receding") else 0.012)
    arch = 0.5 * ((x / a.face_width).square()) * 0.25
    line = a.hairline + a.parting * 0.25 * (u - 0.5)
    if a.hair == "bald":
        d = torch.full_like(skull, -1.0)
    elif a.hair == "receding":
        d = torch.minimum(line - 0.09 + 2.2 * arch + 0.02 * rough - v, skull)
        d = torch.maximum(d, torch.minimum(torch.minimum(x - a.face_width * 0.86, 0.46 - v), skull))
    elif a.hair == "fringe":
        d = torch.minimum(line + 0.06 + 0.5 * arch + 0.02 * rough - v, skull)
    elif a.hair == "side":
        sweep = line - 0.02 + 0.35 * ((u - 0.5 + 0.2 * np.sign(a.parting)) * -np.sign(a.parting)).clamp(min=0)
        d = torch.minimum(sweep + arch + 0.015 * rough - v, skull)
    elif a.hair in ("long", "curtain"):
        inner = a.face_width * (0.99 if a.hair == "long" else 0.84) + 0.05 * ((v - 0.55) / 0.3).clamp(0, 1)
        sides = torch.minimum(x - inner + 0.012 * rough, torch.minimum(a.face_width + 0.065 - x, 0.92 - v))
        d = torch.minimum(line + 0.9 * arch + 0.012 * rough - v, skull)
        d = torch.maximum(d, torch.minimum(sides, v - a.hairline))
    else:
        d = torch.minimum(line + 0.8 * arch + 0.015 * rough - v, skull)
        d = torch.maximum(d, torch.minimum(torch.minimum(x - a.face_width * 0.93, 0.47 - v), skull))
    cover = step(d, 1.5 * pixel)
    shadow = 0.35 * step(d + 0.03, 0.03) * step(outline(a, u, v), pixel)
    paint = torch.cat([strands * cover, (cover + shadow * (1 - cover))[None]])
    if a.hair in ("hat", "veil"):
        paint = _over(paint, *_headgear(a, rng, u, v, pixel))
    if a.glasses:
        paint = _over(paint, colour(a.frame_colour).expand(3, size, size), _glasses(a, u, v, pixel))
    return paint


def _over(below: Tensor, paint: Tensor, cover: Tensor) -> Tensor:
    """A premultiplied picture (4, t, t) with colour `paint` laid over it where `cover` is 1."""
    return below * (1 - cover) + torch.cat([paint * cover, cover[None]])


def _headgear(
    a: Anatomy, rng: np.random.Generator, u: Tensor, v: Tensor, pixel: float
) -> tuple[Tensor, Tensor]:
    """The colour (3, t, t) and cover (t, t) of a hat or a veil."""
    size, x = u.shape[-1], (u - 0.5).abs()
    folds = 1 + 0.12 * noise(rng, size, 8, 4, stretch=3.0)[0]
    shape = outline(a, u, v, 0.06)
    if a.hair == "veil":  # a cloth around the face, down to the shoulders
        opening = outline(a, u, v, -0.012)
        falling = torch.minimum(a.face_width + 0.075 + 0.1 * (v - 0.4).clamp(min=0) - x, v - 0.4)
        d = torch.minimum(torch.maximum(shape, falling), -torch.maximum(opening, v - 0.9))
        d = torch.where(v < a.hairline - 0.02, shape, d)
        return colour(a.clothes_second) * (0.85 * folds), step(d, pixel)
    crown = torch.minimum(shape, a.hairline - 0.03 - v)
    brim = 0.018 - (v - a.hairline + 0.03 - 0.25 * x * x).abs()
    brim = torch.minimum(brim, a.face_width + 0.11 - x)
    d = torch.maximum(crown, brim)
    return colour(a.clothes_second) * (folds * (0.9 - 0.25 * (brim > 0))), step(d, pixel)


def _glasses(a: Anatomy, u: Tensor, v: Tensor, pixel: float) -> Tensor:
    """The cover (t, t) of glasses: rims, bridge and temples, and a little of the lenses."""
    x, y = ((u - 0.5).abs() - a.eye_gap) / 0.078, (v - EYE_Y - 0.008) / 0.055
    power = 2 if a.glasses == "round" else 6
    r = (x.abs() ** power + y.abs() ** power) ** (1 / power)
    rim = 0.006 - (1 - r).abs() * 0.062
    middle = (u - 0.5).abs()
    bridge = torch.minimum(0.005 - (v - EYE_Y + 0.004).abs(), a.eye_gap - 0.07 - middle)
    temple = torch.minimum(
        0.004 - (v - EYE_Y + 0.002).abs(),
        torch.minimum(middle - a.eye_gap - 0.074, a.face_width + 0.01 - middle),
    )
    return step(torch.maximum(rim, torch.maximum(bridge, temple)), 0.75 * pixel) + 0.06 * step(1 - r, 0.01)


def body(a: Anatomy, size: int) -> Tensor:
    """The neck, shoulders and clothes, (4, size, size)."""
    rng = np.random.default_rng([a.seed, 4])
    u, v = axes(size)
    x, pixel = (u - 0.5).abs(), (SPAN[1] - SPAN[0]) / size
    cloth = noise(rng, size, 6, 5, stretch=0.6)[0]
    side = 1 + 0.3 * a.light[0] * (u - 0.5) / 0.25
    neck_wide = a.face_width * 0.62
    neck = torch.minimum(neck_wide + 0.1 * (v - 0.9).clamp(min=0) - x, v - 0.6)
    shoulders = (
        v - 0.93 - 0.35 * (x - neck_wide * 0.8).clamp(min=0).square() - 0.22 * (x - neck_wide).clamp(min=0)
    )
    collar = 0.10 * (a.parting + 0.5)
    scoop = (neck_wide * 0.95 - x).clamp(min=0) * (0.3 + collar * 6)
    cast = 1 - 0.5 * step(a.chin + 0.05 - v + 0.02 * cloth, 0.045)  # the chin's shadow
    tone = colour(a.skin) * (0.92 * side * cast * (1 - 0.35 * (x / neck_wide).clamp(0, 1).square()))
    weave = (
        1
        + 0.18 * cloth
        + 0.06 * torch.sin(u * 140) * (a.seed % 3 == 0)
        + 0.1 * torch.sin(v * 90) * (a.seed % 5 == 0)
    )
    fabric = colour(a.clothes) * (weave * side)
    stripe = step(0.014 - (shoulders - scoop - 0.014).abs(), pixel)
    fabric = fabric + (colour(a.clothes_second) * side - fabric) * stripe * (a.seed % 2)
    wear = step(shoulders - scoop, 1.2 * pixel)
    cover = torch.maximum(step(neck, pixel), wear)
    cover = torch.maximum(cover, step(shoulders, pixel))
    return torch.cat([(tone * (1 - wear) + fabric * wear).clamp(0, 1) * cover, cover[None]])


def ground(a: Anatomy, size: int) -> Tensor:
    """The background, over the frame itself, (3, size, size): a gradient with noise or soft shapes."""
    rng = np.random.default_rng([a.seed, 5])
    first, octaves = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    at = (torch.arange(size) + 0.5) / size
    turn = rng.uniform(0, 2 * np.pi)
    slope = (at[None] - 0.5) * np.cos(turn) + (at[:, None] - 0.5) * np.sin(turn)
    mix = (0.5 + 0.9 * slope + rng.uniform(0, 0.9) * noise(rng, size, first, octaves)[0]).clamp(0, 1)
    if rng.random() < 0.25:
        mix = step(mix - 0.5, 0.04)
    out = colour(a.ground) + (colour(a.ground_second) - colour(a.ground)) * mix
    return (out * (1 + 0.05 * noise(rng, size, 16, 3)[0] * rng.random())).clamp(0, 1)
