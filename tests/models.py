"""Small models with random weights, in which every signal has an effect, and conditions for them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from actalker.codecs.unshuffle import PixelUnshuffle
from actalker.control.conditions import Conditions
from actalker.media.image import height_width
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel

SMALL = {
    "size": 64,
    "window": 6,
    "overlap": 2,
    "denoiser_args": {
        "in_channels": 384,
        "out_channels": 192,
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
        "branch": {"expand": 0.5, "state_size": 4},
    },
    "codec_args": {"stride": 8},
    "precondition": {"sigma_data": 0.5},
    "sampling": {"steps": 2, "sigma_min": 0.5, "sigma_max": 5.0, "shared_noise": 0.5},
}


class Fourfold(PixelUnshuffle):
    """Four frames' folded pixels are one latent frame's channels; the last stands for those after it."""

    def __init__(self, stride: int = 4) -> None:
        super().__init__(stride)
        self.stride, self.channels = (4, stride, stride), 4 * self.channels

    def encode(self, video: Tensor) -> Tensor:
        """Latents (b, ceil(f / 4), c, h, w) of a video (b, f, 3, H, W)."""
        lacking = -video.shape[1] % 4
        whole = torch.cat([video, video[:, -1:].expand(-1, lacking, -1, -1, -1)], dim=1)
        return super().encode(whole).unflatten(1, (-1, 4)).flatten(2, 3)

    def decode(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """The inverse of `encode`, with as many frames as the latents hold."""
        return super().decode(latents.unflatten(2, (4, -1)).flatten(1, 2))


def small_model(seed: int = 0, **changes: object) -> TalkingHeadModel:
    """A model of 64 x 64 pixels whose control layers are not zero, as after training.

    changes: settings of `ModelConfig` instead of SMALL's.
    """
    torch.manual_seed(seed)
    denoiser = {**SMALL["denoiser_args"], **changes.pop("denoiser_args", {})}
    model = TalkingHeadModel(ModelConfig.from_dict({**SMALL, "denoiser_args": denoiser, **changes}))
    for layer in model.network.control:
        torch.nn.init.normal_(layer.mlp[-1].weight, std=0.2)
    return model.eval().requires_grad_(False)


def some_conditions(
    model: TalkingHeadModel,
    b: int = 1,
    f: int = 4,
    seed: int = 0,
    gates: Mapping[str, Tensor | float] | None = None,
    regions: Mapping[str, Tensor] | None = None,
) -> Conditions:
    """Random conditions of b clips of f frames, for pictures of the model's size.

    gates: of the signals that are there, numbers or (b, f); None for all three, open. regions: (b, f, h, w).
    """
    g = torch.Generator().manual_seed(seed)
    h, w = height_width(model.config.size)
    tokens = {
        s: torch.randn(b, f, *model.encoders[s].null.shape, generator=g)
        for s in ("audio", "expression", "text")
    }
    mouth = torch.zeros(b, f, h, w)
    mouth[..., h // 2 :, w // 4 : 3 * w // 4] = 1
    face = torch.zeros(b, f, h, w)
    face[..., h // 8 :, w // 8 : 7 * w // 8] = 1
    regions = regions or {"audio": mouth, "expression": face - mouth, "text": face}
    gates = gates or dict.fromkeys(tokens, 1.0)
    gates = {s: torch.full((b, f), float(v)) if not torch.is_tensor(v) else v for s, v in gates.items()}
    portrait = torch.rand(b, 3, h, w, generator=g) * 2 - 1
    return model.conditions(
        portrait,
        {s: tokens[s] for s in gates},
        regions,
        {"face": face, "mouth": mouth},
        gates,
        torch.tensor([[25.0, 0, 0]] * b),
    )
