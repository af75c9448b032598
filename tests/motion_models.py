"""Small models of motion that tests make themselves: random weights in which every signal has an effect."""

import torch

from actalker.pipeline.model import ModelConfig, TalkingHeadModel

MOTION = {
    "size": 64,
    "window": 6,
    "overlap": 2,
    "denoiser_args": {
        "in_channels": 112,
        "out_channels": 16,
        "patch": 2,
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"),
        "up_block_types": ("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        "num_attention_heads": (1, 2),
        "layers_per_block": 1,
        "cross_attention_dim": 64,
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "num_frames": 6,
        "token_width": 64,
        "expand": 0.5,
        "state_size": 4,
        "scan_scope": "frame",
        "condition_layout": "rows",
    },
    "codec": "FaceMotion",
    "codec_args": {},
    "audio": {"kind": "speech"},
    "expression": {"kind": "head"},
    "identity": {"kind": "own"},
    "precondition": {"sigma_data": 0.3},
    "sampling": {"steps": 2, "sigma_min": 0.6, "sigma_max": 4.0, "shared_noise": 0.9, "hold": True},
}


def motion_model(seed: int = 0) -> TalkingHeadModel:
    """Random weights, also where training starts at zero."""
    torch.manual_seed(seed)
    model = TalkingHeadModel(ModelConfig.from_dict(MOTION))
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.abs().max() == 0:
                weight.normal_(std=0.05)
    return model.eval().requires_grad_(False)
