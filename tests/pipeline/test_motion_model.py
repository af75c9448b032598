"""A network that denoises motion: it runs in the pipeline without audio, text and identity encoders."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from actalker import Gates, TalkingHeadPipeline
from actalker.heads.motion import HeadMotion
from actalker.pipeline.model.folder import save_model
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel

pytest.importorskip("mediapipe")
F = 8
DENOISER = {
    "in_channels": 28,  # the noisy motion, and what is told of the portrait
    "out_channels": 4,
    "block_out_channels": [32, 32],
    "down_block_types": ["DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"],
    "up_block_types": ["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"],
    "num_attention_heads": [1, 2],
    "layers_per_block": 1,
    "cross_attention_dim": 62,
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "num_frames": 6,
    "token_width": 62,
    "branch": {"expand": 0.5, "state_size": 4},
    "signals": ["expression"],
}
NONE = {"kind": "none"}


def motion_model(identity):
    """Random weights, also where training starts at zero."""
    torch.manual_seed(0)
    settings = {
        "size": 64,
        "window": 6,
        "overlap": 2,
        "denoiser_args": DENOISER,
        "codec": "FaceMotion",
        "audio": NONE,
        "text": NONE,
        "identity": identity,
        "expression": {"kind": "numbers"},
        "precondition": {"sigma_data": 0.3},
        "sampling": {"steps": 1, "sigma_max": 4.0, "hold": True},
    }
    model = TalkingHeadModel(ModelConfig.from_dict(settings))
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.abs().max() == 0:
                weight.normal_(std=0.05)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def moving():
    names = 0.3 * np.random.default_rng(0).random((F, 54))
    names[0] = 0
    still = np.zeros((F, 8))
    return HeadMotion(np.arange(F) / 25, names, still[:, :6], still[:, 6:], np.ones(F), np.zeros(F, int))


SOMEBODY = pytest.param({"width": 62, "tokens": 2}, marks=pytest.mark.slow, id="somebody")


@pytest.mark.parametrize("identity", [pytest.param(NONE, id="nobody"), SOMEBODY])
def test_it_draws_what_it_denoises_and_the_photograph_where_gates_are_closed(identity, moving, tmp_path):
    save_model(motion_model(identity), tmp_path / "model")
    pipe = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    portrait = astronaut()[:256, 96:352]
    given = {"expression": moving, "size": 128, "seed": 1}
    latents = pipe(portrait, **given, output_type="latent").frames
    assert latents.shape == (F, 4, 32, 32) and latents.isfinite().all() and latents.std() > 0.01
    late = Gates({"expression": [(0, 0.16, 0.0), (0.16, None, 1.0)]})
    frames = np.asarray(pipe(portrait, **given, gates=late).frames)
    still = pipe.prepare(portrait, **given).inputs.portrait.picture
    assert frames.shape == (F, 128, 128, 3) and np.array_equal(frames[:4], np.repeat(still[None], 4, 0))
    assert all((frame != still).any() for frame in frames[4:])
    assert ("identity" in pipe.model.encoders) is (identity is not NONE)
