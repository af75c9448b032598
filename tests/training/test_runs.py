"""Runs on prepared clips, and on several processes: the same training, whoever does it."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch
from training_runs import clip_data, config, fit, start

from actalker.data.module import ClipData


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    held = torch.load(checkpoint, map_location="cpu", weights_only=False)
    return held.get("current_model_state", held["state_dict"])


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two sets of weights."""
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Root of the sum of squared differences of two sets of weights."""
    return sum(float((one[name].double() - other[name].double()).square().sum()) for name in one) ** 0.5


@pytest.mark.slow
def test_a_run_on_clips_resumes_in_the_middle_of_an_epoch_on_other_workers(prepared, tmp_path):
    """Six clips, two a step: three steps an epoch; stopped after two, resumed with two workers."""
    shards = prepared / "decoded/shards"
    whole = weights(fit(tmp_path / "whole", 4, data=clip_data(shards)))
    fit(tmp_path / "parts", 2, data=clip_data(shards))
    parts = fit(tmp_path / "parts", 4, "--ckpt_path", "last", data=clip_data(shards, workers=2))
    assert apart(whole, weights(parts)) == 0


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(prepared, tmp_path):
    """DDP over gloo with two clips a process, against one process that accumulates two batches of two."""
    data = clip_data(prepared / "decoded/shards")
    one = config(tmp_path / "one", 3, data)
    one["trainer"]["accumulate_grad_batches"] = 2
    two = config(tmp_path / "two", 3, data)
    two["trainer"] |= {"devices": 2, "strategy": "ddp_find_unused_parameters_true"}
    for name, settings in (("one", one), ("two", two)):
        done = start(tmp_path / name, settings)
        assert done.returncode == 0, done.stderr[-1500:]
    checkpoints = [tmp_path / name / "checkpoints/last.ckpt" for name in ("one", "two")]
    first, second = map(weights, checkpoints)
    begun = weights(fit(tmp_path / "begun", 1, data=data))
    # AdamW makes whole steps of gradients that are nothing but rounding, so single weights may differ
    learnt, differs = distance(first, begun), distance(first, second)
    assert differs < 1e-2 * learnt, (differs, learnt)


def test_a_plan_tells_what_a_run_takes_and_trains_nothing(prepared, tmp_path):
    settings = config(tmp_path, 5, clip_data(prepared / "encoded/shards"))
    settings["model"]["tuning"] = {"lora_rank": 2}
    done = start(tmp_path, settings, "--plan")
    assert done.returncode == 0, done.stderr[-1500:]
    told = done.stdout
    for words in ("denoiser", "gradients", "AdamW", "activations", "tokens that the branches", "steps a day"):
        assert words in told
    assert not (tmp_path / "checkpoints").exists()
    trained, everything = (float(word) for word in told.split("denoiser")[1].split("\n")[0].split("/"))
    assert 0 < trained < 0.2 * everything


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_clips(prepared, tmp_path):
    settings = config(tmp_path, 3, clip_data(prepared / "decoded/shards", batch_size=6))
    settings["model"]["objective"]["mouth_weight"] = float("nan")
    done = start(tmp_path, settings)
    assert done.returncode == 2 and done.stderr.count("error:") == 1
    assert "the loss is nan" in done.stderr and "quiet.mp4" in done.stderr and "clip 0.mp4" in done.stderr
    (kept,) = tmp_path.glob("nan_step*.pt")
    assert torch.load(kept, weights_only=True)["frames"].shape[0] == 6


def test_validation_shows_what_the_gates_do(prepared, tmp_path):
    """A picture and a video: the truth, the clip, and one for each signal that is closed; numbers in the
    log.
    """
    settings = config(tmp_path, 2, clip_data(prepared / "decoded/shards", held_out=0.5, all_open=1.0))
    settings["trainer"] |= {"limit_val_batches": 1, "val_check_interval": 2, "check_val_every_n_epoch": None}
    settings["trainer"]["logger"] = {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        "init_args": {"save_dir": str(tmp_path)},
    }
    settings["trainer"]["log_every_n_steps"] = 1
    settings["samples"] = {"clips": 2}
    done = start(tmp_path, settings)
    assert done.returncode == 0, done.stderr[-1500:]
    (video,) = (tmp_path / "samples").glob("*.mp4")
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    columns = frames[0].shape[1] // 64
    assert len(frames) == 6 and columns in (3, 4, 5)
    (log,) = tmp_path.rglob("metrics.csv")
    header = log.read_text().splitlines()[0].split(",")
    assert {"val/psnr", "val/moves_expression", "val/leaks_expression", "train/mouth"} <= set(header)
    assert any(name.startswith("train/loss_") for name in header)


def test_clips_are_split_between_processes_without_overlap_or_loss(prepared):
    from actalker.data.clips import ClipDataConfig
    from actalker.data.module import StepSampler

    module = ClipData(ClipDataConfig(str(prepared / "decoded/shards"), frames=6, held_out=0.0), 1, 100, 0)
    clips = len(module.dataset(True))
    ranks = [[k for batch in StepSampler(clips, 1, 0, 0, 4, rank, 3) for k in batch] for rank in range(3)]
    seen = [k for rank in ranks for k in rank]
    assert sorted(seen) == list(range(12)) and sorted(k % clips for k in seen) == sorted(list(range(6)) * 2)
