"""A face that nobody drives: it blinks and moves of itself, as far as the user lets it."""

import json

import numpy as np
import pytest
import torch
from motion_models import motion_model
from skimage.data import astronaut

from actalker import Gates, TalkingHeadPipeline
from actalker.cli.main import main
from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.pipeline.model.folder import save_model

pytest.importorskip("mediapipe")
PORTRAIT = astronaut()[:256, 96:352]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("lively") / "model"
    save_model(motion_model(), place)
    return place


@pytest.fixture(scope="module")
def pipe(folder):
    made = TalkingHeadPipeline.from_pretrained(folder, device="cpu")
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(0)
    return Sound(0.1 * rng.standard_normal((1, 16000)).astype(np.float32), 16000)


def latents(pipe, sound, **options):
    return pipe(PORTRAIT, audio=sound, size=128, output_type="latent", **options).frames


def test_without_liveliness_speech_is_alone(pipe, sound):
    still = pipe.prepare(PORTRAIT, sound, size=128, liveliness=0.0).inputs
    assert still.signals == ["audio"] and still.choices() == {"audio": "face"}
    lively = pipe.prepare(PORTRAIT, sound, size=128).inputs
    assert lively.signals == ["audio", "expression"] and lively.choices()["audio"] == "mouth"
    assert any("liveliness 0.5" in fact for fact in lively.facts())


def test_the_gate_of_expression_closes_it(pipe, sound):
    none = latents(pipe, sound, liveliness=0.0)
    shut = latents(pipe, sound, liveliness=1.0, gates={"expression": 0.0})
    assert torch.equal(none, shut)
    assert not torch.equal(none, latents(pipe, sound, liveliness=1.0))


def test_another_seed_lives_otherwise(pipe, sound):
    pieces = [pipe.prepare(PORTRAIT, sound, size=128, seed=seed).inputs for seed in (1, 1, 2)]
    tokens = [made.feeds["expression"].tokens(0, made.frames) for made in pieces]
    assert torch.equal(tokens[0], tokens[1]) and not torch.equal(tokens[0], tokens[2])


def test_with_all_gates_closed_the_portrait_stands(pipe, sound):
    shut = Gates.all_closed(["audio", "expression", "text"])
    frames = np.asarray(pipe(PORTRAIT, audio=sound, size=128, gates=shut, liveliness=1.0).frames)
    still = pipe.prepare(PORTRAIT, sound, size=128).inputs.portrait.picture
    assert np.array_equal(frames, np.repeat(still[None], len(frames), 0))


def test_a_driving_video_takes_its_place(pipe, sound):
    rest = np.random.default_rng(1).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="no face"):
        pipe.prepare(PORTRAIT, sound, expression=rest, size=128, liveliness=1.0)


@pytest.mark.parametrize("amount", [-0.1, 1.5, "much"])
def test_amounts_that_are_none_are_refused(pipe, sound, amount):
    with pytest.raises(InputError, match="give a number from 0"):
        pipe.prepare(PORTRAIT, sound, liveliness=amount)


def test_the_sidecar_tells_it(folder, sound, tmp_path, capsys):
    from PIL import Image
    from scipy.io import wavfile

    Image.fromarray(PORTRAIT).save(tmp_path / "face.png")
    wavfile.write(tmp_path / "speech.wav", 16000, sound.samples[0])
    words = ["infer", "--model", str(folder), "--portrait", str(tmp_path / "face.png"), "--size", "128"]
    words += ["--audio", str(tmp_path / "speech.wav"), "--liveliness", "0.25", "--duration", "0.2"]
    assert main([*words, "--out", str(tmp_path / "clip.mp4")]) == 0
    assert json.loads((tmp_path / "clip.json").read_text())["liveliness"] == 0.25
    assert "liveliness 0.25" in capsys.readouterr().out
