"""Shifted windows: who is where, and what stands where two meet."""

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import small_model, some_conditions

from actalker.control.conditions import Conditions, chain
from actalker.diffusion.noise import FrameNoise, karras
from actalker.diffusion.sampling import Sampling
from actalker.diffusion.shifted import runs, sample_shifted, shifted_windows


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
    place = torch.arange(5.0).view(1, 5, 1, 1)
    clip = Conditions({}, {}, {}, references={"portrait": torch.zeros(1, 2, 3, 3)}, maps={"place": place})

    def first_place(x, sigma, one):
        return one.maps["place"][:, :1, None].expand_as(x).clone()

    how = Sampling(karras(1, 0.1, 5.0), window=4, shift=3)
    pieces = sample_shifted(first_place, clip.frames, 5, FrameNoise((2, 3, 3), 0), how)
    drawn = torch.cat(list(pieces), dim=1)[0].mean((1, 2, 3))  # the one step ends at the clean estimate
    torch.testing.assert_close(drawn, torch.tensor([2.0, 2.0, 2.0, 0.0, 4.0]))


def test_stretches_of_conditions_chain_to_the_whole():
    whole = some_conditions(small_model(), 2, 7)
    again = chain([whole.frames(0, 3), whole.frames(3, 4), whole.frames(4, 7)])
    for name in ("tokens", "regions", "gates", "maps"):
        for signal, value in getattr(whole, name).items():
            assert torch.equal(getattr(again, name)[signal], value)
