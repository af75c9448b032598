"""Colours that drift are held; what is quick stays."""

import torch

from actalker.pipeline.output.steady import Steady

FPS = 25


def clip(frames: int) -> torch.Tensor:
    """A picture with some structure, standing still; (f, 3, 32, 32) in [-1, 1]."""
    torch.manual_seed(0)
    return (torch.rand(3, 32, 32) * 0.8 - 0.4).expand(frames, -1, -1, -1).clone()


def in_pieces(video: torch.Tensor, size: int) -> torch.Tensor:
    hold = Steady(FPS)
    return torch.cat([hold(piece) for piece in video.split(size)])


def test_a_drift_stays_where_a_second_of_it_has_led():
    still = clip(500)
    seconds = torch.arange(500) / FPS
    rate = torch.tensor([0.02, -0.01, 0.015])
    drifting = still * (1 + 0.005 * seconds)[:, None, None, None] + (seconds[:, None] * rate)[..., None, None]
    held = in_pieces(drifting, 14)
    before, after = ((v - still).mean((2, 3)).abs() for v in (drifting, held))
    assert (before[-1] > 0.15).all() and (after[-1] < 0.03).all()
    assert (after[250:] < 1.6 * rate.abs()).all()


def test_what_does_not_drift_stays_and_the_first_second_too():
    still = clip(80)
    held = in_pieces(still, 9)
    assert torch.equal(held[:FPS], still[:FPS])
    torch.testing.assert_close(held, still, rtol=0, atol=1e-5)


def test_a_blink_is_not_frozen():
    video = clip(100)
    video[60:65, :, 8:12, 8:24] -= 0.5
    held = in_pieces(video, 14)
    change = (held[62] - held[55])[:, 8:12, 8:24].mean()
    assert -0.5 * 1.02 < change < -0.5 * 0.97
    assert (held[62] - held[55])[:, 20:].abs().max() < 0.01


def test_pieces_do_not_matter():
    video = clip(70) + torch.linspace(0, 0.3, 70)[:, None, None, None]
    torch.testing.assert_close(in_pieces(video, 7), in_pieces(video, 70))


def test_black_pictures_are_pictures():
    held = in_pieces(torch.full((60, 3, 8, 8), -1.0), 14)
    assert held.isfinite().all() and (held == -1).all()


def test_contrast_is_changed_by_a_tenth_at_most():
    """Another scene is no drift: a flat one is not stretched to the contrast of the beginning."""
    video = clip(250)
    video[FPS:] *= 0.2
    spread = [v[-1].std((1, 2)) for v in (in_pieces(video, 14), video)]
    torch.testing.assert_close(spread[0] / spread[1], torch.full((3,), 1.1), rtol=1e-4, atol=0)
