"""Codecs: folding is exact, and the temporal autoencoder in chunks gives the whole."""

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder

from actalker.codecs import PixelUnshuffle, TemporalAutoencoder
from actalker.errors import InputError


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_folding_and_back_is_exact(stride):
    codec = PixelUnshuffle(stride)
    video = torch.rand(2, 3, 3, 32, 48) * 2 - 1
    latents = codec.encode(video)
    assert latents.shape == (2, 3, 3 * stride**2, 32 // stride, 48 // stride)
    assert torch.equal(codec.decode(latents), video)


def test_sides_that_do_not_fold_are_refused():
    with pytest.raises(InputError, match="multiples of 8"):
        PixelUnshuffle(8).encode(torch.zeros(1, 1, 3, 30, 32))


def test_svds_autoencoder_round_trip_in_its_shapes(tmp_path):
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 2, block_out_channels=(32, 32), layers_per_block=1
    )
    vae.save_pretrained(tmp_path)
    codec = TemporalAutoencoder.from_pretrained(tmp_path).eval()
    video = torch.rand(1, 5, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = codec.encode(video)
        assert latents.shape[:2] == (1, 5) and latents.shape[-1] == 32 // codec.stride[2]
        one_by_one = torch.cat([codec.encode(video[:, k : k + 1]) for k in range(5)], 1)
        torch.testing.assert_close(latents, one_by_one, rtol=1e-3, atol=1e-4)
        assert codec.decode(latents).shape == video.shape
