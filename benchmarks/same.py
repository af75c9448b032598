"""Compares what two versions of the code compute: twelve clips and twenty steps of training.

    python benchmarks/same.py render BEFORE          (in a checkout of one version)
    python benchmarks/same.py render AFTER           (in another's)
    python benchmarks/same.py compare BEFORE AFTER   (exit code 1 where a clip differs by more than 1e-5)

The clips: tiny with all signals, with gates closed and on schedules, regions, guidance, long windows of both
kinds and interpolated frames; no network at all (`direct`); and a small network in SVD's form with random
weights. Latents are compared, or frames where the clip has pictures. Run both on one machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from actalker import TalkingHeadPipeline
from actalker.data.performances.acting import acted
from actalker.heads.face_map import motion_of

SPEECH = Path(__file__).parents[1] / "actalker" / "assets" / "speech.flac"
FPS, SECONDS, LONG = 25, 0.56, 1.6
SCRIPT = "a woman talks | 0-0.3: smiles | 0.3-: raises brows"
CLOSE = 1e-5  # of the largest value of a clip
TOY: dict[str, Any] = {
    "size": 64,
    "window": 6,
    "overlap": 2,
    "denoiser_args": {
        "in_channels": 24,
        "out_channels": 12,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "num_attention_heads": (1, 2),
        "layers_per_block": 1,
        "cross_attention_dim": 64,
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "num_frames": 6,
        "token_width": 64,
        "expand": 0.5,
        "state_size": 4,
        "adapters": True,
    },
    "codec_args": {"stride": 2},
    "precondition": {"sigma_data": 0.5},
    "sampling": {"steps": 3, "sigma_min": 0.05, "sigma_max": 5.0, "shared_noise": 0.5, "mask_drop": 0.7},
}


def toy(folder: Path) -> TalkingHeadPipeline:
    """A small network in SVD's form whose control layers and adapters are not zero."""
    from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel

    torch.manual_seed(3)
    model = TalkingHeadModel(ModelConfig.from_dict(TOY))
    for weight in model.network.parameters():
        if not weight.any() and weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.1)
    model.eval().save_pretrained(folder)
    return TalkingHeadPipeline.from_pretrained(folder)


def clips(toy_folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """The clips by name, each as a function that computes it."""
    portrait = Image.fromarray(astronaut()[0:256, 96:352])
    numbers = acted(round(LONG * FPS), float(FPS), np.random.default_rng(5))
    take = motion_of(numbers, np.arange(len(numbers)) / FPS)
    speaks = {"audio": SPEECH, "audio_start": 0.4}
    all_three = {**speaks, "expression": take, "text": SCRIPT}
    ready: dict[str, TalkingHeadPipeline] = {}

    def make(model: str, kind: str = "latent", seconds: float = SECONDS, **options: Any) -> np.ndarray:
        if model not in ready:
            ready[model] = toy(toy_folder) if model == "toy" else TalkingHeadPipeline.from_pretrained(model)
            ready[model].set_progress_bar_config(disable=True)
        out = ready[model](portrait, duration=seconds, fps=FPS, seed=3, output_type=kind, **options)
        return np.asarray(out.frames)

    driver = [np.roll(np.asarray(portrait), k, axis=1) for k in range(14)]
    toys = {**speaks, "expression": driver, "text": SCRIPT}
    return {
        "tiny": lambda: make("tiny", **all_three),
        "tiny, audio alone": lambda: make("tiny", **speaks),
        "tiny, audio closed": lambda: make("tiny", **all_three, gates={"audio": 0.0}),
        "tiny, schedules": lambda: make(
            "tiny", **all_three, gates={"audio": "0@0-0.3,0.7@0.3-", "text": "0.5"}
        ),
        "tiny, regions": lambda: make("tiny", **all_three, regions={"audio": "face", "expression": "mouth"}),
        "tiny, guidance": lambda: make("tiny", **all_three, guidance={"audio": 2.0, "text": 1.5}),
        "tiny, long": lambda: make("tiny", seconds=LONG, **all_three),
        "tiny, shifted": lambda: make("tiny", seconds=LONG, **all_three, windows="shifted", steps=3),
        "tiny, between": lambda: make("tiny", "pil", **all_three, interpolate=2, size=256),
        "direct": lambda: make("direct", "pil", expression=take, size=256, gates={"expression": 0.6}),
        "toy": lambda: make("toy", **toys, sampler="dpm2"),
        "toy, guidance": lambda: make("toy", **toys, seconds=0.4, guidance={"audio": 2.0, "identity": 1.5}),
    }


def losses() -> np.ndarray:
    """The losses (20,) of twenty training steps that start from tiny."""
    from actalker.data.performances.dataset import PerformanceConfig, PerformanceDataset
    from actalker.data.sample import collate
    from actalker.diffusion.objective import ObjectiveConfig
    from actalker.training.module import TrainingModule
    from actalker.training.optimizer import OptimizerConfig
    from actalker.training.strategies import MotionStrategy, StrategyConfig

    torch.manual_seed(7)
    strategy = StrategyConfig(mask_drop=(1.0, 0.5), motion=MotionStrategy(numbers=1.0, opening=0.3, leak=1.0))
    module = TrainingModule(
        None, ObjectiveConfig(), OptimizerConfig(steps=20), strategy, start="tiny", seed=7
    )
    optimizer = module.configure_optimizers()["optimizer"]
    data = PerformanceDataset(PerformanceConfig(frames=3, seed=1, speech=None), 12)
    module.train()
    out = []
    for step in range(20):
        batch = collate([data[(4 * step + k) % 12] for k in range(4)])
        torch.manual_seed(step)
        loss, _ = module.step_loss(batch, step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        out.append(float(loss.detach()))
    return np.array(out)


def render(folder: Path) -> int:
    """Computes all clips and losses and saves them in a folder; returns the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in clips(Path(scratch) / "toy").items():
            np.save(folder / f"{name}.npy", make())
            print(name, flush=True)
    np.save(folder / "losses.npy", losses())
    return 0


def compare(before: Path, after: Path) -> int:
    """Prints how far the results in two folders differ; returns the exit code, 1 for more than CLOSE."""
    worst = 0.0
    for path in sorted(before.glob("*.npy")):
        one, other = np.load(path), np.load(after / path.name)
        if one.shape != other.shape:
            print(f"{path.stem:24s} shapes {one.shape} and {other.shape}")
            worst = 1.0
            continue
        difference = np.abs(one.astype(np.float64) - other).max() / max(np.abs(one).max(), 1e-12)
        same = np.array_equal(one, other)
        print(f"{path.stem:24s} {'same bits' if same else f'apart by {difference:.1e} of the largest'}")
        worst = max(worst, float(difference))
    return int(worst > CLOSE)


def main() -> int:
    """Reads the command line; returns the exit code."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", choices=("render", "compare"))
    options.add_argument("folders", nargs="+", type=Path)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    return render(*chosen.folders) if chosen.what == "render" else compare(*chosen.folders)


if __name__ == "__main__":
    sys.exit(main())
