"""A clip in windows is the clip as a whole: passes hand on what the branches of a causal network remember."""

from dataclasses import replace

import pytest
import torch
from models import small_model, some_conditions

from actalker.control import BranchConfig, Conditions, ParallelControl, Pass, Scanning
from actalker.errors import InputError

FRAMES, SIDE, CHANNELS, WIDTH = 6, 6, 24, 8
WINDOWS = ([1, 2, 3], [3, 3], [1] * FRAMES)


def clips() -> Conditions:
    """Two clips: a region that is gone in some frames, gates that open late, close between, or never open."""
    make = torch.Generator().manual_seed(0)
    beat = torch.rand(2, FRAMES, 24, 24, generator=make)
    beat[0, 0], beat[1, 2:4] = 0, 0
    wink = torch.ones(2, FRAMES, 24, 24)
    gates = {
        "beat": torch.tensor([[1, 1, 0.5, 0, 0, 1], [0, 0, 0, 1, 0.2, 1]]),
        "wink": torch.tensor([[0, 0, 0, 0, 0.3, 0], [0, 0, 0, 0, 0, 0]]),
    }
    tokens = {s: torch.randn(2, FRAMES, 2, WIDTH, generator=make) for s in gates}
    who = torch.randn(2, 3, WIDTH, generator=make)
    return Conditions(tokens, {"beat": beat, "wink": wink}, gates, identity=who)


def layer(**settings) -> ParallelControl:
    torch.manual_seed(1)
    control = ParallelControl(CHANNELS, WIDTH, ("beat", "wink"), BranchConfig(0.75, 4, **settings))
    torch.nn.init.normal_(control.mlp[-1].weight)
    return control.requires_grad_(False)


def in_windows(control, z, conditions, sizes):
    """The clip window by window, and the states behind its last frame."""
    out, states, start = [], {}, 0
    for size in sizes:
        one = Pass(conditions.frames(start, start + size), states=states)
        out.append(control(z[:, start : start + size], one, site=7))
        states, start = one.next_states, start + size
    return torch.cat(out, 1), states


FORMS = {
    "selective": {},
    "rows": {"condition_layout": "rows", "gated": True},
    "convolution": {"conv": 3},
    "without identity": {"identity": False},
    "ssd": {"form": "ssd", "head_size": 6, "conv": 4},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_clip_in_windows_is_the_clip(form):
    control = layer(directions="forward", **FORMS[form])
    z, conditions = torch.randn(2, FRAMES, SIDE, SIDE, CHANNELS), clips()
    whole = control(z, Pass(conditions))
    for sizes in WINDOWS:
        found, states = in_windows(control, z, conditions, sizes)
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
        assert states.keys() == {(7, "beat"), (7, "wink")}
    forgetful = torch.cat(
        [control(z[:, k : k + 1], Pass(conditions.frames(k, k + 1))) for k in range(FRAMES)], 1
    )
    assert (forgetful - whole).abs().max() > 1e-2


def test_a_frame_depends_on_no_later_one():
    control, z = layer(directions="forward"), torch.randn(2, FRAMES, SIDE, SIDE, CHANNELS)
    conditions = clips()
    others = replace(
        conditions,
        tokens={s: torch.cat([t[:, :3], -t[:, 3:]], 1) for s, t in conditions.tokens.items()},
        gates={s: torch.cat([g[:, :3], 1 - g[:, 3:]], 1) for s, g in conditions.gates.items()},
    )
    one, two = (control(z, Pass(c)) for c in (conditions, others))
    torch.testing.assert_close(one[:, :3], two[:, :3], rtol=1e-4, atol=1e-5)
    assert (one[:, 3:] - two[:, 3:]).abs().max() > 1e-2


@pytest.mark.parametrize("settings", [{"scan_scope": "frame"}, {"form": "attention", "head_size": 8}])
def test_branches_that_see_frame_by_frame_go_on_from_nothing(settings):
    control, z = layer(**settings), torch.randn(2, FRAMES, SIDE, SIDE, CHANNELS)
    conditions = clips()
    found, states = in_windows(control, z, conditions, [2, 4])
    torch.testing.assert_close(found, control(z, Pass(conditions)), rtol=1e-4, atol=1e-5)
    assert not states


@pytest.mark.parametrize("form", ["selective", "ssd"])
def test_branches_in_both_directions_refuse_to_go_on(form):
    control, z = layer(form=form, head_size=6), torch.randn(2, FRAMES, SIDE, SIDE, CHANNELS)
    with pytest.raises(InputError, match="both directions needs the frames to come; .*directions: forward"):
        control(z, Pass(clips(), states={}))
    framewise = replace(clips(), scanning=Scanning(scope="frame"))
    assert Pass(framewise).next_states is None
    control(z, Pass(framewise, states={}))


@pytest.mark.parametrize("layout", ["ends", "end"])
def test_layouts_that_wait_for_the_whole_clip_are_refused(layout):
    with pytest.raises(InputError, match=f"condition_layout {layout}, .*give one of rows, interleaved"):
        BranchConfig(directions="forward", condition_layout=layout)


def test_states_of_other_clips_are_refused():
    control, z = layer(directions="forward"), torch.randn(2, FRAMES, SIDE, SIDE, CHANNELS)
    _, states = in_windows(control, z, clips(), [FRAMES])
    with pytest.raises(InputError, match=r"state is \(2, 1, 18, 4\); 1 sequences need"):
        control(z[:1], Pass(clips().item(0), states=states), site=7)


def test_a_network_in_windows_is_the_network():
    """A new one's own layers over time see each frame for itself: the scans alone reach through time."""
    branch = {"expand": 0.5, "state_size": 4, "directions": "forward"}
    model = small_model(denoiser_args={"branch": branch})
    conditions = some_conditions(model, f=3)
    x, noise = torch.randn(1, 3, 192, 8, 8), torch.zeros(1)
    whole = model.network(x, noise, conditions)
    assert whole.states is None
    first = model.network(x[:, :1], noise, conditions.frames(0, 1), states={})
    rest = model.network(x[:, 1:], noise, conditions.frames(1, 3), states=first.states)
    sites = len(model.network.control)
    assert first.states.keys() == {(k, s) for k in range(sites) for s in conditions.open}
    found = torch.cat([first.sample, rest.sample], 1)
    torch.testing.assert_close(found, whole.sample, rtol=1e-4, atol=1e-5)
    alone = model.network(x[:, 1:], noise, conditions.frames(1, 3)).sample
    assert (alone - whole.sample[:, 1:]).abs().max() > 1e-2
