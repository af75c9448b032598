"""Guidance against the nested sum that it stands for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import small_model, some_conditions

from actalker.diffusion.guidance import guided, passes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.5]), min_size=3, max_size=3))
def test_guidance_is_the_nested_sum(scales):
    """On a linear denoiser every pass is known: D_S = 1 + the sum of the values of S."""
    signals, worth = ["audio", "expression", "text"], {"audio": 1.0, "expression": 10.0, "text": 100.0}
    told = some_conditions(small_model(), 1, 2)

    def denoise(x, sigma, one):
        rows = (
            torch.stack([g.amax(1) > 0 for g in one.gates.values()]).float()
            * torch.tensor(list(worth.values()))[:, None]
        )
        return torch.ones_like(x) + rows.sum(0).view(-1, 1, 1, 1, 1)

    scale = dict(zip(signals, scales, strict=True))
    got = guided(denoise, scale)(torch.zeros(1, 2, 1, 2, 2), torch.ones(1), told)
    always = sum(worth[s] for s in signals if scale[s] == 1)
    expected, held = 1 + always, 0.0
    for s in signals:
        if scale[s] != 1:
            expected += scale[s] * worth[s]
            held += worth[s]
    torch.testing.assert_close(got, torch.full_like(got, expected))
    assert len(passes(signals, scale)) <= 1 + sum(v != 1 for v in scales)
    assert sum(w for _, w in passes(signals, scale)) == pytest.approx(1)


def test_scale_1_is_no_guidance_bit_for_bit():
    model = small_model()
    told = some_conditions(model)
    x = torch.randn(1, 4, 192, 8, 8)
    plain = model.denoise(x, torch.ones(1), told)
    assert torch.equal(guided(model.denoise, {"audio": 1.0})(x, torch.ones(1), told), plain)
    batched = guided(model.denoise, {"audio": 2.0, "text": 3.0})(x, torch.ones(1), told)
    single = guided(model.denoise, {"audio": 2.0, "text": 3.0}, together=False)(x, torch.ones(1), told)
    torch.testing.assert_close(batched, single, rtol=1e-3, atol=1e-3)
