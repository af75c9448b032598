"""Small models of a head's motion with random weights, in which every signal has an effect."""

import torch
from models import SMALL

from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel

MOTION = {
    "size": 64,
    "window": 6,
    "overlap": 2,
    "denoiser_args": {
        **SMALL["denoiser_args"],
        "in_channels": 112,
        "out_channels": 16,
        "patch": 2,
        "branch": {"expand": 0.5, "state_size": 4, "scan_scope": "frame", "condition_layout": "rows"},
    },
    "codec": "FaceMotion",
    "codec_args": {},
    "audio": {"kind": "speech"},
    "expression": {"kind": "head"},
    "identity": {"kind": "own"},
    "precondition": {"sigma_data": 0.3},
    "sampling": {"steps": 2, "sigma_min": 0.6, "sigma_max": 4.0, "shared_noise": 0.9, "hold": True},
}


def motion_model(seed: int = 0, **denoiser: object) -> TalkingHeadModel:
    """A model with random weights, also where training starts at zero; denoiser: settings of the network."""
    torch.manual_seed(seed)
    settings = {**MOTION, "denoiser_args": {**MOTION["denoiser_args"], **denoiser}}
    model = TalkingHeadModel(ModelConfig.from_dict(settings))
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.abs().max() == 0:
                weight.normal_(std=0.05)
    return model.eval().requires_grad_(False)
