"""Each signal moves its own part: with random weights, what audio changes lies inside audio's region."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from actalker.control.conditions import Conditions
from actalker.control.config import BranchConfig
from actalker.control.parallel import ParallelControl
from actalker.control.pass_ import Pass
from actalker.control.released import ReleasedControl
from actalker.control.scanning import Scanning

SIDE, FRAMES, CHANNELS, WIDTH = 8, 3, 32, 16


def told(seed: int) -> Conditions:
    torch.manual_seed(seed)
    mouth, upper = torch.zeros(2, 1, FRAMES, 64, 64)
    mouth[..., 40:60, 16:48] = 1
    upper[..., 8:40, 8:56] = 1  # they touch
    signals = ("audio", "expression")
    return Conditions(
        tokens={s: torch.randn(1, FRAMES, 2, WIDTH) for s in signals},
        regions={"audio": mouth, "expression": upper},
        gates={s: torch.full((1, FRAMES), 0.7) for s in signals},
        identity=torch.randn(1, 4, WIDTH),
    )


@pytest.mark.parametrize("form", ["selective", "ssd", "attention"])
@pytest.mark.parametrize("scope", ["clip", "frame"])
@pytest.mark.parametrize("signal", ["audio", "expression"])
@pytest.mark.parametrize("drop", [1.0, 0.3])
def test_the_papers_layer(form, scope, signal, drop):
    torch.manual_seed(1)
    config = BranchConfig(0.5, 4, scope, form=form, head_size=8)
    layer = ParallelControl(CHANNELS, WIDTH, ("audio", "expression"), config)
    torch.nn.init.normal_(layer.mlp[-1].weight)
    z = torch.randn(1, FRAMES, SIDE, SIDE, CHANNELS)
    one = told(0)
    other = replace(one, tokens={**one.tokens, signal: torch.randn(1, FRAMES, 2, WIDTH)})
    a, b = (
        layer(z, Pass(replace(c, scanning=Scanning(drop, torch.Generator().manual_seed(0)))))
        for c in (one, other)
    )
    region = torch.nn.functional.avg_pool2d(one.regions[signal][0, :, None], 8)[:, 0] >= 0.5
    changed = (a != b).any(-1)[0]
    assert not changed[~region].any()
    assert changed[region].all()


@pytest.mark.parametrize("signal", ["audio", "expression"])
def test_the_releases_layer(signal):
    torch.manual_seed(1)
    layer = ReleasedControl(CHANNELS, WIDTH)
    z = torch.randn(FRAMES, SIDE * SIDE, CHANNELS)
    kept = torch.zeros(2, FRAMES, SIDE, SIDE, dtype=torch.bool)
    kept[0, :, 5:7, 2:6], kept[1, :, 1:5, 1:7] = True, True
    kept = dict(zip(("audio", "expression"), kept.flatten(2), strict=True))
    tokens = {s: torch.randn(FRAMES, 2, WIDTH) for s in kept}
    gates = {s: torch.ones(FRAMES) for s in kept}
    who = torch.randn(FRAMES, 4, WIDTH)
    one = layer(z, tokens, who, kept, gates)
    other = layer(z, {**tokens, signal: torch.randn(FRAMES, 2, WIDTH)}, who, kept, gates)
    changed = (one != other).any(-1)
    assert not changed[~kept[signal]].any()
    assert changed[kept[signal]].all()
