"""A small model with random weights and a short clip's inputs, for tests of the pipeline and command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from media_files import sound_file, video_file
from PIL import Image

from actalker.diffusion.precondition import PreconditionConfig
from actalker.pipeline.model.folder import save_model
from actalker.pipeline.model.model import ModelConfig, SamplingConfig, TalkingHeadModel

SMALL = {
    "in_channels": 384,
    "out_channels": 192,
    "block_out_channels": [32, 32],
    "down_block_types": ["DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"],
    "up_block_types": ["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"],
    "num_attention_heads": [1, 2],
    "layers_per_block": 1,
    "cross_attention_dim": 64,
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "num_frames": 6,
    "token_width": 64,
    "branch": {"expand": 0.5, "state_size": 4},
}


def small_config(**changes: object) -> ModelConfig:
    """Settings of a model, with changes: 64 x 64 pixels, windows of 6 frames that share 2, two steps."""
    settings = {
        "size": 64,
        "window": 6,
        "overlap": 2,
        "denoiser_args": SMALL,
        "codec_args": {"stride": 8},
        "precondition": PreconditionConfig(sigma_data=0.7),
        "sampling": SamplingConfig(steps=2, sigma_min=0.02, sigma_max=60.0, shared_noise=0.9),
    }
    return ModelConfig(**{**settings, **changes})  # type: ignore[arg-type]


def small_model(**changes: object) -> TalkingHeadModel:
    """A model of `small_config` with random weights, also where training starts at zero.

    The pixels of a latent position are equal, so that frames are smooth enough for H.264.
    """
    torch.manual_seed(0)
    model = TalkingHeadModel(small_config(**changes))
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.abs().max() == 0:
                weight.normal_(std=0.3 / max(1, weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.02)
        for weight in model.network.conv_out.parameters():
            folded = weight.unflatten(0, (3, -1))
            weight.copy_(folded[:, :1].expand_as(folded).flatten(0, 1))
    return model


def write_inputs(folder: Path) -> Path:
    """Writes the small model to `model/`, a portrait, 0.8 s of sound like speech, a driver of 0.4 s."""
    from skimage.data import astronaut

    save_model(small_model(), folder / "model")
    face = Image.fromarray(astronaut()).crop((96, 0, 352, 256)).resize((128, 128))
    face.save(folder / "face.png")
    t = np.arange(12800) / 16000
    voice = (0.5 * np.sin(2 * np.pi * 200 * t) * np.sin(2 * np.pi * 2 * t) ** 2).astype(np.float32)[None]
    sound_file(folder / "speech.wav", voice)
    driver = np.asarray(face)[:112, 8:120]
    frames = [np.roll(driver, k, axis=1) for k in range(10)]
    video_file(folder / "driver.mp4", frames, 25, sound=voice[:, :6400])
    video_file(folder / "mute.mp4", frames, 25)
    return folder
