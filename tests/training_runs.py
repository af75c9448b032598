"""Small training runs, started as users do: a config of a few steps, and the process that runs it."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from models import SMALL

ROOT = Path(__file__).parents[1]
PUPPETS = {
    "class_path": "actalker.data.module.PuppetData",
    "init_args": {
        "data": {"seed": 1, "frames": 6, "size": 64},
        "clips": 8,
        "batch_size": 3,
        "steps": 100,
        "workers": 0,
        "validation_clips": 2,
    },
}


def clip_data(shards: Path, workers: int = 0, batch_size: int = 2, **more: Any) -> dict[str, Any]:
    """The `data` of a config that reads prepared clips."""
    data = {"shards": str(shards), "frames": 6, "size": 64, "held_out": 0.0, **more}
    return {
        "class_path": "actalker.data.module.ClipData",
        "init_args": {"data": data, "batch_size": batch_size, "steps": 100, "workers": workers},
    }


def config(folder: Path, steps: int, data: dict[str, Any] = PUPPETS) -> dict[str, Any]:
    """The config of a run of a few steps on pictures of 64 x 64 pixels."""
    return copy.deepcopy(
        {
            "seed_everything": 3,
            "threads": 1,
            "trainer": {
                "accelerator": "cpu",
                "max_steps": steps,
                "logger": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "default_root_dir": str(folder),
                "num_sanity_val_steps": 0,
                "limit_val_batches": 0,
                "gradient_clip_val": 1.0,
            },
            "checkpoint": {
                "dirpath": str(folder / "checkpoints"),
                "every_n_train_steps": 1,
                "train_time_interval": None,
            },
            "model": {
                "seed": 3,
                "model": SMALL,
                "objective": {"p_mean": 1.0, "region_weight": 2.0},
                "optimizer": {"learning_rate": 1.0e-3, "warmup": 2, "steps": 100, "cooldown": 10},
                "strategy": {"window": {"short": 2, "short_items": 3}},
            },
            "data": data,
        }
    )


def _command(folder: Path, settings: dict[str, Any], *words: str) -> list[str]:
    """Writes the config to a file and returns the command line of `train.py fit`."""
    folder.mkdir(exist_ok=True, parents=True)
    plain = yaml.safe_load(yaml.safe_dump(settings).replace("!!python/tuple", ""))
    (folder / "run.yaml").write_text(yaml.safe_dump(plain))
    return [sys.executable, "train.py", "fit", "--config", str(folder / "run.yaml"), *words]


def start(folder: Path, settings: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `train.py fit` with a config and waits for it."""
    command = _command(folder, settings, *words)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def fit(folder: Path, steps: int, *words: str, data: dict[str, Any] = PUPPETS) -> Path:
    """Runs `train.py fit`, asserts that it succeeds, and returns the checkpoint's path."""
    done = start(folder, config(folder, steps, data), *words)
    assert done.returncode == 0, done.stderr[-1500:]
    return folder / "checkpoints" / "last.ckpt"


def launch(folder: Path, settings: dict, *words: str) -> subprocess.Popen[str]:
    """Starts `train.py fit` in a process group of its own and does not wait."""
    command = _command(folder, settings, *words)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Waits until a file exists or the process has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.05)
