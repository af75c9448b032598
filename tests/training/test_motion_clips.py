"""Models of motion on real video: the command line, from prepared clips to a model folder."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from motion_models import MOTION
from prepare_files import made_shard
from training_runs import ROOT, config, start

from actalker.cli.main import main
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel

PHRASES = (("smiles", "a smile"), ("nods", "a nod"))


def motion_run(folder: Path, steps: int, shards: Path, workers: int = 0) -> dict[str, Any]:
    """A run of the small model of motion, with windows of 3 frames of 6."""
    made = config(folder, steps, {"class_path": "actalker.data.module.MotionClipData"})
    clips = {"shards": str(shards), "frames": 6, "held_out": 0.0, "all_open": 1.0}
    made["data"]["init_args"] = {"clips": clips, "batch_size": 3, "steps": 100, "workers": workers}
    made["model"] |= {
        "model": MOTION,
        "objective": {"p_mean": 0.3, "p_std": 1.2},
        "optimizer": {"learning_rate": 3.0e-3, "warmup": 2, "steps": 200, "cooldown": 10},
        "strategy": {"window": {"short": 3, "short_items": 3}, "motion": {"numbers": 1.0, "leak": 1.0}},
    }
    made["trainer"]["logger"] = {
        "class_path": "CSVLogger",
        "init_args": {"save_dir": str(folder), "name": "log", "version": ""},
    }
    made["trainer"]["log_every_n_steps"] = 1
    return made


def weights(folder: Path) -> dict[str, torch.Tensor]:
    held = torch.load(folder / "checkpoints/last.ckpt", map_location="cpu", weights_only=False)
    return held["state_dict"]


@pytest.mark.slow
def test_training_on_real_video_lowers_the_loss(followed, tmp_path):
    done = start(tmp_path, motion_run(tmp_path, 60, followed / "out/shards"))
    assert done.returncode == 0, done.stderr[-1500:]
    with open(tmp_path / "log/metrics.csv") as file:
        losses = [float(row["train/numbers"]) for row in csv.DictReader(file) if row["train/numbers"]]
    assert len(losses) == 60
    assert sum(losses[-15:]) < 0.7 * sum(losses[:15]), losses


@pytest.mark.slow
def test_a_resumed_run_sees_what_it_would_have(tmp_path):
    made_shard(tmp_path / "shards")
    runs = {"whole": [(4, 0)], "parts": [(2, 0), (4, 1)]}
    for name, parts in runs.items():
        for k, (steps, workers) in enumerate(parts):
            settings = motion_run(tmp_path / name, steps, tmp_path / "shards", workers)
            done = start(tmp_path / name, settings, *(("--ckpt_path", "last") if k else ()))
            assert done.returncode == 0, done.stderr[-1500:]
    one, other = (weights(tmp_path / name) for name in runs)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_finetuning_takes_a_model_folder_to_clips(tmp_path):
    """Settings and phrases are the start's; what listens and reads stays as it was."""
    torch.manual_seed(0)
    begun = TalkingHeadModel(ModelConfig.from_dict({**MOTION, "phrases": PHRASES}))
    save_model(begun, tmp_path / "begun")
    made_shard(tmp_path / "shards")
    words = [
        "--model.start",
        tmp_path / "begun",
        "--run",
        tmp_path / "run",
        "--steps",
        2,
        "--trainer.accelerator",
    ]
    words += ["cpu", "--data.clips.shards", tmp_path / "shards", "--data.clips.frames", 6]
    whole = ["train", "fit", "--config", ROOT / "configs/finetune.yaml", *words]
    assert main([str(word) for word in whole]) == 0
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    assert main(["export", str(checkpoint), str(tmp_path / "taught")]) == 0
    taught = load_model(tmp_path / "taught")
    assert taught.config == load_model(tmp_path / "begun").config and taught.config.phrases == PHRASES
    for name, value in begun.state_dict().items():
        same = torch.equal(value, taught.state_dict()[name])
        if name.startswith(("encoders.audio", "encoders.text")):
            assert same, name
    moved = [n for n, v in begun.state_dict().items() if not torch.equal(v, taught.state_dict()[n])]
    assert any(name.startswith("network.") for name in moved)
    assert any(name.startswith("encoders.expression") for name in moved)


def test_a_short_name_of_clips_replaces_the_data_of_a_config(tmp_path, capsys):
    """The rest of the config stays: its batch size, its steps."""
    words = ["train", "fit", "--config", str(ROOT / "configs/tiny.yaml"), "--data", "clips"]
    given = yaml.safe_load((ROOT / "configs/tiny.yaml").read_text())["data"]["init_args"]
    for said in (words, [*words[:-2], "--data=clips"]):
        assert main([*said, "--data.clips.shards", "somewhere", "--print_config"]) == 0
        data = yaml.safe_load(capsys.readouterr().out)["data"]
        assert data["class_path"] == "actalker.data.module.MotionClipData"
        assert data["init_args"]["clips"]["shards"] == "somewhere"
        assert data["init_args"]["batch_size"] == given["batch_size"]


def test_clips_whose_speech_the_model_does_not_read_are_refused(tmp_path):
    made_shard(tmp_path / "shards")
    settings = motion_run(tmp_path, 1, tmp_path / "shards")
    settings["data"]["init_args"]["clips"]["audio"] = {"kind": "mel"}
    done = start(tmp_path, settings)
    assert done.returncode == 2 and done.stderr.count("error: ") == 1, done.stderr
    assert "the clips' speech is (48, 64) numbers a frame, model.audio reads" in done.stderr


def test_clips_without_a_model_are_refused(tmp_path):
    made_shard(tmp_path / "shards")
    settings = motion_run(tmp_path, 1, tmp_path / "shards")
    settings["model"] |= {"start": None}
    del settings["model"]["model"]
    done = start(tmp_path, settings)
    assert done.returncode == 2 and "model.model: is not given" in done.stderr, done.stderr
