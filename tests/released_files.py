"""A release of toy size in the form of ACTalker's: six files of weights, an SVD folder, ArcFace, motion."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actalker.backbones.attach import cross_attentions
from actalker.backbones.guider import ReleasedGuider
from actalker.backbones.released import ReleasedUNet
from actalker.codecs.autoencoder import TemporalAutoencoder
from actalker.signals.released import AudioProjection, IdentityProjection, MotionProjection
from actalker.signals.resnet import ExpressionNet, IdentityNet, PoseNet

UNET = {
    "in_channels": 8,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "num_attention_heads": [1, 2],
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
    "num_frames": 4,
}
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "block_out_channels": [32] * 4,
    "layers_per_block": 1,
    "scaling_factor": 0.18215,
}
FACES = (1, 1, 1, 1)


def tuples(config: dict[str, object]) -> dict[str, object]:
    """A config with tuples instead of lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def write_release(root: Path, step: int = 136, dtype: torch.dtype = torch.float32) -> dict[str, nn.Module]:
    """Writes the release and returns the modules whose weights it has, by name."""
    torch.manual_seed(0)
    network, codec = ReleasedUNet(**tuples(UNET)), TemporalAutoencoder(**tuples(VAE))
    modules: dict[str, nn.Module] = {
        "unet": network,
        "pose_guider": ReleasedGuider(32, (4, 8, 8, 16)),
        "audio_linear": AudioProjection(16, 16, 6, 32),
        "id_proj_model": IdentityProjection(512, 24, 32),
        "vasa_linear": MotionProjection(16, 26),
        "vae": codec,
        "expression": ExpressionNet(FACES, 16),
        "pose": PoseNet(),
        "arcface": IdentityNet(FACES),
    }
    files, svd = root / "release", root / "svd"
    for folder in (files, svd / "unet", svd / "vae"):
        folder.mkdir(parents=True)
    weights = {name: cast(part.state_dict(), dtype) for name, part in modules.items()}
    adapters = {}
    places = {id(part): name for name, part in network.named_modules()}
    for k, (attention, _) in enumerate(cross_attentions(network)):
        for key in attention.processor.state_dict():
            adapters[f"{k}.{key}"] = weights["unet"].pop(f"{places[id(attention)]}.processor.{key}")
    for name in ("unet", "pose_guider", "audio_linear", "id_proj_model", "vasa_linear"):
        torch.save(weights[name], files / f"{name}-{step}.pth")
    torch.save(adapters, files / f"adapter_module-{step}.pth")
    torch.save(weights["arcface"], root / "arcface.pth")
    motion = {
        "generator": {f"module.expression_model.resnet50.{k}": v for k, v in weights["expression"].items()},
        "pose_model": {f"head_pose_net.{k}": v for k, v in weights["pose"].items()},
        "step": 7,
    }
    torch.save(motion, root / "motion.ckpt")
    (svd / "unet/config.json").write_text(json.dumps({"_class_name": "UNet", **UNET}))
    codec.save_pretrained(svd / "vae")
    return modules


def cast(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights with floating-point numbers of another dtype."""
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}


def write_full_release(root: Path, step: int = 136) -> None:
    """Writes the six files and SVD's folder at full size, random, in half precision, part by part."""
    files, svd = root / "release", root / "svd"
    for folder in (files, svd / "unet", svd / "vae"):
        folder.mkdir(parents=True)
    with torch.device("meta"):
        network = ReleasedUNet()
        codec = TemporalAutoencoder(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
        rest = {
            "pose_guider": ReleasedGuider(),
            "audio_linear": AudioProjection(),
            "id_proj_model": IdentityProjection(),
            "vasa_linear": MotionProjection(),
        }
    generator = torch.Generator().manual_seed(0)

    def random(part: nn.Module) -> dict[str, Tensor]:
        shapes = {name: value.shape for name, value in part.state_dict().items()}
        empty = {name: torch.empty(shape, dtype=torch.float16) for name, shape in shapes.items()}
        return {name: value.uniform_(-1, 1, generator=generator) for name, value in empty.items()}

    for name, part in rest.items():
        torch.save(random(part), files / f"{name}-{step}.pth")
    weights, adapters = random(network), {}
    places = {id(part): name for name, part in network.named_modules()}
    for k, (attention, _) in enumerate(cross_attentions(network)):
        for key in attention.processor.state_dict():
            adapters[f"{k}.{key}"] = weights.pop(f"{places[id(attention)]}.processor.{key}")
    torch.save(weights, files / f"unet-{step}.pth")
    torch.save(adapters, files / f"adapter_module-{step}.pth")
    network.save_config(svd / "unet")
    codec.save_config(svd / "vae")
    save_file(random(codec), svd / "vae/diffusion_pytorch_model.safetensors")
