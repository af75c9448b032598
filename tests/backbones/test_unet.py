"""The network with control: diffusers' own at step 0, closed gates, checkpointing, no shared state."""

from dataclasses import replace

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from models import SMALL, small_model, some_conditions

from actalker.backbones.attach import cross_attentions
from actalker.backbones.unet import ControlUNet
from actalker.control.pass_ import Pass
from actalker.media.image import height_width
from actalker.pipeline.model.model import TalkingHeadModel


def noisy(model, b=1, f=4, seed=1):
    h, w = (n // 8 for n in height_width(model.config.size))
    return torch.randn(b, f, 192, h, w, generator=torch.Generator().manual_seed(seed))


def run(model, conditions, b=1, f=4):
    return model.network(noisy(model, b, f), torch.zeros(b), conditions).output


def with_adapters() -> TalkingHeadModel:
    """Signals enter attention too, and have an effect there."""
    model = small_model(denoiser_args={"adapters": True})
    for name, weight in model.network.named_parameters():
        if "to_v_ip" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.mark.parametrize("adapters", [False, True])
def test_at_step_0_it_is_diffusers_own_network(adapters):
    torch.manual_seed(0)
    args = SMALL["denoiser_args"]
    ours = ControlUNet(**args, adapters=adapters)
    own = {k: v for k, v in args.items() if k not in ("token_width", "branch")}
    plain = UNetSpatioTemporalConditionModel(**own)
    weights = ours.state_dict()
    plain.load_state_dict({k: weights[k] for k in plain.state_dict()})
    model = small_model()
    conditions = some_conditions(model)
    x = noisy(model)
    joined = torch.cat([x, conditions.reference[:, None].expand(-1, 4, -1, -1, -1)], 2)
    added = torch.tensor([[25.0, 0, 0]])
    expected = plain(joined, torch.zeros(1), conditions.identity, added).sample
    torch.testing.assert_close(ours(x, torch.zeros(1), conditions).output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("signal", ["audio", "expression", "text"])
@pytest.mark.parametrize("form", ["clip", "frame", "shipped"])
def test_a_closed_gate_is_bit_for_bit_the_model_without_the_signal(signal, form):
    shipped = {"scan_scope": "frame", "condition_layout": "rows", "gated": True}
    branch = shipped if form == "shipped" else {"scan_scope": form}
    model = small_model(denoiser_args={"branch": {"expand": 0.5, "state_size": 4, **branch}})
    gates = {"audio": 1.0, "expression": 0.6, "text": 1.0}
    with_closed = some_conditions(model, gates={**gates, signal: 0.0})
    without = some_conditions(model, gates={s: g for s, g in gates.items() if s != signal})
    assert torch.equal(run(model, with_closed), run(model, without))
    assert not torch.equal(run(model, with_closed), run(model, some_conditions(model, gates=gates)))


@pytest.mark.parametrize("signal", ["audio", "expression", "text"])
def test_a_closed_gate_shuts_attention_too(signal):
    model = with_adapters()
    gates = {"audio": 1.0, "expression": 0.6, "text": 1.0}
    with_closed = some_conditions(model, gates={**gates, signal: 0.0})
    without = some_conditions(model, gates={s: g for s, g in gates.items() if s != signal})
    assert torch.equal(run(model, with_closed), run(model, without))
    plain = small_model()
    assert not torch.equal(run(model, without), run(plain, without))


@torch.no_grad()
def test_attention_adds_nothing_outside_a_signals_region_within_a_frame():
    """In space: a layer's addition is zero where the region's mask is, whatever the tokens are."""
    model = with_adapters()
    told = some_conditions(model)
    attention = next(part for part, spatial in cross_attentions(model.network) if spatial)
    x = torch.randn(4, 16, attention.to_q.in_features)

    def made(audio):
        one = replace(told, tokens={**told.tokens, "audio": audio})
        attention.processor.current_pass = lambda: Pass(one)
        return attention(x)

    apart = (made(told.tokens["audio"]) - made(torch.randn_like(told.tokens["audio"]))).abs().amax(2)
    inside = Pass(told).mask("audio", 16).flatten(0, 1) > 0
    assert not apart[~inside].any() and apart[inside].all() and (~inside).any()


def test_a_closed_signal_may_hold_anything():
    model = small_model()
    closed = some_conditions(model, gates={"audio": 1.0, "expression": 0.0, "text": 1.0})
    broken = {**closed.tokens, "expression": torch.full_like(closed.tokens["expression"], float("nan"))}
    assert torch.equal(run(model, closed), run(model, replace(closed, tokens=broken)))


def test_gates_by_item_equal_the_items_alone():
    model = small_model()
    both = some_conditions(
        model,
        b=2,
        gates={
            "audio": torch.tensor([[1.0] * 4, [0.0] * 4]),
            "expression": 1.0,
            "text": torch.tensor([[0.0] * 4, [0.5] * 4]),
        },
    )
    x = noisy(model, 2)
    together = model.network(x, torch.zeros(2), both).output
    for k in range(2):
        alone = model.network(x[k : k + 1], torch.zeros(1), both.item(k)).output
        torch.testing.assert_close(together[k : k + 1], alone, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("made", [small_model, with_adapters])
def test_gradients_with_checkpointing_equal_those_without_also_with_another_forward_between(made):
    grads = []
    for checkpointing in (False, True):
        model = made()
        model.requires_grad_(True)
        if checkpointing:
            model.network.enable_gradient_checkpointing()
        model.network.train()
        first, other = some_conditions(model, seed=0), some_conditions(model, seed=5, gates={"text": 1.0})
        loss = model.network(noisy(model), torch.zeros(1), first).output.square().mean()
        with torch.no_grad():
            model.network(noisy(model, seed=9), torch.ones(1), other)
        loss.backward()
        grads.append({n: p.grad for n, p in model.network.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert any("control" in name for name in grads[0])
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-4, atol=1e-6, msg=name)


def test_nothing_of_a_call_stays_behind():
    model = small_model()
    first, other = some_conditions(model, seed=0), some_conditions(model, seed=3, gates={"audio": 1.0})
    expected = run(model, first)
    run(model, other)
    assert torch.equal(run(model, first), expected)
    with pytest.raises(Exception):  # noqa: B017  any fault in the middle
        model.network(noisy(model)[..., :3], torch.zeros(1), first)
    assert torch.equal(run(model, first), expected)


def test_saved_and_loaded(tmp_path):
    model = small_model()
    model.network.save_pretrained(tmp_path)
    again = ControlUNet.from_pretrained(tmp_path)
    conditions = some_conditions(model)
    x = noisy(model)
    with torch.no_grad():
        ours = model.network(x, torch.zeros(1), conditions).output
        theirs = again.eval()(x, torch.zeros(1), conditions).output
    for name, weight in model.network.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    # the same weights elsewhere in memory: some CPUs' matrix products round by how they are aligned
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
