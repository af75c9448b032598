"""The table of signals alone knows a signal: models with fewer of them work, and one more is a line."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from pipeline_files import SMALL, small_config
from torch import nn

from actalker.cli.main import main
from actalker.control.gates import Gates
from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.sample import collate, signal_names
from actalker.diffusion.objective import ObjectiveConfig
from actalker.errors import InputError
from actalker.evaluation.settings import Setting, preset, varied
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.options import RunOptions
from actalker.pipeline.talking_head import TalkingHeadPipeline
from actalker.signals.feed import Feed
from actalker.signals.signal import IDENTITY, SIGNALS, Kind, Late, Signal
from actalker.training.module import TrainingModule
from actalker.training.optimizer import OptimizerConfig
from actalker.training.strategies import StrategyConfig

THREE = ("audio", "expression", "text")


def awake(model) -> None:
    """Weights where training starts at zero: every signal has an effect."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.abs().max() == 0:
                weight.normal_(std=0.3 / max(1, weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.02)


def trained(config, batch) -> TrainingModule:
    """A module after a step, in which every encoder learnt."""
    torch.manual_seed(0)
    module = TrainingModule(config, ObjectiveConfig(), OptimizerConfig(warmup=1), StrategyConfig(), seed=1)
    awake(module.model)
    before = {name: weight.clone() for name, weight in module.model.encoders.named_parameters()}
    optimizer = module.configure_optimizers()["optimizer"]
    loss, _ = module.step_loss(batch, 0)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    for name in (*module.model.signals, *([IDENTITY] if IDENTITY in module.model.encoders else [])):
        moved = [k for k, w in module.model.encoders.named_parameters() if not torch.equal(w, before[k])]
        assert any(k.startswith(f"{name}.") for k in moved), name
    return module


def puppets(signals):
    data = PuppetDataset(PuppetDataConfig(seed=3, frames=4, size=64, signals=signals, all_open=1.0), 2)
    return collate([data[0], data[1]])


@pytest.mark.parametrize("lacks", [*THREE, IDENTITY])
def test_a_model_without_it_learns_is_kept_and_makes_clips(lacks, made, tmp_path):
    config = small_config(**{lacks: {"kind": "none"}})
    batch = puppets(tuple(s for s in THREE if s != lacks))
    assert set(batch.names()) == set(THREE) - {lacks}
    module = trained(config, batch)
    assert module.model.signals == tuple(s for s in THREE if s != lacks)
    save_model(module.model, tmp_path / "model")
    assert not [k for k in load_model(tmp_path / "model").network.state_dict() if f"branches.{lacks}" in k]
    pipe = TalkingHeadPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    values = {"audio": made / "speech.wav", "expression": made / "driver.mp4", "text": "smiles"}
    given = {name: value for name, value in values.items() if name != lacks}

    def latents(**options):
        return pipe(made / "face.png", **given, duration=0.16, output_type="latent", **options).frames

    opened = latents()
    for name in given:
        closed = latents(gates={name: 0.0})
        assert (opened - closed).abs().max() > 1e-4, name
    if lacks in values:
        with pytest.raises(InputError, match=f"--{lacks}: this model takes none; it takes "):
            pipe(made / "face.png", **{lacks: values[lacks]}, duration=0.16)


@pytest.mark.parametrize("lacks", [*THREE, IDENTITY])
def test_a_model_without_it_is_exported_and_its_gates_ablated(lacks, made, tmp_path):
    """From a training's checkpoint, by the commands: a row for each gate that the model has."""
    config = small_config(**{lacks: {"kind": "none"}})
    module = trained(config, puppets(tuple(s for s in THREE if s != lacks)))
    module.trainer = trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert main(["export", str(tmp_path / "last.ckpt"), str(tmp_path / "model")]) == 0
    assert load_model(tmp_path / "model").signals == module.model.signals
    values = {
        "audio": made / "speech.wav",
        "expression": made / "driver.mp4",
        "text": "a face | 0-0.1: smiles",
    }
    words = ["--model", tmp_path / "model", "--portraits", made / "face.png", "--out", tmp_path / "page"]
    for name in module.model.signals:
        words += [f"--{name}", values[name]]
    words += ["--preset", "gates", "--duration", "0.12"]
    assert main(["ablate", *map(str, words)]) == 0
    page = (tmp_path / "page" / "ablation.md").read_text()
    for name in THREE:
        assert (f"\n| {name} | " in page) == (name != lacks), name


def test_clips_with_other_signals_than_the_models_are_refused():
    with pytest.raises(InputError, match="gates for audio, expression, text, the model's signals are audio"):
        trained(small_config(text={"kind": "none"}), puppets(THREE))


def test_names_that_no_table_has_are_refused():
    with pytest.raises(InputError, match="signals: sway is in no table"):
        small_config(signals={"sway": {"kind": "track"}})
    with pytest.raises(InputError, match="signal in starts 'audoi' is unknown; did you mean 'audio'"):
        RunOptions(starts={"audoi": 1})
    with pytest.raises(InputError, match="signal in starts 'text'"):
        RunOptions(starts={"text": 1})


def test_numbers_may_be_numpys():
    options = RunOptions(guidance={"audio": np.float32(2)}, liveliness=np.float32(0.25), steps=np.int64(3))
    assert options.scales == {"audio": 2} and options.steps == 3
    with pytest.raises(InputError, match="liveliness 1.5: give a number from 0"):
        RunOptions(liveliness=np.float32(1.5))


# a signal of its own: a track of how a body sways, of which the package knows the line in the table


@dataclass(frozen=True)
class SwayConfig:
    width: int = 64


class SwayEncoder(nn.Module):
    """Numbers (b, f, 2) to tokens (b, f, 1, d)."""

    name = "sway"

    def __init__(self, config: SwayConfig) -> None:
        super().__init__()
        self.config, self.net = config, nn.Linear(2, config.width)
        self.null = nn.Parameter(torch.zeros(1, config.width))

    def forward(self, track):
        return self.net(track)[:, :, None]

    def absent(self, b, f):
        return self.null.expand(b, f, -1, -1)


class SwayInput(Feed):
    def __init__(self, path, context, start) -> None:
        self.context = context
        self.rows = np.loadtxt(path, delimiter=",", dtype=np.float32)[round(float(start * context.fps)) :]
        self.facts = [f"sway: {len(self.rows)} rows"]

    @property
    def seconds(self):
        return Fraction(len(self.rows)) / self.context.fps

    def feed(self, frames):
        return self

    def tokens(self, start, f):
        rows = self.rows[np.arange(start, start + f).clip(max=len(self.rows) - 1)]
        return self.context.encoder(torch.from_numpy(rows)[None])

    def record(self):
        return {"sway": len(self.rows)}


@pytest.fixture
def sway(monkeypatch, tmp_path):
    """The signal in the table, and a track of it."""
    for name in ("actalker.pipeline.output.write", "actalker.cli.ablate"):
        import_module(name)  # the table is read when it is used, not when a module is imported
    kinds = {"track": Kind(Late(__name__, "SwayEncoder"), Late(__name__, "SwayConfig"))}
    signal = Signal(
        "frame", "frame", "how a body sways", "track", kinds, Late(__name__, "SwayInput"), "table", "seconds"
    )
    monkeypatch.setitem(SIGNALS, "sway", signal)
    np.savetxt(tmp_path / "sway.csv", np.random.default_rng(0).normal(size=(6, 2)), delimiter=",")
    return tmp_path / "sway.csv"


def test_a_fourth_signal_is_a_line_in_the_table(sway, made, tmp_path, capsys):
    config = small_config(signals={"sway": {"kind": "track"}})
    batch, names = puppets(THREE), signal_names([*THREE, "sway"])
    batch = replace(
        batch,
        arrays={**batch.arrays, "sway": {"track": torch.randn(2, 4, 2)}},
        gates=torch.cat([batch.gates, torch.ones(2, 1, 4)], 1),
        signals=names.expand(2, -1, -1),
    )
    module = trained(config, batch)
    assert module.model.signals == (*THREE, "sway")
    module.model.config = replace(config, denoiser_args=dict(SMALL))
    save_model(module.model, tmp_path / "model")
    words = ["infer", "--model", tmp_path / "model", "--portrait", made / "face.png", "--sway", sway]
    assert main([str(w) for w in [*words, "--out", tmp_path / "a.mp4", "--quiet"]]) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["sway"] == 6 and record["frames"] == 6 and record["gates"]["sway"] == 1.0
    assert record["regions"] == {"sway": "face"} and record["inputs"]["sway"]["hash"]
    assert main([str(w) for w in [*words, "--out", tmp_path / "b.mp4", "--gate", "sway=0", "--quiet"]]) == 0
    later = ["--out", tmp_path / "c.mp4", "--sway-start", "0.08", "--quiet"]
    assert main([str(w) for w in [*words, *later]]) == 0
    assert json.loads((tmp_path / "c.json").read_text())["frames"] == 4
    pipe = TalkingHeadPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    given = {"portrait": made / "face.png", "audio": made / "speech.wav", "sway": sway, "duration": 0.16}
    opened, closed = (pipe(**given, gates={"sway": gate}, output_type="latent").frames for gate in (1.0, 0.0))
    assert (opened - closed).abs().max() > 1e-4
    assert Setting("x", {"gate.sway": "0"}).options().opening.values("sway", 1, Fraction(25)) == 0
    assert len(varied(["region.sway=mouth|face"])) == 3 and "sway closed" in [
        setting.name for setting in preset("gates")
    ]
    assert set(Gates.parse(["sway=0.5"], SIGNALS).pieces) == set(SIGNALS)
    with pytest.raises(InputError, match="sway start 1 s: there is no track; give sway"):
        pipe(made / "face.png", audio=made / "speech.wav", sway_start=1)
    capsys.readouterr()
