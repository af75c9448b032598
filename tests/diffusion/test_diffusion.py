"""Preconditioning, sampling, guidance and windows against closed forms and other packages."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import small_model, some_conditions

from actalker.backbones.denoiser import Estimate
from actalker.control.conditions import chain
from actalker.diffusion.guidance import guided, passes
from actalker.diffusion.objective import ObjectiveConfig, clip_noise, denoising_loss, draw_sigma
from actalker.diffusion.precondition import Precondition, PreconditionConfig
from actalker.diffusion.sampling import sample, scheduler
from actalker.diffusion.shifted import runs, sample_shifted, shifted_windows
from actalker.diffusion.windows import FrameNoise, sample_windows, windows


class Recorder:
    """A network that gives a constant and remembers what it saw."""

    def __call__(self, x, noise, conditions):
        self.x, self.noise = x, noise
        return Estimate(torch.full_like(x, 0.5))


def conditions(b=1, f=2):
    model = small_model()
    return some_conditions(model, b, f)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.0, 30.0])
def test_the_four_factors_are_edms(sigma):
    told, network, data = conditions(), Recorder(), 0.5
    x = torch.randn(1, 2, 192, 8, 8)
    got = Precondition(network, PreconditionConfig(data))(x, torch.tensor([sigma]), told)
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2) ** 0.5
    torch.testing.assert_close(got, skip * x + out * 0.5)
    torch.testing.assert_close(network.x, x / (sigma**2 + data**2) ** 0.5)
    torch.testing.assert_close(network.noise, torch.tensor([0.25 * np.log(sigma)]).float())


def test_v_with_sigma_data_1_is_svds():
    """The network output under which diffusers' scheduler of SVD sees the same clean estimate."""
    from diffusers import EulerDiscreteScheduler

    svd = EulerDiscreteScheduler(
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_type="continuous",
        timestep_spacing="leading",
    )
    svd.set_timesteps(10)
    x, network = torch.randn(1, 2, 192, 8, 8), Recorder()
    sigma = svd.sigmas[3]
    ours = Precondition(network, PreconditionConfig(1.0, "v"))(x, sigma[None], conditions())
    svd._step_index = 3
    theirs = svd.step(torch.full_like(x, 0.5), svd.timesteps[3], x).pred_original_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dpm2", "euler"])
def test_a_gaussian_is_drawn_with_its_mean_and_width(kind):
    """For data N(m, s²) the clean estimate is known; the drawn samples must have that mean and width."""
    mean, width = 0.7, 0.3

    def denoise(x, sigma):
        s = sigma.view(-1, 1, 1, 1, 1)
        return mean + width**2 / (width**2 + s**2) * (x - mean)

    noise = torch.randn(4, 1, 8, 32, 32)
    got = sample(denoise, noise, scheduler(kind, 0.002, 80.0, 0.5), 30)
    assert got.mean() == pytest.approx(mean, abs=0.01)
    assert got.std() == pytest.approx(width, rel=0.03 if kind == "dpm2" else 0.15)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_consistency_function_draws_its_distribution_in_few_steps(steps):
    """For data N(m, s²) it is known: the end of the exact flow, at any noise level."""
    mean, width = 0.7, 0.3

    def consistent(x, sigma):
        s = sigma.view(-1, 1, 1, 1, 1)
        return mean + (x - mean) * width / (width**2 + s**2).sqrt()

    noise = torch.randn(4, 1, 8, 32, 32)
    got = sample(consistent, noise, scheduler("consistency", 0.002, 80.0, 0.5), steps)
    assert got.mean() == pytest.approx(mean, abs=0.01)
    assert got.std() == pytest.approx(width, rel=0.05)
    assert torch.equal(got, sample(consistent, noise, scheduler("consistency", 0.002, 80.0, 0.5), steps))


def test_second_order_is_closer_to_the_exact_flow_at_the_same_cost():
    mean, width = 0.2, 0.5
    noise = torch.randn(2, 1, 4, 16, 16)

    def denoise(x, sigma):
        s = sigma.view(-1, 1, 1, 1, 1)
        return mean + width**2 / (width**2 + s**2) * (x - mean)

    top = 20.0
    exact = mean + (noise * top - mean) * width / (width**2 + top**2) ** 0.5
    error = {
        k: float((sample(denoise, noise, scheduler(k, 0.01, top, 0.5), 8) - exact).abs().mean())
        for k in ("dpm2", "euler")
    }
    assert error["dpm2"] < 0.5 * error["euler"], error


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.5]), min_size=3, max_size=3))
def test_guidance_is_the_nested_sum(scales):
    """On a linear denoiser every pass is known: D_S = 1 + the sum of the values of S."""
    signals, worth = ["audio", "expression", "text"], {"audio": 1.0, "expression": 10.0, "text": 100.0}
    told = conditions()

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
    model, told = small_model(), None
    told = some_conditions(model)
    x = torch.randn(1, 4, 192, 8, 8)
    plain = model.denoise(x, torch.ones(1), told)
    assert torch.equal(guided(model.denoise, {"audio": 1.0})(x, torch.ones(1), told), plain)
    batched = guided(model.denoise, {"audio": 2.0, "text": 3.0})(x, torch.ones(1), told)
    single = guided(model.denoise, {"audio": 2.0, "text": 3.0}, together=False)(x, torch.ones(1), told)
    torch.testing.assert_close(batched, single, rtol=1e-3, atol=1e-3)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.integers(2, 20), st.integers(1, 19))
