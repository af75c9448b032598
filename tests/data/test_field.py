"""The true motion field: the portrait, warped by it, is the true frame wherever it says it is known."""

import numpy as np
import pytest
import torch

from actalker.backbones.warp import warp
from actalker.data.puppets.clip import PuppetConfig, puppet_clip, render_target
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.puppets.field import motion_field
from actalker.data.puppets.motion import compose
from actalker.data.sample import FIELD, collate
from actalker.training.strategies import LooksStrategy, change_looks

CONFIG = PuppetConfig(frames=6, size=96, driver_size=32)
ALL = dict.fromkeys(("audio", "expression", "text"), 1.0)


def squared(made: torch.Tensor, true: torch.Tensor, known: torch.Tensor) -> float:
    return float(((made - true).square() * known).sum() / known.sum().clamp(min=1))


@pytest.mark.parametrize("gates", [ALL, {"audio": 1.0}, {"expression": 1.0}, {"text": 0.5}])
def test_the_warped_portrait_is_the_frame(gates):
    warped, still, share = [], [], []
    for index in range(12):
        clip = puppet_clip(4, index, CONFIG)
        field = motion_field(clip.puppet, compose(clip.parts, gates), CONFIG.size)
        flow, known = field[:, :2], field[:, 2:]
        true = render_target(clip, gates)
        warped.append(squared(warp(clip.portrait[None], flow[None])[0], true, known))
        still.append(squared(clip.portrait[None], true, known))
        share.append(float(known.mean()))
        assert set(known.unique().tolist()) <= {0.0, 1.0} and not flow[known.expand_as(flow) == 0].any()
    assert np.mean(share) > 0.7
    assert np.mean(warped) < 0.4 * np.mean(still)


def test_a_puppet_at_rest_has_no_motion():
    clip = puppet_clip(4, 0, CONFIG)
    field = motion_field(clip.puppet, compose(clip.parts, {}), 24)
    assert field.shape == (6, 3, 24, 24) and field[:, :2].abs().max() < 1e-3


def test_coarse_fields_are_fine_ones_read_at_their_cells():
    clip = puppet_clip(4, 2, CONFIG)
    motion = compose(clip.parts, ALL)
    fine, coarse = (motion_field(clip.puppet, motion, n) for n in (96, 32))
    at = fine[:, :, 1::3, 1::3]  # the same centres
    both = (at[:, 2:] * coarse[:, 2:]).bool()
    assert both.float().mean() > 0.6
    assert ((at - coarse)[:, :2] * both).abs().max() < 1e-3


def test_changed_looks_take_their_field_along():
    """Zoomed and shifted pictures are still each other's warps by the field of the sample."""
    source = PuppetDataset(PuppetDataConfig(seed=6, frames=2, size=128, portrait_share=0.0, all_open=1.0), 8)
    batch = collate([source[k] for k in range(8)])
    settings = LooksStrategy(recolour=0.5, zoom=0.15, shift=0.08)
    changed = change_looks(batch, settings, torch.Generator().manual_seed(0))

    def error(sample, factor=1.0):
        flow = sample.field[:, :, :2].float() * factor
        known = torch.nn.functional.interpolate(sample.field[:, :, 2].float(), scale_factor=FIELD)[:, :, None]
        coarse = torch.nn.functional.interpolate(flow.flatten(0, 1), scale_factor=FIELD, mode="bilinear")
        made = warp(sample.portrait.float() / 255, coarse.unflatten(0, flow.shape[:2]))
        return squared(made, sample.frames.float() / 255, known)

    assert error(batch) < 0.5 * error(batch, 0.0)
    assert error(changed) < 0.5 * error(changed, 0.0)
    assert error(changed) < error(changed, 0.85) and error(changed) < error(changed, 1.15)
    assert 0.4 < float(changed.field[:, :, 2].float().mean()) <= float(batch.field[:, :, 2].float().mean())


def test_warped_portraits_have_no_known_field():
    source = PuppetDataset(PuppetDataConfig(seed=6, frames=2, size=64, portrait_share=1.0), 1)
    assert not source[0].field.any()
