"""Conditions of latent frames against plain loops over the video frames that they cover."""

import pytest
import torch

from actalker.control.conditions import Conditions
from actalker.control.latent_frames import over_latent_frames

EVEN, CAUSAL, SHORT = [0, 4, 8, 12], [0, 1, 5, 9], [0, 4, 8, 10]  # the last: the clip ends in a latent frame


def clip(f, gate):
    make = torch.Generator().manual_seed(0)
    tokens = {"audio": torch.randn(2, f, 3, 5, generator=make)}
    regions = {"audio": torch.rand(2, f, 4, 6, generator=make)}
    maps = {"face": torch.rand(2, f, 4, 6, generator=make)}
    return Conditions(tokens, regions, {"audio": gate}, maps=maps)


@pytest.mark.parametrize("edges", [EVEN, CAUSAL, SHORT])
def test_a_latent_frame_has_what_its_video_frames_have(edges):
    """Tokens one after another, the mean of gates, regions and maps where any of them is."""
    gate = torch.rand(2, edges[-1], generator=torch.Generator().manual_seed(1)) + 0.1
    video = clip(edges[-1], gate)
    latent = over_latent_frames(video, edges, 4)
    assert latent.tokens["audio"].shape == (2, 3, 12, 5)
    for b in range(2):
        for k in range(3):
            frames = [min(edges[k] + j, edges[k + 1] - 1) for j in range(4)]
            said = [token for frame in frames for token in video.tokens["audio"][b, frame]]
            assert torch.equal(latent.tokens["audio"][b, k], torch.stack(said))
            mean = sum(float(gate[b, frame]) for frame in frames) / 4
            assert float(latent.gates["audio"][b, k]) == pytest.approx(mean)
            for field, name in (("regions", "audio"), ("maps", "face")):
                whole, joined = (getattr(each, field)[name] for each in (video, latent))
                assert torch.equal(joined[b, k], torch.stack([whole[b, frame] for frame in frames]).amax(0))


def test_tokens_of_closed_frames_are_not_heard():
    """Whatever they hold: the first open frame of the same latent frame stands for them."""
    gate = torch.ones(2, 8)
    gate[:, :2] = gate[0, 6] = 0
    video = clip(8, gate)
    video.tokens["audio"][gate == 0] = torch.nan
    latent = over_latent_frames(video, [0, 4, 8], 4)
    tokens = latent.tokens["audio"].unflatten(2, (4, 3))
    assert tokens.isfinite().all()
    assert torch.equal(tokens[:, 0, 0], video.tokens["audio"][:, 2])
    assert torch.equal(tokens[0, 1, 2], video.tokens["audio"][0, 4])
    assert torch.equal(tokens[1, 1, 2], video.tokens["audio"][1, 6])
    torch.testing.assert_close(latent.gates["audio"], torch.tensor([[0.5, 0.75], [0.5, 1.0]]))


def test_a_latent_frame_for_each_frame_changes_nothing():
    video = clip(5, torch.ones(2, 5))
    assert over_latent_frames(video, [0, 1, 2, 3, 4, 5], 1) is video