def test_windows_cover_every_frame_and_overlap(frames, window, overlap):
    overlap = min(overlap, window - 1)
    plan = windows(frames, window, overlap)
    assert plan[0][0] == 0 and plan[-1][1] == frames
    for (_, stop), (start, _) in zip(plan, plan[1:], strict=False):
        assert stop - start >= overlap and start < stop
    assert all(stop - start == min(window, frames) for start, stop in plan)


def test_noise_belongs_to_the_frame():
    noise = FrameNoise((2, 4, 4), seed=3, shared=0.6)
    assert torch.equal(noise.frames(5, 9), noise.frames(0, 20)[:, 5:9])
    assert not torch.equal(noise.frames(5, 6), FrameNoise((2, 4, 4), seed=4, shared=0.6).frames(5, 6))
    many = FrameNoise((3, 32, 32), seed=1, shared=0.6).frames(0, 6)
    assert many.std() == pytest.approx(1, abs=0.05)
    assert float(np.corrcoef(many[0, 0].flatten(), many[0, 1].flatten())[0, 1]) == pytest.approx(
        0.6, abs=0.06
    )


def framewise(x, sigma, one):
    """A denoiser whose frames do not see one another."""
    return 0.5 * x / (1 + sigma.view(-1, 1, 1, 1, 1)) + one.location.mean((2, 3, 4))[..., None, None, None]


@pytest.mark.parametrize("kind, by", [(sample_windows, 2), (sample_shifted, 2), (sample_shifted, 5)])
@pytest.mark.parametrize("frames", [3, 6, 7, 13, 20])
def test_in_windows_a_framewise_denoiser_gives_the_whole(frames, kind, by):
    """Where frames do not see one another, windows must not show."""
    told = some_conditions(small_model(), 1, frames)
    noise = FrameNoise((192, 8, 8), seed=0)

    def run(method, window):
        pieces = method(
            framewise, told.frames, frames, noise, lambda: scheduler("euler", 0.1, 5.0, 0.5), 3, window, by
        )
        return torch.cat(list(pieces), dim=1)

    torch.testing.assert_close(run(kind, 6), run(sample_windows, 1000), rtol=1e-4, atol=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 29))
def test_shifted_windows_cover_a_circle_and_meet_at_most_once(frames, window, offset):
    plan = shifted_windows(frames, window, offset % window)
    seen = Counter(place for places in plan for place in places)
    assert set(seen) == set(range(frames)) and max(seen.values()) <= 2
    assert all(len(places) == min(window, frames) == len(set(places)) for places in plan)
    twice = {place for place, count in seen.items() if count == 2}
    assert twice <= set(plan[0]) & set(plan[-1]) or not twice
    for places in plan:
        assert [k for first, stop in runs(places) for k in range(first, stop)] == places
        assert len(runs(places)) <= 2


def test_where_shifted_windows_meet_stands_the_mean_of_both():
    """One step, five frames in windows of four: frames 0 to 2 are in both; each adds its first place."""
    told = some_conditions(small_model(), 1, 5)
    place = torch.arange(5.0).view(1, 5, 1, 1, 1)
    told = replace(told, location=place.expand(1, 5, *told.location.shape[2:]))

    def first_place(x, sigma, one):
        return one.location[:, :1].mean((2, 3, 4))[..., None, None, None].expand_as(x).clone()

    pieces = sample_shifted(
        first_place,
        told.frames,
        5,
        FrameNoise((2, 3, 3), 0),
        lambda: scheduler("euler", 0.1, 5.0, 0.5),
        1,
        4,
        3,
    )
    got = torch.cat(list(pieces), dim=1)[0].mean((1, 2, 3))  # the one step ends at the clean estimate
    torch.testing.assert_close(got, torch.tensor([2.0, 2.0, 2.0, 0.0, 4.0]))


def test_stretches_of_conditions_chain_to_the_whole():
    told = some_conditions(small_model(), 2, 7)
    again = chain([told.frames(0, 3), told.frames(3, 4), told.frames(4, 7)])
    assert torch.equal(again.location, told.location)
    for name in ("tokens", "regions", "gates"):
        for signal, value in getattr(told, name).items():
            assert torch.equal(getattr(again, name)[signal], value)


def test_noise_levels_are_log_normal_and_the_noise_is_shared_as_told():
    config = ObjectiveConfig(p_mean=0.3, p_std=0.8)
    drawn = torch.cat([draw_sigma(16, config, torch.Generator().manual_seed(k)) for k in range(200)]).log()
    assert drawn.mean() == pytest.approx(0.3, abs=0.05) and drawn.std() == pytest.approx(0.8, abs=0.05)
    noise = clip_noise(torch.zeros(2, 3, 8, 32, 32), 0.7, torch.Generator().manual_seed(0))
    assert float((noise[:, 0] * noise[:, 1]).mean()) == pytest.approx(0.7, abs=0.03)


def test_the_loss_is_weighed_by_region():
    model = small_model()
    told = some_conditions(model, 2, 3)
    latents = torch.randn(2, 3, 192, 8, 8)

    def loss(weight, where=None, mouth=0.0):
        one = told if where is None else replace(told, location=where)
        return denoising_loss(
            model.denoise,
            latents,
            one,
            ObjectiveConfig(region_weight=weight, mouth_weight=mouth),
            torch.Generator().manual_seed(1),
        )

    plain, weighed = loss(0.0), loss(3.0)
    none, full = torch.zeros_like(told.location), torch.ones_like(told.location)
    torch.testing.assert_close(loss(3.0, none).by_item.mean(), loss(3.0, none).total)
    assert weighed.total > plain.total
    by_hand = loss(0.0, full).by_item * (1 + 3 + 5)
    torch.testing.assert_close(loss(3.0, full, mouth=5.0).by_item, by_hand, rtol=1e-4, atol=1e-5)
