"""Models whose pictures are not square, from training to the video."""

import numpy as np
import pytest
import torch
from models import Fourfold, small_model, some_conditions

from actalker import InputError, TalkingHeadPipeline
from actalker.backbones.unet import ControlUNet
from actalker.cli.main import main
from actalker.codecs import CODECS
from actalker.data.clips import ClipDataConfig, ClipDataset
from actalker.data.sample import collate
from actalker.media.video import probe, read_frames
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.memory import Arrangement, needed
from actalker.pipeline.model.model import ModelConfig
from actalker.training.module import ObjectiveConfig, OptimizerConfig, StrategyConfig, TrainingModule

SIZES = [(96, 160), (160, 96)]


@pytest.fixture(autouse=True)
def fourfold(monkeypatch):
    """The toy codec of time stride 4 by its name."""
    monkeypatch.setitem(CODECS, "Fourfold", Fourfold)


def model(size):
    return small_model(
        size=size,
        codec="Fourfold",
        codec_args={"stride": 8},
        denoiser_args={"in_channels": 1536, "out_channels": 768},
    )


def test_a_plain_number_is_a_square():
    assert ModelConfig(size=64).size == (64, 64) == ModelConfig.from_dict({"size": [64, 64]}).size
    assert ModelConfig(size=64).as_dict()["size"] == 64
    assert ModelConfig(size=(64, 32)).as_dict()["size"] == [64, 32]
    assert ModelConfig.from_dict(ModelConfig(size=(64, 32)).as_dict()) == ModelConfig(size=(64, 32))
    with pytest.raises(InputError, match="a side at least 8 pixels"):
        ModelConfig(size=(64, 4))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", ["face", "none"])
def test_a_clip_has_the_models_height_and_width(size, crop, made, tmp_path):
    """By Python and by the command line, from a folder; latent frames cover four frames."""
    h, w = size
    save_model(model(size), tmp_path / "model")
    pipe = TalkingHeadPipeline(load_model(tmp_path / "model"))
    pipe.set_progress_bar_config(disable=True)
    given = {"portrait": made / "face.png", "audio": made / "speech.wav", "crop": crop, "seed": 3}
    given |= {"duration": 0.36}
    assert pipe(**given, output_type="latent").frames.shape == (3, 768, h // 8, w // 8)
    frames = pipe(**given, output_type="np").frames
    assert frames.shape == (9, h, w, 3)
    out = tmp_path / "clip.mp4"
    words = [f"--{name}={value}" for name, value in given.items()]
    assert main(["infer", f"--model={tmp_path / 'model'}", *words, f"--out={out}"]) == 0
    info = probe(out)
    assert (info.height, info.width) == size
    video = np.stack(list(read_frames(out))) / 255
    # noise of 8 x 8 pixels a position survives H.264 in its means alone
    means = [x.reshape(9, h // 8, 8, w // 8, 8, 3).mean((2, 4)) for x in (video, frames)]
    assert np.corrcoef(means[0].ravel(), means[1].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", SIZES)
def test_a_signal_changes_its_region_alone(size):
    """A mouth in the lower half's middle: behind one control layer nothing above it has changed, and a closed
    gate changes no bit."""
    one = model(size)
    layer = one.network.control[0]
    seen = []
    layer.register_forward_hook(lambda _, given, output: seen.append(output))
    x = torch.randn(1, 3, 768, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(0))
    without, shut, opened = ({"text": 0.0, **audio} for audio in ({}, {"audio": 0.0}, {"audio": 1.0}))
    for gates in (without, shut, opened):
        told = one.over_latent_frames(some_conditions(one, f=12, gates=gates))
        one.network(x, torch.zeros(1), told)
    h, w = seen[0].shape[2:4]
    assert (h / w) == size[0] / size[1]
    changed = (seen[2] - seen[0]).abs().amax((0, 1, 4)) > 0
    inside = torch.zeros(h, w, dtype=torch.bool)
    inside[h // 2 :, w // 4 : w - w // 4] = True
    assert torch.equal(seen[0], seen[1]) and torch.equal(changed, inside)


def test_places_have_the_grids_rows_and_columns():
    network = ControlUNet(**{**small_model().config.denoiser_args, "placed": True, "sample_size": (12, 20)})
    assert network.places.features.shape[0] == 12 * 20
    assert {len(layer.places.features) for layer in network.control} == {6 * 10}


def test_memory_grows_with_both_sides():
    need = [needed(model(size), Arrangement(), "cpu") for size in ((96, 96), (96, 160), (96, 224), (160, 96))]
    assert need[1] - need[0] == pytest.approx(need[2] - need[1]) and need[1] == need[3] > need[0]


@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_training_on_clips(size, prepared):
    """Latents of pictures of the model's form; the same clip as a square is the middle of them."""
    config = {"shards": str(prepared / "decoded/shards"), "frames": 6, "driver_size": 128, "held_out": 0.0}
    data = ClipDataset(ClipDataConfig(**config, size=size))
    one, square = data[0], ClipDataset(ClipDataConfig(**config, size=96))[0]
    middle = (..., *(slice((n - 96) // 2, (n + 96) // 2) for n in size))
    assert one.frames.shape == (6, 3, *size) and one.face.shape == size
    assert (one.frames[middle].int() - square.frames.int()).abs().max() <= 1
    assert torch.equal(one.mouth[middle], square.mouth)
    module = TrainingModule(model(size).config, ObjectiveConfig(), OptimizerConfig(), StrategyConfig())
    before = {name: value.clone() for name, value in module.model.network.named_parameters()}
    optimizer = torch.optim.SGD(module.model.network.parameters(), 1e-2)
    loss, _ = module.step_loss(collate([one, data[1]]), 0)
    loss.backward()
    optimizer.step()
    changed = [n for n, value in module.model.network.named_parameters() if not torch.equal(value, before[n])]
    assert loss.isfinite() and any("control.0.mlp" in name for name in changed)
