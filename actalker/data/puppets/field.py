"""Where what a puppet's frames show stands in its portrait: the true motion field, for training.

Frames and fields are read at the centres of cells, n by n; letters: f frames, P motion channels, n cells a
side.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .anatomy import EYE_Y, MOUTH_Y, Anatomy
from .motion import still
from .pose import Pose
from .render import Lips, Puppet, absolute, read_texture

SURE = 0.9  # share of the colour at a place that one layer must give


def motion_field(puppet: Puppet, motion: np.ndarray | Tensor, cells: int) -> Tensor:
    """The field of a motion (f, P) by which the portrait, warped, shows the same as the frames.

    Returns (f, 3, n, n), on the CPU: to the right and down, in pixels, from a cell's centre to where its
    material is in the portrait; and 1 where that is known, else 0. Not known are the eyes and brows, the
    inside of a mouth, edges between layers, and what something else hid in the portrait: ground behind the
    head, skin behind the lips.
    """
    a = puppet.anatomy
    pose, rest = (Pose(a, absolute(a, m)).to(puppet.device) for m in (motion, still(1)))
    with puppet.making():
        return _field(puppet, pose, rest, (torch.arange(cells) + 0.5) / cells).cpu()


def _field(puppet: Puppet, pose: Pose, rest: Pose, at: Tensor) -> Tensor:
    a = puppet.anatomy
    u, v, u0, v0 = pose.to_head(at, at)
    place = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).expand(*u.shape, 2)  # (f, n, n, 2)
    head, outline = torch.stack([u, v], -1), torch.stack([u0, v0], -1)
    skin = torch.stack([u, pose.on_skin(u, v)], -1)
    skin_before = rest.dropped(skin.flatten(1, 2)).view_as(skin)
    came = (_turned(rest, head), _turned(rest, skin_before), place, _placed(rest, outline), place)
    shown, before = _shares(puppet, pose, at), _shares(puppet, rest, at)
    from_, known = place, torch.zeros_like(u, dtype=torch.bool)
    for k, where in enumerate(came):
        seen = F.grid_sample(
            before[:, k, None].expand(len(u), -1, -1, -1), 2 * where - 1, align_corners=False
        )
        layer = (shown[:, k] > SURE) & (seen[:, 0] > SURE)
        from_, known = torch.where(layer[..., None], where, from_), known | layer
    hidden = torch.stack(_lips(a, rest, rest, *skin_before.unbind(-1))[:2]).any(0)
    known &= ~(hidden & (shown[:, 1] > SURE))
    lips, inside, where = _lips(a, pose, rest, u, v)
    lips &= shown[:, 0] < 1 - SURE
    from_, known = torch.where(lips[..., None], _turned(rest, where), from_), known | lips
    eyes = ((u - 0.5).abs() < a.eye_gap + 0.09) & (v > a.brow_y - 0.08) & (v < EYE_Y + 0.05)
    known = (known & ~eyes & ~inside)[:, None].float()
    field = (from_ - place).permute(0, 3, 1, 2) * puppet.size
    return torch.cat([field * known, known], 1)


def _shares(puppet: Puppet, pose: Pose, at: Tensor) -> Tensor:
    """How much of every cell is hair over the face, skin, body, hair behind and ground, (f, 5, n, n)."""
    u, v, u0, v0 = pose.to_head(at, at)
    body = F.interpolate(puppet.body[None, 3:], (len(at), len(at)), mode="area")[:, 0].expand_as(u)
    layers = [
        read_texture(puppet.before[3:], u, v)[:, 0],
        read_texture(puppet.skin[3:4], u, pose.on_skin(u, v))[:, 0],
        body,
        read_texture(puppet.behind[3:], u0, v0)[:, 0],
    ]
    left, out = torch.ones_like(u), []
    for layer in layers:
        out.append(left * layer)
        left = left * (1 - layer)
    return torch.stack([*out, left], 1)


def _placed(pose: Pose, points: Tensor) -> Tensor:
    """Points (f, n, n, 2) at the head's outline to the frame of a pose (1 frame)."""
    return points @ pose.forward[0, :2, :2].T + pose.forward[0, :2, 2]


def _turned(pose: Pose, points: Tensor) -> Tensor:
    """Head points (f, n, n, 2) to the frame of a pose (1 frame)."""
    return pose.to_frame(points.view(1, -1, 2)).view_as(points)


def _lips(a: Anatomy, pose: Pose, rest: Pose, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which cells lie on the lips, which between them, and the lips' head points at rest (f, n, n, 2)."""
    now, before = Lips(a, pose), Lips(a, rest)
    x = u - 0.5
    t2 = (x / now.wide).square().clamp(max=1)
    y = v - MOUTH_Y - now.line(t2)
    within = x.abs() < now.wide
    edges, edges_before = now.edges(a, t2, x), before.edges(a, t2, x / now.wide * before.wide)
    top, top_in, low_in, low = edges
    upper, lower = within & (y >= top) & (y <= top_in), within & (y >= low_in) & (y <= low)
    inside = within & (y > top_in) & (y < low_in)
    rest_y = torch.zeros_like(y)
    for lip, (first, last) in ((upper, (0, 1)), (lower, (2, 3))):
        share = (y - edges[first]) / (edges[last] - edges[first]).clamp(min=1e-6)
        moved = edges_before[first] + share * (edges_before[last] - edges_before[first])
        rest_y = torch.where(lip, moved, rest_y)
    rest_y = rest_y + before.line(t2) + MOUTH_Y
    points = torch.stack([x / now.wide * before.wide + 0.5, rest_y], -1)
    return upper | lower, inside, points
