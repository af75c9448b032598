"""Overlapping windows: who is where, and what stands where two meet."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import small_model, some_conditions

from actalker.control.conditions import Conditions
from actalker.diffusion.noise import FrameNoise, exploding, flow, karras, straight
from actalker.diffusion.sampling import Observer, Sampling, consistency
from actalker.diffusion.shifted import sample_shifted
from actalker.diffusion.windows import sample_windows, windows


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.integers(2, 20), st.integers(1, 19))
def test_windows_cover_every_frame_and_overlap(frames, window, overlap):
    overlap = min(overlap, window - 1)
    plan = windows(frames, window, overlap)
    assert plan[0][0] == 0 and plan[-1][1] == frames
    for (_, stop), (start, _) in zip(plan, plan[1:], strict=False):
        assert stop - start >= overlap and start < stop
    assert all(stop - start == min(window, frames) for start, stop in plan)


def framewise(x, sigma, one):
    """A denoiser whose frames do not see one another."""
    return 0.5 * x / (1 + sigma.view(-1, 1, 1, 1, 1)) + one.maps["face"].mean((2, 3))[..., None, None, None]


@pytest.mark.parametrize("path", [exploding, straight])
@pytest.mark.parametrize("kind, by", [(sample_windows, 2), (sample_shifted, 2), (sample_shifted, 5)])
@pytest.mark.parametrize("frames", [3, 6, 7, 13, 20])
def test_in_windows_a_framewise_denoiser_gives_the_whole(frames, kind, by, path):
    """Where frames do not see one another, windows must not show."""
    clip = some_conditions(small_model(), 1, frames)
    noise = FrameNoise((192, 8, 8), seed=0)
    sigmas = flow(3) if path is straight else karras(3, 0.1, 5.0)

    def run(method, window):
        how = Sampling(sigmas, window, overlap=by, shift=by, path=path)
        return torch.cat(list(method(framewise, clip.frames, frames, noise, how)), dim=1)

    torch.testing.assert_close(run(kind, 6), run(sample_windows, 1000), rtol=1e-4, atol=1e-4)


def test_the_first_half_of_an_overlap_is_held_and_the_second_blended():
    """A denoiser that gives its window's first frame: 0 in frames 0 to 7, 4 in frames 4 to 11. One step ends
    at its estimate; of the four frames in both the second window makes a share of k / 5.
    """
    place = torch.arange(12.0).view(1, 12, 1, 1)
    clip = Conditions({}, {}, {}, references={"portrait": torch.zeros(1, 2, 3, 3)}, maps={"place": place})

    def first_place(x, sigma, one):
        return one.maps["place"][:, :1, None].expand_as(x).clone()

    how = Sampling(karras(1, 0.1, 5.0), window=8, overlap=4)
    pieces = sample_windows(first_place, clip.frames, 12, FrameNoise((2, 3, 3), 0), how)
    drawn = torch.cat(list(pieces), dim=1)
    expected = torch.tensor([0.0] * 6 + [3 / 5 * 4, 4 / 5 * 4] + [4.0] * 4)
    torch.testing.assert_close(drawn, expected.view(1, 12, 1, 1, 1).expand_as(drawn))


def test_samplers_work_in_float32_and_the_denoiser_in_the_models_dtype():
    clip = some_conditions(small_model(), 1, 8)
    half = clip.to(torch.bfloat16)
    seen = set()

    def denoise(x, sigma, one):
        seen.add((x.dtype, sigma.dtype))
        return framewise(x, sigma, one).to(x)

    class Looks(Observer):
        def step_end(self, end):
            assert end.latents.dtype == torch.float32
            return end.latents

    how = Sampling(karras(3, 0.1, 5.0), window=6, overlap=2, shift=2, observer=Looks())
    list(
        sample_windows(denoise, half.frames, 8, FrameNoise((192, 8, 8), 0), replace(how, sampler=consistency))
    )
    for method in (sample_windows, sample_shifted):
        pieces = list(method(denoise, half.frames, 8, FrameNoise((192, 8, 8), 0), how))
        assert {piece.dtype for piece in pieces} == {torch.bfloat16}
        whole = torch.cat(list(method(framewise, clip.frames, 8, FrameNoise((192, 8, 8), 0), how)), dim=1)
        torch.testing.assert_close(torch.cat(pieces, dim=1).float(), whole, rtol=0.02, atol=0.02)
    assert seen == {(torch.bfloat16, torch.float32)}
