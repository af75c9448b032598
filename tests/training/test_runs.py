"""Runs on prepared clips, and on several processes: the same training, whoever does it."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from skimage.data import astronaut
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import clip_data, config, fit, start

from actalker.data.module import ClipData
from actalker.media.sound import Sound
from actalker.pipeline.model.folder import load_model
from actalker.pipeline.talking_head import TalkingHeadPipeline
from actalker.training.export import export, model_weights


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]


def averages(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=False)["averaged_weights"]


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


SHARDED = {
    "class_path": "lightning.pytorch.strategies.ModelParallelStrategy",
    "init_args": {
        "data_parallel_size": 2,
        "tensor_parallel_size": 1,
        "save_distributed_checkpoint": False,
    },
}


def as_one(prepared: Path, folder: Path, strategy: object) -> Path:
    """Three steps of two processes with two clips each, against one process that accumulates two batches.

    Returns: the checkpoint of the two.
    """
    data = clip_data(prepared / "decoded/shards")
    one = config(folder / "one", 3, data)
    one["trainer"]["accumulate_grad_batches"] = 2
    two = config(folder / "two", 3, data)
    two["trainer"] |= {"devices": 2, "strategy": strategy}
    for name, settings in (("one", one), ("two", two)):
        done = start(folder / name, settings)
        assert done.returncode == 0, done.stderr[-1500:]
    checkpoints = [folder / name / "checkpoints/last.ckpt" for name in ("one", "two")]
    begun = fit(folder / "begun", 1, data=data)
    for held in (weights, averages):
        first, second = map(held, checkpoints)
        # AdamW makes whole steps of gradients that are nothing but rounding, so single weights may differ
        learnt, differs = distance(first, held(begun)), distance(first, second)
        assert first.keys() == second.keys() and differs < 1e-2 * learnt, (differs, learnt)
    return checkpoints[1]


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(prepared, tmp_path):
    as_one(prepared, tmp_path, "ddp")


@pytest.mark.slow
def test_two_processes_that_share_the_weights_train_as_one_which_goes_on_from_there(prepared, tmp_path):
    """FSDP2: the checkpoint is one file of whole weights; one process and two shards go on with it."""
    checkpoint = as_one(prepared, tmp_path, SHARDED)
    held = torch.load(checkpoint, map_location="cpu", weights_only=False)
    assert all(type(value) is torch.Tensor for value in held["state_dict"].values())
    export(checkpoint, tmp_path / "model")
    assert load_model(tmp_path / "model").state_dict().keys() == model_weights(held["state_dict"]).keys()
    data = clip_data(prepared / "decoded/shards")
    after = []
    for name, more in (
        ("alone", {"accumulate_grad_batches": 2}),
        ("shared", {"devices": 2, "strategy": SHARDED}),
    ):
        settings = config(tmp_path / name, 4, data)
        settings["trainer"] |= more
        done = start(tmp_path / name, settings, "--ckpt_path", str(checkpoint))
        assert done.returncode == 0, done.stderr[-1500:]
        after.append(tmp_path / name / "checkpoints/last.ckpt")
    for of in (weights, averages):
        learnt, differs = distance(of(after[0]), of(checkpoint)), distance(of(after[0]), of(after[1]))
        assert learnt > 0 and differs < 1e-2 * learnt, (differs, learnt)


@pytest.mark.slow
def test_validation_on_shards_shows_what_it_shows_on_one_process(prepared, tmp_path):
    data = clip_data(prepared / "decoded/shards", held_out=0.5, all_open=1.0)
    seen = []
    for name, more in (("one", {}), ("two", {"devices": 2, "strategy": SHARDED})):
        settings = config(tmp_path / name, 1, data)
        settings["trainer"] |= {
            "limit_val_batches": 1,
            "val_check_interval": 1,
            "check_val_every_n_epoch": None,
        }
        settings["trainer"] |= more
        settings["samples"] = {"clips": 1}
        settings["model"]["optimizer"]["learning_rate"] = 1e-9
        done = start(tmp_path / name, settings)
        assert done.returncode == 0, done.stderr[-1500:]
        (sheet,) = (tmp_path / name / "samples").glob("*.png")
        seen.append(np.asarray(Image.open(sheet)).astype(int))
    assert np.abs(seen[0] - seen[1]).max() <= 1


@pytest.mark.slow
def test_speech_can_be_a_whispers_hidden_states(prepared, whisper_folder, tmp_path):
    """Trained, exported and used; data that gives log-mel windows to such a model is refused."""
    reads = {"folder": whisper_folder, "states": 2, "channels": 16}
    data = clip_data(prepared / "decoded/shards")
    settings = config(tmp_path / "run", 1, data)
    settings["model"]["model"]["audio"] = {"kind": "whisper", "hidden": 8, **reads}
    refused = start(tmp_path / "run", settings)
    assert refused.returncode == 2 and "give the data the same `whisper` settings" in refused.stderr
    settings["data"]["init_args"]["data"]["whisper"] = reads
    done = start(tmp_path / "run", settings)
    assert done.returncode == 0, done.stderr[-1500:]
    export(tmp_path / "run/checkpoints/last.ckpt", tmp_path / "model")
    pipe = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    face = astronaut()
    sound = Sound(np.random.default_rng(0).normal(size=(1, 8000)).astype(np.float32) * 0.1, 16000)
    speech = pipe(portrait=face, audio=sound, steps=1)
    assert speech.frames.shape == (13, 64, 64, 3)
    other = pipe(portrait=face, audio=Sound(-sound.samples[:, ::-1].copy(), 16000), steps=1)
    assert (speech.frames != other.frames).any()


def test_a_plan_tells_what_a_run_takes_and_trains_nothing(prepared, tmp_path):
    settings = config(tmp_path, 5, clip_data(prepared / "encoded/shards"))
    settings["model"]["tuning"] = {"lora_rank": 2}
    settings["model"]["model"]["text"] = {"kind": "none"}  # the data has the model's signals
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
    settings["trainer"]["logger"] = [
        {
            "class_path": f"lightning.pytorch.loggers.{name}",
            "init_args": {"save_dir": str(tmp_path), "name": name},
        }
        for name in ("TensorBoardLogger", "CSVLogger")
    ]
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
    (hyperparameters,) = tmp_path.rglob("TensorBoardLogger/**/hparams.yaml")
    told = yaml.safe_load(hyperparameters.read_text())
    assert told["model"]["size"] == 64 and told["optimizer"]["warmup"] == 2
    assert "litlogger" not in done.stderr + done.stdout and "treespec" not in done.stderr
    events = EventAccumulator(str(next(tmp_path.rglob("events*")).parent), size_guidance={"images": 0})
    events.Reload()
    assert {"samples", "video"} <= set(events.Tags()["images"]) and "train/mouth" in events.Tags()["scalars"]
    moving = Image.open(io.BytesIO(events.Images("video")[0].encoded_image_string))
    assert moving.n_frames == 6 and moving.width == frames[0].shape[1]


def test_clips_are_split_between_processes_without_overlap_or_loss(prepared):
    from actalker.data.clips import ClipDataConfig
    from actalker.data.module import StepSampler

    module = ClipData(ClipDataConfig(str(prepared / "decoded/shards"), frames=6, held_out=0.0), 1, 100, 0)
    clips = len(module.dataset(True))
    ranks = [[k for batch in StepSampler(clips, 1, 0, 0, 4, rank, 3) for k in batch] for rank in range(3)]
    seen = [k for rank in ranks for k in rank]
    assert sorted(seen) == list(range(12)) and sorted(k % clips for k in seen) == sorted(list(range(6)) * 2)


def test_epochs_go_on_where_the_one_before_ended():
    from actalker.data.module import StepSampler

    through = list(StepSampler(5, 2, 0, 0, 9))
    epochs = StepSampler(5, 2, 0, 0, 3)
    assert [list(epochs), list(epochs), list(epochs)] == [through[:3], through[3:6], through[6:]]
    for first, rest in ((3, through[3:6]), (4, through[4:6])):
        assert list(StepSampler(5, 2, 0, first, 3)) == rest
