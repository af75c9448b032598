"""The gates of the data and the signals of the model: the same ones, by name, or no training."""

from dataclasses import replace

import pytest
import torch
from models import SMALL

from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
from actalker.data.sample import collate, signal_names
from actalker.diffusion.objective import ObjectiveConfig
from actalker.errors import InputError
from actalker.pipeline.model.model import ModelConfig
from actalker.signals.signal import SIGNALS
from actalker.training.callbacks import own_regions, without
from actalker.training.module import StrategyConfig, TrainingModule
from actalker.training.optimizer import OptimizerConfig


@pytest.fixture(scope="module")
def module() -> TrainingModule:
    model = ModelConfig.from_dict(SMALL)
    return TrainingModule(model, ObjectiveConfig(), OptimizerConfig(), StrategyConfig())


@pytest.fixture(scope="module")
def batch():
    data = PuppetDataset(PuppetDataConfig(frames=2, size=64), 2)
    return collate([data[index] for index in range(2)])


def acting(region: str):
    """Speech, in another region."""
    return replace(SIGNALS["audio"], region=region)


def conditions(module, batch):
    tokens = module.tokens(batch, None)
    return module.conditions(batch, tokens, torch.Generator().manual_seed(0), training=False)


def test_a_signal_that_the_model_does_not_know_ends_the_training(module, batch, monkeypatch):
    """A line more in the table: before, the text's gates opened another signal's branch, without a word."""
    rows = torch.cat([batch.gates[:, :2], torch.zeros(2, 1, 2), batch.gates[:, 2:]], 1)
    monkeypatch.setitem(SIGNALS, "pose", acting("face"))
    names = signal_names(["audio", "expression", "pose", "text"])
    more = replace(batch, gates=rows, signals=names.expand(2, -1, -1))
    with pytest.raises(InputError, match="audio, expression, pose, text, the model's signals are audio, exp"):
        conditions(module, more)
    with pytest.raises(InputError, match="signal for a puppet 'pose'"):
        PuppetDataset(PuppetDataConfig(frames=2, size=64), 1)[0]
    fewer = replace(batch, gates=batch.gates[:, :2], signals=batch.signals[:, :2])
    with pytest.raises(InputError, match="the clips have gates for audio, expression, the model"):
        conditions(module, fewer)
    with pytest.raises(InputError, match="2 rows of gates for audio, expression, text"):
        conditions(module, replace(batch, gates=batch.gates[:, :2]))
    with pytest.raises(InputError, match="different signals"):
        mixed = torch.stack([batch.signals[0], batch.signals[0].flip(0)])
        conditions(module, replace(batch, signals=mixed))


def test_rows_in_another_order_are_found_by_name(module, batch):
    gates = torch.tensor([0.2, 0.5, 0.9])[None, :, None].expand(2, 3, 2)
    one = replace(batch, gates=gates)
    turned = replace(batch, gates=gates.flip(1), signals=batch.signals.flip(1))
    for made in (conditions(module, one), conditions(module, turned)):
        given = {name: float(gate.unique()) for name, gate in made.gates.items()}
        assert given == pytest.approx({"audio": 0.2, "expression": 0.5, "text": 0.9})
    assert float(without(turned, "text").gates[:, 0].max()) == 0 and turned.names()[0] == "text"


def test_training_takes_the_regions_of_the_table(module, batch, monkeypatch):
    """Changing a region in the table changed nothing in training (losses were the same to the last bit)."""
    batch = replace(batch, gates=torch.ones_like(batch.gates))
    face, mouth = batch.face.float(), batch.mouth.float()
    own = {"audio": mouth, "expression": face - mouth, "text": face}
    for signal, region in conditions(module, batch).regions.items():
        assert torch.equal(region[:, 0], own[signal]), signal
    monkeypatch.setitem(SIGNALS, "audio", acting("face"))
    monkeypatch.setitem(SIGNALS, "text", replace(SIGNALS["text"], region="frame"))
    made = conditions(module, batch).regions
    assert torch.equal(made["audio"][:, 0], face) and torch.equal(made["text"][:, 0], torch.ones_like(face))
    one = batch.only(0)
    assert torch.equal(own_regions(one)["audio"], face[0])
    monkeypatch.setitem(SIGNALS, "audio", acting("lips"))
    with pytest.raises(InputError, match="region of audio 'lips' is unknown"):
        conditions(module, batch)
