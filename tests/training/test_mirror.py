"""Mirrored clips and mirrored drivers: more people, and motion to either side as often."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from actalker.backbones.warp import warp
from actalker.data.puppets.clip import PuppetConfig, puppet_clip
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.puppets.motion import CHANNELS, INDEX, MIRRORED, MIRRORED_SIGN
from actalker.data.sample import FIELD, Sample, collate
from actalker.signals.text import phrase_bytes
from actalker.training.strategies import mirror_clips, mirror_drivers


@pytest.fixture(scope="module")
def clips() -> Sample:
    """Six clips of two frames. The script of the last says where to look; that of the fourth tilts the head,
    the others' nod."""
    data = PuppetDataset(PuppetDataConfig(frames=2, size=64, portrait_share=0.0), 6)
    batch = collate([data[index] for index in range(6)])
    bytes = torch.from_numpy(phrase_bytes("a man speaks")).expand_as(batch.bytes).clone()
    bytes[5, 2] = torch.from_numpy(phrase_bytes("glances Right, then nods"))
    motion = batch.motion.clone()
    motion[:, 2] = 0
    motion[:, 2, :, INDEX["pitch"]] = 0.4
    motion[3, 2, 1, INDEX["roll"]] = 0.4
    return replace(batch, bytes=bytes, motion=motion)


MIRRORED_ONES, STAY = [0, 1, 2, 4], [3, 5]


@pytest.mark.parametrize("name", ["lid_left", "brow_right", "gaze_x", "yaw", "roll"])
def test_a_mirrored_driver_performs_the_mirrored_motion(name):
    """Drawn: what moves in the mirrored picture is what the mirrored motion moves, and where."""
    motion = np.zeros((3, len(CHANNELS)), np.float32)
    motion[0, INDEX[name]] = 1.0
    motion[1] = motion[0][MIRRORED] * MIRRORED_SIGN
    alike = other = 0.0
    for index in range(6):
        seen, turned, still = puppet_clip(3, index, PuppetConfig(frames=1, size=64)).puppet.render(motion)
        here, there = (seen - still).flip(-1), turned - still
        if name.startswith(("lid", "brow")):  # thin, on faces that are not quite even: the side counts
            here, there = (F.avg_pool2d(t.abs(), 16) for t in (here, there))
        wrong = F.avg_pool2d((seen - still).abs(), 16) if name.startswith(("lid", "brow")) else seen - still
        alike, other = alike + float((here * there).sum()), other + float((here * wrong).sum())
    assert alike > 2 * max(other, 0), (alike, other)


def test_a_mirrored_clip_is_mirrored_in_all_that_is_known_of_it(clips):
    turned = mirror_clips(clips, 1.0, torch.Generator())
    for name in ("portrait", "frames", "crops", "rest", "face", "mouth"):
        assert torch.equal(
            getattr(turned, name)[MIRRORED_ONES], getattr(clips, name)[MIRRORED_ONES].flip(-1)
        ), name
    for name in ("audio", "bytes", "timing", "gates", "micro", "index"):
        assert torch.equal(getattr(turned, name), getattr(clips, name)), name
    for side, other, sign in (
        ("lid_left", "lid_right", 1),
        ("yaw", "yaw", -1),
        ("pitch", "pitch", 1),
        ("jaw", "jaw", 1),
    ):
        seen, before = (
            turned.motion[MIRRORED_ONES, ..., INDEX[side]],
            clips.motion[MIRRORED_ONES, ..., INDEX[other]],
        )
        assert torch.equal(seen, sign * before), side

    def moved(batch: Sample) -> torch.Tensor:  # the portrait, warped by the known field
        known = batch.field[MIRRORED_ONES, :, 2:].float()
        field = (batch.field[MIRRORED_ONES, :, :2].float() * known) / FIELD
        return warp(batch.portrait[MIRRORED_ONES].float(), field) * F.interpolate(
            known, scale_factor=(1, FIELD, FIELD)
        )

    torch.testing.assert_close(moved(turned), moved(clips).flip(-1), rtol=0, atol=1e-2)


def test_clips_whose_script_asks_for_a_side_stay_and_twice_mirrored_is_as_before(clips):
    turned = mirror_clips(clips, 1.0, torch.Generator())
    twice = mirror_clips(turned, 1.0, torch.Generator())
    for f in fields(Sample):
        old, new, back = (getattr(batch, f.name) for batch in (clips, turned, twice))
        assert torch.equal(old[STAY], new[STAY]) and torch.equal(old, back), f.name
    some = mirror_clips(clips, 0.5, torch.Generator().manual_seed(1))
    kept = (some.portrait == clips.portrait).flatten(1).all(1)
    assert kept[MIRRORED_ONES].any() and not kept.all()
    assert mirror_clips(clips, 0.0, torch.Generator()) is clips


def test_mirroring_drivers_turns_their_pictures_and_motion_alone(clips):
    turned = mirror_drivers(clips, 1.0, torch.Generator())
    assert torch.equal(turned.crops, clips.crops.flip(-1)) and torch.equal(turned.rest, clips.rest.flip(-1))
    own = clips.motion[:, 1][..., MIRRORED] * torch.from_numpy(MIRRORED_SIGN)
    assert torch.equal(turned.motion[:, 1], own) and torch.equal(turned.frames, clips.frames)
    assert torch.equal(turned.motion[:, ::2], clips.motion[:, ::2])
    twice = mirror_drivers(turned, 1.0, torch.Generator())
    assert torch.equal(twice.motion, clips.motion) and torch.equal(twice.crops, clips.crops)
    some = mirror_drivers(clips, 0.5, torch.Generator().manual_seed(0))
    kept = (some.crops == clips.crops).flatten(1).all(1)
    assert kept.any() and not kept.all()
    assert mirror_drivers(clips, 0.0, torch.Generator()) is clips
