"""The model that ships: its folder is whole, its motion follows its signals and obeys its gates."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from actalker import Gates, TalkingHeadPipeline
from actalker.data.performances.dataset import PerformanceConfig, PerformanceDataset
from actalker.data.performances.scripts import WORDINGS
from actalker.data.performances.told import conditions, truth
from actalker.data.sample import collate
from actalker.heads.articulation import ARTICULATORS
from actalker.heads.face_map import MOUTH, NUMBERS
from actalker.media.sound import read_sound
from actalker.pipeline.model.find import find_model
from actalker.pipeline.model.folder import check_files, load_model

SPEECH = Path(__file__).parents[2] / "actalker" / "assets" / "speech.flac"
SEED = 3_000_000  # of performances that no training has seen
CLIPS = 60
IN_MOUTH = torch.tensor([name.startswith(MOUTH) for name in NUMBERS])
PORTRAIT = astronaut()[:320, 60:380]


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def performances():
    data = PerformanceDataset(PerformanceConfig(seed=SEED, frames=1, seconds=4), CLIPS)
    return collate([data[k] for k in range(CLIPS)])


def gated(batch, **gates):
    made = batch.gates.clone()
    for k, name in enumerate(batch.names()):
        made[:, k] = gates.get(name, 0.0)
    return replace(batch, gates=made)


def sampled(model, batch):
    """The numbers (b, 62) that the model makes of single frames, on the same noise, and the true ones."""
    told = conditions(model, batch)
    settings = model.config.sampling
    noise = torch.randn((1, 1, 4, 32, 32), generator=torch.Generator().manual_seed(0))
    x = noise.expand(len(batch.portrait), -1, -1, -1, -1) * settings.sigma_max
    for now, then in ((settings.sigma_max, settings.sigma_min), (settings.sigma_min, 0.0)):
        clean = model.denoise(x, torch.full((len(x),), now), told)
        x = clean + (x - clean) * then / now
    return model.codec.read(x)[:, 0], truth(batch)[:, 0]


def agreement(made, true, name):
    k = NUMBERS.index(name)
    return float(np.corrcoef(made[:, k], true[:, k])[0, 1])


def test_its_folder_is_small_and_whole(tiny):
    folder = find_model("tiny")
    assert check_files(folder)
    assert sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) <= 40 * 2**20
    assert (Path(folder) / "README.md").is_file()
    config = tiny.config
    assert config.fps == 25 and config.window >= 14 and config.codec == "FaceMotion"
    assert config.phrases == WORDINGS


def test_the_mouth_is_the_speechs_and_the_rest_the_drivers(tiny, performances):
    made, true = sampled(tiny, gated(performances, audio=1.0, expression=1.0))
    for name in ("jawOpen", "mouthPucker", "mouthSmile_L", "eyeBlink_L", "browInnerUp_L"):
        assert agreement(made, true, name) > 0.85, name
    assert agreement(made, true, "yaw") > 0.85


def test_a_driver_alone_moves_the_whole_face(tiny, performances):
    made, true = sampled(tiny, gated(performances, expression=1.0))
    for name in ("jawOpen", "mouthSmile_L", "browInnerUp_L", "eyeBlink_R"):
        assert agreement(made, true, name) > 0.85, name


def test_closing_speech_leaves_the_upper_face(tiny, performances):
    both, _ = sampled(tiny, gated(performances, audio=1.0, expression=1.0))
    alone, _ = sampled(tiny, gated(performances, expression=1.0))
    apart = (both - alone)[:, ~IN_MOUTH].norm() / both[:, ~IN_MOUTH].norm()
    assert apart < 0.12


def test_who_it_is_sets_style_alone(tiny, performances, monkeypatch):
    """Another person's identity tokens: how far a mouth opens may differ, not when, nor what else moves."""
    both, others = gated(performances, audio=1.0, expression=1.0), torch.arange(CLIPS).roll(1)
    made, _ = sampled(tiny, both)
    who = tiny.encoders["identity"]
    monkeypatch.setattr(who, "forward", lambda reference, own=who.forward: own(reference)[others])
    other, _ = sampled(tiny, both)
    assert not torch.equal(made, other)
    assert (made - other)[:, ~IN_MOUTH].norm() / made[:, ~IN_MOUTH].norm() < 0.1
    assert np.corrcoef(opening(made), opening(other))[0, 1] > 0.95
    shut = sampled(tiny, gated(performances))[0].abs()
    assert shut[:, :54].max() < 0.05 and shut[:, 54:].max() < 0.5  # coefficients; degrees and cm


def test_lips_meet_where_an_articulation_closes(tiny, performances):
    """On faces with closed, parted and laughing mouths alike."""
    close, rest = ARTICULATORS.index("close"), ARTICULATORS.index("rest")
    open_lips = torch.zeros(CLIPS, 1, len(ARTICULATORS))
    open_lips[..., :2] = 0.8
    shut_lips = open_lips.clone()
    shut_lips[..., :2], shut_lips[..., close] = 0.1, 1.0
    assert open_lips[..., rest].max() == 0
    gaps = []
    for lips in (open_lips, shut_lips):
        arrays = {**performances.arrays, "audio": {"articulators": lips}}
        made, _ = sampled(tiny, gated(replace(performances, arrays=arrays), audio=1.0))
        gaps.append(opening(performances.portrait + made))
    assert np.mean(gaps[1] < 0.2 * gaps[0]) > 0.8


def opening(numbers):
    from actalker.heads.model import COEFFICIENTS, head_model

    return head_model().opening(numbers[:, : len(COEFFICIENTS)].numpy())


@pytest.fixture(scope="module")
def pipe():
    pytest.importorskip("mediapipe")
    made = TalkingHeadPipeline.from_pretrained("tiny", device="cpu")
    made.set_progress_bar_config(disable=True)
    return made


def numbers(pipe, **options):
    """What a clip of two seconds of speech moves the portrait by, (50, 62)."""
    sound = read_sound(SPEECH).cut(Fraction(0), Fraction(2))
    latents = pipe(PORTRAIT, audio=sound, size=128, output_type="latent", **options).frames
    return pipe.model.codec.read(latents).numpy()


def test_speech_opens_the_mouth_and_windows_meet_without_a_jump(pipe):
    made = numbers(pipe, liveliness=0.0)
    jaw = made[:, NUMBERS.index("jawOpen")]
    assert jaw.std() > 0.03 and jaw.max() < 1
    steps = np.abs(np.diff(made, axis=0)).mean(1)
    window = pipe.model.config.window - pipe.model.config.overlap
    edges = [
        k + d - 1 for k in range(window, 50, window) for d in (0, pipe.model.config.overlap) if k + d < 50
    ]
    assert steps[edges].mean() < 1.5 * np.delete(steps, edges).mean()


def test_it_blinks_and_moves_its_head_of_itself(pipe):
    lively, still = numbers(pipe, liveliness=1.0, seed=3), numbers(pipe, liveliness=0.0)
    turn = NUMBERS.index("yaw")
    assert lively[:, turn].std() > 3 * still[:, turn].std()


def test_closed_gates_leave_the_photograph(pipe):
    sound = read_sound(SPEECH).cut(Fraction(0), Fraction(1, 2))
    shut = Gates.all_closed(["audio", "expression", "text"])
    frames = np.asarray(pipe(PORTRAIT, audio=sound, size=128, gates=shut).frames)
    still = pipe.prepare(PORTRAIT, sound, size=128).inputs.portrait.picture
    assert np.array_equal(frames, np.repeat(still[None], len(frames), 0))
