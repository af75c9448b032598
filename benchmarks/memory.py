"""The memory that a model needs in each arrangement: estimated at full size, measured at a small one.

    python benchmarks/memory.py [--config configs/actalker.yaml] [--device cuda]

The estimates are those by which `--memory` chooses. The model of the config is built without its weights. The
measured network has SVD's levels and 64 channels at the first: 256 x 256 pixels, 14 frames, 4 passes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import torch
import yaml
from measuring import machine, peak_megabytes, row, table

from actalker.diffusion.guidance import guided
from actalker.pipeline.model.memory import GB, Arrangement, arrangements, needed, settle
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel
from actalker.signals import signal

SIGNALS = ("audio", "expression")
SCALES = {"audio": 2.0, "expression": 3.0, "identity": 1.5}
BUDGETS = (8, 12, 24)


def estimates(config: ModelConfig, device: str) -> None:
    """Prints the size of the weights, and of each arrangement its need and the budgets that choose it."""
    with torch.device("meta"):
        model = TalkingHeadModel(config)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    count = 2 + sum(s in model.encoders for s in signal.SIGNALS)  # as `--memory` counts: all guided
    known = [
        replace(one, need=needed(model, one, device, count)) for one in arrangements(dtype, device, True)
    ]
    sizes = {
        name: sum(p.numel() for p in part.parameters()) * dtype.itemsize / GB for name, part in model.parts()
    }
    print(f"\nweights: {', '.join(f'{name} {size:.3g} GB' for name, size in sizes.items())}")
    one_frame = model.codec.held(1, config.size, dtype.itemsize)
    print(f"decoding one frame: {one_frame / GB:.3g} GB")
    table(("arrangement", "estimated GB", "what --memory takes it"))
    for one in known:
        taken = [f"{b}GB" for b in BUDGETS if next((o for o in known if o.need <= b * GB), None) is one] + (
            ["max"] if one is known[0] else []
        )
        row(str(one).partition(";")[0], one.need / GB, ", ".join(taken))


def small(arrangement: Arrangement) -> Callable[[], Callable[[], object]]:
    """A function that makes the measured call: a guided pass and decoding, of a small network."""

    def make() -> Callable[[], object]:
        from full_size import conditions_of

        torch.manual_seed(0)
        config = ModelConfig(
            size=256,
            window=14,
            codec="TemporalAutoencoder",
            codec_args={
                "down_block_types": ("DownEncoderBlock2D",) * 4,
                "block_out_channels": (32, 64, 128, 128),
            },
            denoiser_args={
                "block_out_channels": (64, 128, 256, 256),
                "num_attention_heads": (1, 2, 4, 4),
                "cross_attention_dim": 64,
                "token_width": 64,
                "signals": SIGNALS,
                "num_frames": 14,
            },
        )
        model = TalkingHeadModel(config).eval().requires_grad_(False)
        settle(model, arrangement, torch.device("cpu"))
        conditions = conditions_of(32, 14).to(arrangement.dtype)
        denoise = guided(model.denoise, SCALES, arrangement.together)
        x = torch.randn(1, 14, 4, 32, 32).to(arrangement.dtype)

        def run() -> None:
            with torch.no_grad():
                clean = denoise(x, torch.tensor([2.0]), conditions)
                for piece in clean.split(arrangement.decode, 1):
                    model.codec.decode(piece, arrangement.decode)

        return run

    return make


def main() -> None:
    """Reads the command line and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/actalker.yaml"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    print(machine())
    model = yaml.safe_load(options.config.read_text())["model"]["model"]
    names = {f.name for f in fields(ModelConfig)}
    estimates(ModelConfig.from_dict({k: v for k, v in model.items() if k in names}), options.device)
    torch.set_num_threads(1)
    table(("arrangement, small network", "measured MB beyond the weights"))
    for one in arrangements(torch.float32, "cpu", False):
        row(str(one).partition(";")[0], peak_megabytes(small(one)))


if __name__ == "__main__":
    main()
