"""The speech encoder learns from speech: one loss, its own weights and no others, as a user trains it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from actalker.cli.main import main
from actalker.data.sample import collate
from actalker.data.speech.dataset import SpeechDataConfig, SpeechDataset
from actalker.data.speech.make import make
from actalker.errors import InputError
from actalker.heads.articulation import ARTICULATORS
from actalker.pipeline.model.folder import load_model
from actalker.pipeline.model.model import ModelConfig
from actalker.training.module import ObjectiveConfig, OptimizerConfig, StrategyConfig, TrainingModule
from actalker.training.speech import aperture, heard, speech_loss
from actalker.training.tuning import TuningConfig

pytest.importorskip("espeakng_loader", reason="pip install espeakng-loader")
CONFIGS = Path(__file__).parents[2] / "configs"
HEAD = {
    **{"size": 64, "denoiser": "Direct", "codec": "FaceMotion", "audio": {"kind": "speech"}},
    **{"expression": {"kind": "numbers"}, "text": {"kind": "none"}, "identity": {"kind": "none"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A cache of half a minute of espeak-ng."""
    out = tmp_path_factory.mktemp("speech") / "cache"
    make(out, minutes=1.5, engines=["espeak"], workers=1)
    return out


def module(**audio: object) -> TrainingModule:
    """What the stage trains, without a network."""
    given = yaml.safe_load((CONFIGS / "tiny/3-speech.yaml").read_text())["model"]
    settings = ModelConfig.from_dict({**HEAD, "audio": audio or HEAD["audio"]})
    tuning = TuningConfig(**{k: tuple(v) for k, v in given["tuning"].items()}) if not audio else None
    torch.manual_seed(0)
    return TrainingModule(settings, ObjectiveConfig(), OptimizerConfig(), StrategyConfig(), tuning=tuning)


def batch(folder: Path, count: int = 4):
    data = SpeechDataset(SpeechDataConfig(str(folder), seed=1, clean=1.0, empty=0.0), count)
    return collate([data[k] for k in range(count)])


def test_steps_of_speech_teach_the_net_that_listens_and_nothing_else(folder):
    made, spoken = module().train(), batch(folder)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for step in range(8):
        loss, values = made.step_loss(spoken, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert values["loss"] == loss
    assert losses[-1] < 0.75 * losses[0]
    for name, value in made.state_dict().items():
        listens = name.startswith("model.encoders.audio.listen.")
        assert listens != torch.equal(value, before[name]), name
    made.eval()
    with torch.no_grad():
        shares = heard(made.model, spoken)
    assert set(shares) == {f"explained_{name}" for name in (*ARTICULATORS, "opening")}


def test_the_loss_is_least_where_the_truth_is_said(folder):
    made, spoken = module().eval(), batch(folder, 2)
    truth, low = spoken.articulators, ARTICULATORS.index("width")
    inside = truth.clamp(1e-4, 1 - 1e-4)
    raw = torch.logit(inside)
    for name in ("jaw", "lips"):
        k = ARTICULATORS.index(name)
        raw[..., k] = torch.logit((truth[..., k] / 1.15).clamp(1e-4, 1 - 1e-4))
    raw[..., low] = torch.atanh(truth[..., low].clamp(-0.9999, 0.9999))
    said = torch.nn.functional.one_hot(spoken.phones, made.model.encoders["audio"].listen.phones.out_channels)
    listen = made.model.encoders["audio"].listen
    listen.forward = lambda features: (raw, 20.0 * said)  # what an encoder without a fault would say
    _, values = speech_loss(made.model, spoken)
    assert values["articulators"] < 1e-5 and values["opening"] < 1e-5 and values["phones"] == 1
    assert all(share > 0.99 for share in heard(made.model, spoken).values())
    raw[..., ARTICULATORS.index("lips")] += 1
    assert speech_loss(made.model, spoken)[1]["opening"] > 1e-3


def test_the_opening_is_shut_by_closed_lips_and_nearly_by_tucked_ones():
    values = torch.zeros(3, len(ARTICULATORS))
    values[:, ARTICULATORS.index("lips")] = 0.8
    values[1, ARTICULATORS.index("close")] = 1
    values[2, ARTICULATORS.index("tuck")] = 1
    torch.testing.assert_close(aperture(values), torch.tensor([0.8, 0.0, 0.2]))


def test_another_audio_encoder_is_told_that_it_learns_nothing(folder):
    with pytest.raises(InputError, match="kind: speech"):
        module(kind="mel").step_loss(batch(folder, 1), 0)


@pytest.mark.slow
def test_the_stage_runs_goes_on_and_is_exported(folder, tmp_path):
    words = ["train", "fit", "--config", str(CONFIGS / "tiny.yaml")]
    words += ["--config", str(CONFIGS / "tiny/3-speech.yaml"), "--model.start", "null"]
    words += ["--data.init_args.data.speech", str(folder)]
    words += [
        "--data.init_args.sounds",
        "12",
        "--data.init_args.batch_size",
        "4",
        "--data.init_args.workers",
        "0",
    ]
    words += ["--data.init_args.validation_sounds", "4", "--trainer.enable_progress_bar", "false"]
    words += ["--trainer.logger", "false", "--trainer.val_check_interval", "2"]
    run = tmp_path / "whole"
    words += [
        "--model.optimizer.steps",
        "4",
        "--model.optimizer.warmup",
        "1",
        "--model.optimizer.cooldown",
        "2",
    ]
    assert main([*words, "--run", str(run), "--trainer.max_steps", "4"]) == 0
    parts = tmp_path / "parts"
    assert main([*words, "--run", str(parts), "--trainer.max_steps", "2"]) == 0
    assert main([*words, "--run", str(parts), "--trainer.max_steps", "4", "--ckpt_path", "last"]) == 0
    held = [torch.load(r / "checkpoints/last.ckpt", weights_only=False)["state_dict"] for r in (run, parts)]
    assert all(torch.equal(value, held[1][name]) for name, value in held[0].items())
    assert (
        main(["export", str(run / "checkpoints/last.ckpt"), str(tmp_path / "model"), "--dtype", "bfloat16"])
        == 0
    )
    listen = load_model(tmp_path / "model").encoders["audio"].listen
    name = "model.encoders.audio.listen.net.1.running_var"
    torch.testing.assert_close(listen.net[1].running_var, held[0][name], rtol=0.01, atol=0)
