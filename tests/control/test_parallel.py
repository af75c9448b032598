"""The layer in time, every frame under its own gate; and in a network that is not ours, as the docs show."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actalker.control import BranchConfig, Conditions, ParallelControl, Pass, Scanning
from actalker.control.conditions import chain

SIDE, FRAMES, CHANNELS, WIDTH = 8, 3, 32, 16
PAGE = Path(__file__).parents[2] / "docs" / "control.md"


def told(gate):
    """Two signals whose regions touch; the first has this gate, frame by frame."""
    g = torch.Generator().manual_seed(0)
    low, high = torch.zeros(2, 1, FRAMES, 64, 64)
    low[..., 40:60, 16:48], high[..., 8:40, 8:56] = 1, 1
    return Conditions(
        tokens={s: torch.randn(1, FRAMES, 2, WIDTH, generator=g) for s in ("beat", "wink")},
        regions={"beat": low, "wink": high},
        gates={"beat": torch.tensor([gate]), "wink": torch.full((1, FRAMES), 0.7)},
        identity=torch.randn(1, 4, WIDTH, generator=g),
    )


def layer():
    """One in which each frame is a sequence of its own, with an effect."""
    torch.manual_seed(1)
    made = ParallelControl(CHANNELS, WIDTH, ("beat", "wink"), BranchConfig(0.5, 4, "frame"))
    torch.nn.init.normal_(made.mlp[-1].weight)
    return made


@pytest.mark.parametrize("gate", [(0.0, 1.0, 0.4), (1.0, 0.0, 0.0), (0.2, 0.9, 0.0)])
def test_every_frame_has_its_own_gate(gate):
    control, z = layer(), torch.randn(1, FRAMES, SIDE, SIDE // 2, CHANNELS)  # not square

    def made(conditions):
        return control(z, Pass(conditions))[0]

    mixed = made(told(gate))
    frames = []
    for k, value in enumerate(gate):
        alone = made(told((value,) * FRAMES))[k]
        torch.testing.assert_close(mixed[k], alone, rtol=1e-4, atol=1e-5)
        frames.append(alone)
    constant = [made(told((gate[0],) * FRAMES))[k] for k in range(FRAMES)]
    assert any(not torch.allclose(a, b, atol=1e-3) for a, b in zip(frames, constant, strict=True))


def test_frames_closed_in_an_open_clip_are_scanned_but_not_by_a_causal_branch():
    one = Pass(told((0.0, 1.0, 0.4)))
    both, forward = (one.selections((SIDE, SIDE), causal)["beat"].counts.sum(2) for causal in (False, True))
    assert (both > 0).all() and (forward > 0).tolist() == [[False, True, True]]
    assert torch.equal(forward[:, 1:], both[:, 1:])
    shut = Pass(replace(told((0.0,) * FRAMES), scanning=Scanning(idle=True)))
    assert not shut.selections((SIDE, SIDE))["beat"].counts.any()


def test_a_frame_whose_gate_is_shut_may_hold_anything():
    control, z, one = layer(), torch.randn(1, FRAMES, SIDE, SIDE, CHANNELS), told((0.0, 1.0, 0.0))
    broken = one.tokens["beat"].clone()
    broken[:, [0, 2]] = torch.nan
    other = replace(one, tokens={**one.tokens, "beat": broken})
    clean, dirty = (control(z, Pass(c)) for c in (one, other))
    assert torch.equal(clean, dirty)


def test_a_layer_alone_needs_neither_identity_nor_reference():
    parts = told((1.0,) * FRAMES)
    bare = Conditions(parts.tokens, parts.regions, parts.gates)
    assert bare.identity.shape == (1, 0, WIDTH)
    control, z = layer(), torch.randn(1, FRAMES, SIDE, SIDE, CHANNELS)
    nobody = replace(parts, identity=torch.zeros(1, 0, WIDTH))
    found, expected = (control(z, Pass(c)) for c in (bare, nobody))
    assert torch.equal(found, expected)
    again = chain([bare.frames(0, 2), bare.frames(2, 3)]).to(torch.float32)
    assert torch.equal(control(z, Pass(again)), found)


def test_the_example_of_the_docs_runs_and_trains():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    torch.manual_seed(0)
    space: dict = {"__name__": "example"}
    for block in blocks[:2]:
        exec(compile(block, str(PAGE), "exec"), space)
    network, call = space["network"], (space["noisy"], space["t"], space["conditions"])
    b, f = space["noisy"].shape[:2]
    with torch.no_grad():
        plain = network.unet(space["noisy"].flatten(0, 1), space["t"].repeat_interleave(f)).sample
        torch.testing.assert_close(network(*call), plain.unflatten(0, (b, f)), rtol=1e-5, atol=1e-5)
    exec(compile(blocks[2], str(PAGE), "exec"), space)
    grads = {name: weight.grad for name, weight in network.named_parameters()}
    assert not [name for name, grad in grads.items() if grad is None or not grad.any()]
    closed = replace(call[2], gates={s: torch.zeros(b, f) for s in ("beat", "wink")})
    other = replace(closed, tokens={s: 9 * t for s, t in closed.tokens.items()})
    with torch.no_grad():
        assert torch.equal(network(*call[:2], closed), network(*call[:2], other))
        assert not torch.equal(network(*call), network(*call[:2], closed))
        exec(compile(blocks[3], str(PAGE), "exec"), space)
        whole = space["layer"](space["features"], Pass(call[2]))
        torch.testing.assert_close(torch.cat(space["windows"], 1), whole, rtol=1e-4, atol=1e-5)


def test_over_time_a_signal_is_the_mean_of_the_frames_in_which_it_is_open():
    tokens = torch.tensor([[[[2.0]], [[9.0]], [[6.0]]], [[[7.0]], [[torch.nan]], [[1.0]]]])
    gate = torch.tensor([[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]])
    pass_ = Pass(Conditions({"beat": tokens}, {"beat": torch.ones(2, 3, 4, 4)}, {"beat": gate}))
    assert pass_.tokens_over_time("beat").flatten().tolist() == [4.0, 0.0]


def test_idle_signals_pass_over_nothing():
    """In training all processes use the same weights: a shut signal has gradients, of zero."""
    control, z = layer(), torch.randn(1, FRAMES, SIDE, SIDE, CHANNELS)
    shut = told((0.0,) * FRAMES)
    out = {}
    for idle in (False, True):
        out[idle] = control(z, Pass(replace(shut, scanning=Scanning(idle=idle))))
        control.zero_grad()
        out[idle].sum().backward()
        grads = [weight.grad for weight in control.branches["beat"].parameters()]
        assert all((grad is not None) == idle for grad in grads)
        assert not any(grad.any() for grad in grads if grad is not None)
    assert torch.equal(out[False], out[True])
