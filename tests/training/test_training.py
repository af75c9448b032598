"""Training as a user starts it: a run, its resume, its export; and the strategies as plain functions."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from arrays import of
from models import SMALL, small_model, some_conditions
from training_runs import ROOT, fit

from actalker.cli.main import main
from actalker.data.sample import Sample, collate
from actalker.diffusion.objective import ObjectiveConfig
from actalker.errors import InputError
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.model import ModelConfig
from actalker.pipeline.talking_head import TalkingHeadPipeline
from actalker.signals.audio import CONTEXT, MELS
from actalker.training.export import export
from actalker.training.module import StrategyConfig, TrainingModule
from actalker.training.optimizer import OptimizerConfig
from actalker.training.strategies import (
    LooksStrategy,
    WindowStrategy,
    change_looks,
    cut_window,
    drop_tokens,
)


def test_a_run_is_exported_and_makes_a_video(tmp_path):
    checkpoint = fit(tmp_path / "run", 3)
    words = [sys.executable, "-m", "actalker", "export", str(checkpoint), str(tmp_path / "model")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "model"), done.stderr
    held = torch.load(checkpoint, map_location="cpu", weights_only=False)
    pipeline = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu")
    exported = pipeline.model.state_dict()
    for name, value in {**held["state_dict"], **held["averaged_weights"]}.items():
        if name.startswith("model."):
            assert torch.equal(exported[name.removeprefix("model.")], value), name
    # as versions kept it whose settings are partly gone
    held["hyper_parameters"]["motion_channels"] = 12
    held["hyper_parameters"]["strategy"] |= {"motion_weight": 0.0, "shown_weight": 0.0}
    for settings in (held["model_config"], held["hyper_parameters"]["model"]):
        settings["precondition"]["centre"] = "zero"
    torch.save(held, tmp_path / "before.ckpt")
    assert load_model(export(tmp_path / "before.ckpt", tmp_path / "before")).config == pipeline.model.config
    module = TrainingModule.load_from_checkpoint(tmp_path / "before.ckpt")
    assert all(torch.equal(value, held["state_dict"][name]) for name, value in module.state_dict().items())
    name = next(name for name in held["state_dict"] if name.startswith("model."))
    for kept in ("state_dict", "averaged_weights"):
        held[kept].pop(name, None)
    torch.save(held, tmp_path / "older.ckpt")
    with pytest.raises(InputError, match="not those of this version's model .*export it with the version"):
        export(tmp_path / "older.ckpt", tmp_path / "older")
    assert not (tmp_path / "older").exists()


@pytest.mark.slow
def test_a_resumed_run_has_the_weights_of_one_in_one_go(tmp_path):
    whole = torch.load(fit(tmp_path / "whole", 4), map_location="cpu", weights_only=False)
    fit(tmp_path / "parts", 2)
    parts = torch.load(
        fit(tmp_path / "parts", 4, "--ckpt_path", "last"), map_location="cpu", weights_only=False
    )
    assert parts["global_step"] == whole["global_step"] == 4
    for kept in ("state_dict", "averaged_weights"):
        for name, value in whole[kept].items():
            assert torch.equal(parts[kept][name], value), (kept, name)


@pytest.mark.slow
def test_a_resumed_run_takes_the_rate_of_its_settings(tmp_path):
    fit(tmp_path, 2)
    settings = ["--model.optimizer.learning_rate", "3e-5", "--model.optimizer.warmup", "1"]
    resumed = fit(tmp_path, 4, "--ckpt_path", "last", *settings)
    held = torch.load(resumed, map_location="cpu", weights_only=False)
    (schedule,), (state,) = held["lr_schedulers"], held["optimizer_states"]
    assert schedule["base_lrs"] == [3e-5, 3e-5]
    assert [group["lr"] for group in state["param_groups"]] == pytest.approx([3e-5, 3e-5])


def test_training_begins_with_another_models_weights_and_fresh_new_parts(tmp_path):
    old = small_model()
    save_model(old, tmp_path / "old")
    more = {**SMALL, "denoiser_args": {**SMALL["denoiser_args"], "adapters": True}}
    parts = (ObjectiveConfig(), OptimizerConfig(), StrategyConfig())
    module = TrainingModule(ModelConfig.from_dict(more), *parts, start=str(tmp_path / "old"))
    begun = module.model.state_dict()
    for name, value in old.state_dict().items():
        assert torch.equal(begun.pop(name), value), name
    assert begun and all(".processor." in name for name in begun)
    again = TrainingModule(
        ModelConfig.from_dict(more), *parts, start=str(tmp_path / "old"), fresh=("network.control.*",)
    )
    found = again.model.state_dict()
    for name, value in old.state_dict().items():
        if not name.startswith("network.control"):
            assert torch.equal(found[name], value), name
        elif name.endswith("project.weight"):  # drawn at random
            assert not torch.equal(found[name], value), name
    save_model(module.model, tmp_path / "more")
    for config in (SMALL, {**SMALL, "size": 32, "text": {"width": 32}}):
        with pytest.raises(InputError, match="which the model to train has not"):
            TrainingModule(ModelConfig.from_dict(config), *parts, start=str(tmp_path / "more"))


def test_training_begins_with_stable_video_diffusions_folder(tmp_path):
    """Its weights, with adapters and control layers that leave its output as it is."""
    from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    from released_files import UNET, VAE, tuples

    torch.manual_seed(0)
    UNetSpatioTemporalConditionModel(**tuples(UNET)).save_pretrained(tmp_path / "unet")
    AutoencoderKLTemporalDecoder(**tuples(VAE)).save_pretrained(tmp_path / "vae")
    plain = UNetSpatioTemporalConditionModel.from_pretrained(tmp_path / "unet").eval()
    signal = {"width": 32}
    model = {
        "size": 64,
        "window": 4,
        "overlap": 1,
        "denoiser_args": {**UNET, "token_width": 32, "adapters": True, "reference_scale": 1 / 0.18215},
        "codec": "TemporalAutoencoder",
        "codec_args": VAE,
        "precondition": {"sigma_data": 1.0, "prediction": "v"},
        **{name: signal for name in ("audio", "expression", "text", "identity")},
    }
    parts = (ObjectiveConfig(), OptimizerConfig(), StrategyConfig())
    made = TrainingModule(ModelConfig.from_dict(model), *parts, start=str(tmp_path)).model.eval()
    told = some_conditions(made, f=4)
    x = torch.randn(1, 4, 4, 8, 8)
    joined = torch.cat([x, told.reference[:, None].expand(-1, 4, -1, -1, -1) / 0.18215], 2)
    with torch.no_grad():
        expected = plain(
            joined, torch.zeros(1), told.identity, torch.stack([*told.scalars.values()], 1)
        ).sample
        torch.testing.assert_close(
            made.network(x, torch.zeros(1), told).output, expected, rtol=1e-4, atol=1e-5
        )
    (tmp_path / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match="not a readable safetensors"):
        TrainingModule(ModelConfig.from_dict(model), *parts, start=str(tmp_path))


def test_a_run_that_ends_between_two_checkpoints_leaves_its_last_step(tmp_path):
    words = ("--checkpoint.every_n_train_steps", "2", "--checkpoint.train_time_interval", "null")
    held = torch.load(fit(tmp_path, 3, *words), map_location="cpu", weights_only=False)
    assert held["global_step"] == 3
    assert any(not torch.equal(v, held["state_dict"][k]) for k, v in held["averaged_weights"].items())


def test_averaged_weights_follow_their_formula(tmp_path):
    """A run of three steps, whose checkpoints hold the weights after each; in float64."""
    folder = fit(tmp_path, 3, "--checkpoint.save_top_k", "-1").parent
    files = [next(folder.glob(f"*step={n}.ckpt")) for n in (1, 2, 3)]
    held = [torch.load(file, map_location="cpu", weights_only=False) for file in files]
    for name, average in held[0]["averaged_weights"].items():
        for t, run in enumerate(held[1:], 2):
            keep = min(0.998, (1 + t) / (10 + t))
            average = keep * average.double() + (1 - keep) * run["state_dict"][name].double()
        assert torch.allclose(held[2]["averaged_weights"][name].double(), average, atol=1e-7), name
    for name in ("mean", "variance"):  # of tokens: else averaged weights have the means of other weights
        assert f"model.encoders.audio.norm.1.{name}" in held[0]["averaged_weights"]


def test_what_is_no_checkpoint_is_refused(tmp_path, capsys):
    """Nor is one that would run a program."""

    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    path = tmp_path / "x.ckpt"
    hostile = pickle.dumps({"model_config": Hostile(), "state_dict": {}})
    for content in (b"not a checkpoint", b"", hostile):
        path.write_bytes(content)
        assert main(["export", str(path), str(tmp_path / "m")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        assert not (tmp_path / "m").exists() and not (tmp_path / "owned").exists()


def test_the_rate_rises_stays_and_falls():
    rate = OptimizerConfig(warmup=10, steps=100, cooldown=20, final=0.1).rate
    assert rate(0) == pytest.approx(0.1) and rate(9) == rate(50) == rate(80) == 1
    assert rate(90) == pytest.approx(0.55) and rate(100) == rate(500) == pytest.approx(0.1)


def batch(b=4, f=6) -> Sample:
    rows = []
    for k in range(b):
        frames = torch.arange(f)[:, None, None, None].expand(f, 3, 8, 8).to(torch.uint8) + 10 * k
        rows.append(
            Sample(
                portrait=torch.zeros(3, 8, 8, dtype=torch.uint8),
                frames=frames,
                arrays={
                    "audio": {"features": torch.zeros(f, CONTEXT, MELS)},
                    "expression": {"crops": frames, "rest": frames[0]},
                    "text": {"bytes": torch.zeros(2, 4, dtype=torch.long), "timing": torch.zeros(f, 1, 4)},
                },
                gates=torch.ones(3, f),
                face=torch.ones(8, 8),
                mouth=torch.ones(8, 8),
                micro=torch.tensor([25.0, 3.0, 5.0]),
                index=torch.tensor(k),
            )
        )
    return collate(rows)


def test_windows_are_short_or_whole():
    settings = WindowStrategy(short=2, short_items=3, short_chance=0.5, whole_items=2)
    shapes = set()
    for seed in range(40):
        cut = cut_window(batch(), settings, torch.Generator().manual_seed(seed))
        shapes.add(tuple(cut.frames.shape[:2]))
        numbers = cut.frames[0, :, 0, 0, 0].tolist()
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert shapes == {(3, 2), (2, 6)}


def test_other_looks_are_the_same_performance():
    """Portrait and frames change alike, regions move along with the face, and no settings change nothing."""
    plain = batch(8, 2)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(40, 200, (8, 3, 32, 32), generator=generator, dtype=torch.uint8)
    face = torch.zeros(8, 32, 32, dtype=torch.uint8)
    face[:, 8:24, 8:24] = 1
    pictures = torch.where(face[:, None] > 0, pictures, 255)
    plain = replace(
        plain, portrait=pictures, frames=pictures[:, None].repeat(1, 2, 1, 1, 1), face=face, mouth=face
    )
    same = change_looks(plain, LooksStrategy(), generator)
    assert all(
        torch.equal(getattr(same, n), getattr(plain, n)) for n in ("portrait", "frames", "face", "mouth")
    )
    for settings in (LooksStrategy(recolour=1.0), LooksStrategy(zoom=0.2, shift=0.1)):
        other = change_looks(plain, settings, generator)
        assert (other.portrait != pictures).flatten(1).any(1).all()
        assert torch.equal(other.frames, other.portrait[:, None].expand_as(other.frames))
    assert not torch.equal(other.face, face) and torch.equal(other.face, other.mouth)
    white = (other.portrait > 250).all(1)  # what is no face is still white
    assert (white[other.face == 0]).float().mean() > 0.9 > 0.1 > (white[other.face == 1]).float().mean()
    assert torch.equal(of(other, "audio.features"), of(plain, "audio.features")) and torch.equal(
        of(other, "expression.crops"), of(plain, "expression.crops")
    )


def test_dropped_tokens_are_the_null_tokens():
    tokens, absent = {"audio": torch.ones(200, 2, 1, 3)}, {"audio": torch.zeros(200, 2, 1, 3)}
    got = drop_tokens(tokens, absent, 0.3, torch.Generator().manual_seed(0))["audio"]
    by_item = got.flatten(1)
    assert ((by_item == 0).all(1) | (by_item == 1).all(1)).all()
    assert 0.2 < float((by_item == 0).all(1).float().mean()) < 0.4


@pytest.mark.parametrize(
    "words, says",
    [
        (
            ["--trainer.max_stepp", "3"],
            "unknown option --trainer.max_stepp; did you mean --trainer.max_steps",
        ),
        (["--seed_everything", "x"], "--seed_everything: 'x' cannot be used"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml: no such file"),
        (["--trainer.max_steps", "abc"], "--trainer.max_steps: 'abc' cannot be used; give a whole number"),
        (["--data.init_args.clipz", "3"], "--data: unknown setting 'clipz'"),
    ],
)
def test_wrong_options_are_told_in_one_line(words, says, capsys):
    settings = [] if "--config" in words else ["--config", str(ROOT / "configs" / "tiny.yaml")]
    assert main(["train", "fit", *settings, *words]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: {says}") and said.err.count("\n") == 1
