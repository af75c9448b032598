"""The pipeline from Python: what it takes, what it gives back, how it tells of its progress."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from media_files import tone, video_file
from PIL import Image

import actalker
from actalker import Gates, InputError, TalkingHeadPipeline
from actalker.media.image import read_image
from actalker.media.sound import Sound, read_sound
from actalker.media.video import read_frames
from actalker.signals.script import parse_script


@pytest.fixture(scope="module")
def pipe(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def face(made):
    return made / "face.png"


def test_frames_rate_and_sound(pipe, made, face):
    out = pipe(portrait=face, audio=made / "speech.wav", fps="29.97", duration=0.4)
    assert out.fps == Fraction(30000, 1001)
    assert (out.frames.shape, out.frames.dtype) == ((12, 64, 64, 3), np.uint8)
    again = Image.fromarray(out.frames[3])  # pictures pass where arrays are expected
    assert again.size == (64, 64) and (np.asarray(again) == out.frames.astype(np.uint8)[3]).all()
    assert out.sound.duration == Fraction(2, 5)
    assert (out.sound.samples == read_sound(made / "speech.wav").samples[:, :6400]).all()
    assert pipe(portrait=face, text="a | 0-0.1: nods").sound is None


def test_arrays_and_objects_are_as_good_as_files(pipe, made, face):
    files = pipe(
        portrait=face,
        audio=made / "speech.wav",
        expression=made / "mute.mp4",
        text="a | 0-0.2: nods",
        duration=0.4,
    )
    objects = pipe(
        portrait=read_image(face),
        audio=read_sound(made / "speech.wav"),
        expression=read_frames(made / "mute.mp4", fps=Fraction(25)),
        text=parse_script("a | 0-0.2: nods"),
        duration=Fraction(2, 5),
        gates={"audio": 1.0},
    )
    assert (files.frames == objects.frames).all()
    assert (files.sound.samples == objects.sound.samples).all()


def test_a_saved_pipeline_is_the_same(pipe, made, face, tmp_path):
    pipe.save_pretrained(tmp_path / "copy")
    copy = TalkingHeadPipeline.from_pretrained(tmp_path / "copy", device="cpu")
    copy.set_progress_bar_config(disable=True)
    a, b = (p(portrait=face, text="smiles", duration=0.2).frames for p in (pipe, copy))
    assert (a == b).all()
    assert copy.hashes == pipe.hashes


def test_the_callback_is_told_of_every_step(pipe, face):
    told = []
    pipe(
        portrait=face,
        text="smiles",
        duration=0.4,
        callback_on_step_end=lambda p, step, timestep, kwargs: told.append((p is pipe, step, *kwargs)),
    )
    assert told == [(True, step, "latents") for window in range(2) for step in range(2)]


def test_an_exception_in_the_callback_ends_the_work(pipe, face):
    def stop(*_):
        raise StopAsyncIteration("enough")

    with pytest.raises(StopAsyncIteration):
        pipe(portrait=face, text="smiles", duration=0.4, callback_on_step_end=stop)


def test_the_seed_decides_and_the_global_generator_does_not(pipe, face):
    def frames(seed: int) -> np.ndarray:
        torch.manual_seed(seed + 5)
        return pipe(portrait=face, text="smiles", duration=0.2, seed=3).frames

    assert (frames(0) == frames(1)).all()
    assert (pipe(portrait=face, text="smiles", duration=0.2, seed=4).frames != frames(0)).any()


def test_a_driver_that_ends_early_lets_go_of_the_face(pipe, made, face):
    """0.4 s of driving video: its gate falls to 0 there, and stays."""
    inputs = pipe.prepare(face, audio=made / "speech.wav", expression=made / "mute.mp4").inputs
    gate = inputs.gate("expression", 0, 20)
    np.testing.assert_allclose(gate[:11], np.arange(10, -1, -1) / 10, atol=1e-6)
    assert not gate[10:].any()
    assert (inputs.gate("audio", 0, 20) == 1).all()
    whole = pipe.prepare(face, expression=made / "mute.mp4").inputs
    assert (whole.gate("expression", 0, 10) == 1).all()


def test_a_driver_longer_than_the_clip_is_cut(pipe, made, face):
    request = pipe.prepare(face, audio=made / "speech.wav", expression=made / "mute.mp4", duration=0.2)
    assert len(request.inputs.feeds["expression"].driver) == request.inputs.frames == 5


def test_a_driving_videos_rest_stands_in_the_plan_and_one_without_a_face_is_refused(pipe, face, tmp_path):
    blank = [np.full((112, 112, 3), 90, np.uint8)] * 10
    with pytest.raises(InputError, match="no face found in 10 of its frames"):
        pipe.prepare(face, expression=video_file(tmp_path / "wall.mp4", blank))
    pictures = [np.asarray(Image.open(face).resize((112, 112)))] * 5
    late = video_file(tmp_path / "late.mp4", blank[:5] + pictures)
    request = pipe.prepare(face, expression=late)
    assert request.plan.frames == 10 and request.plan.passes > 0
    assert "motion is relative to its face at 0.20 s, the first that is seen" in str(request.plan)


def test_one_open_signal_gets_the_face_more_share_it(pipe, made, face):
    given = {"audio": made / "speech.wav", "text": "smiles", "duration": 0.4}

    def regions(**changes: object) -> dict:
        return pipe.prepare(face, **{**given, **changes}).inputs.choices()

    assert regions() == {"audio": "mouth", "text": "face"}
    assert regions(gates=Gates({"text": 0.0}))["audio"] == "face"
    assert regions(gates=Gates({"text": [(0, 5, 0.0)]}))["audio"] == "face"  # opens after the clip
    assert regions(gates=Gates({"text": [(0, 0.2, 0.0)]}))["audio"] == "mouth"
    assert regions(text=None) == {"audio": "face"}
    assert regions(regions={"audio": "upper"}) == {"audio": "upper", "text": "face"}
    assert regions(masks="released") == {"audio": "frame", "text": "frame"}
    assert regions(masks="released", regions={"text": "face"}) == {"audio": "frame", "text": "face"}


@pytest.mark.parametrize(
    "options, says",
    [
        ({"masks": "ones"}, "rule of masks 'ones' is unknown"),
        ({"windows": "shifting"}, "kind of windows 'shifting' is unknown; did you mean 'shifted'"),
        ({"windows": "shifted", "sampler": "dpm2"}, "shifted windows take the sampler euler"),
        ({"gates": {"audoi": 1.0}}, "signal in gates 'audoi' is unknown; did you mean 'audio'"),
        ({"guidance": {"face": 2.0}}, "signal 'face' is unknown"),
        ({"expression": []}, "driving video: has no frames"),
        ({"expression": [np.zeros(4)]}, r"driving video, frame 0: an array of \(4,\) float64; give a file's"),
        (
            {"portrait": np.full((64, 64, 3), 200.0)},
            "portrait: float64 values from 200 to 200; give",
        ),
        ({"portrait": np.zeros((64, 64, 3), np.uint8)}, "portrait: no face found"),
        ({"duration": 0.001}, "is less than a frame"),
        ({"steps": 2.5}, "steps 2.5: give a number from 1 to 1000"),
        ({"steps": "2"}, "steps '2': give a number from 1 to 1000"),
        ({"seed": 1.5}, r"seed 1.5: give a number from 0 to 2\^63 - 1"),
        ({"guidance": 2.0}, "guidance: is a float; give it for each signal, {'audio': 2.0}"),
        ({"guidance": {"text": "2"}}, "guidance text='2': give a scale from 0 to 100"),
        ({"gates": 0.5}, "gates: is a float; give it for each signal"),
        ({"regions": "face"}, "regions: is a str; give it for each signal"),
        ({"regions": {"text": 3}}, "regions text: is an int; give a name, or a picture's path"),
        ({"text": ["smiles"]}, "text: is a list of 1; give a script"),
        ({"output_type": None}, "output type 'None' is unknown"),
        ({"latents": np.zeros(3)}, "latents: is a ndarray; give a tensor"),
        ({"callback_on_step_end": "x"}, "callback_on_step_end: give a function"),
        ({"face_index": "0"}, "face_index '0': give a whole number"),
    ],
)
def test_mistakes_in_python_say_what_to_do(pipe, face, options, says):
    with pytest.raises(InputError, match=says):
        pipe(**{"portrait": face, "text": "smiles", "duration": 0.2, **options})


def test_the_package_offers_its_public_names():
    assert set(actalker.__all__) == {"__version__", "Gates", "InputError", "TalkingHeadPipeline"}
    for name in actalker.__all__:
        assert getattr(actalker, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Gate'"):
        _ = actalker.Gate


def test_a_short_sound_with_a_shorter_duration_is_fine(pipe, face):
    """One frame at 60 frames a second is shorter than the shortest sound that is read."""
    out = pipe(portrait=face, audio=Sound(tone(0.5), 16000), fps=60, duration=Fraction(1, 60))
    assert len(out.frames) == 1
    assert out.sound.duration == Fraction(267, 16000)


def test_a_model_that_holds_leaves_the_portrait_where_nothing_moves_it(pipe, made, face, monkeypatch):
    """Speech alone stays inside the face; a frame of closed gates is the portrait, bit for bit."""
    config = replace(pipe.model.config, sampling=replace(pipe.model.config.sampling, hold=True))
    monkeypatch.setattr(pipe.model, "config", config)
    given = dict(portrait=face, audio=made / "speech.wav", duration=0.4)
    request = pipe.prepare(**given, gates={"audio": "0@0-0.2,1@0.2-"})
    picture, mask = request.inputs.portrait.picture, request.inputs.portrait.masks["face"].numpy()
    assert 0 < mask.mean() < 1
    frames = np.stack(list(pipe.stream(request)))
    assert (frames[:4] == picture).all()
    assert (frames[:, mask == 0] == picture[mask == 0]).all()
    assert (frames[6:] != picture).any()
    head = pipe.prepare(**given, expression=made / "mute.mp4", gates={"audio": 0})
    moved = np.stack(list(pipe.stream(head)))
    assert (moved[:, mask == 0] != picture[mask == 0]).any()
