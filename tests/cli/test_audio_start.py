"""`--audio-start`: a clip on speech from the middle of its file, exact to the sample."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.media.sound import Sound, read_sound
from actalker.pipeline.talking_head import TalkingHeadPipeline


def run(made, out, *options: str) -> int:
    base = ["--model", made / "model", "--portrait", made / "face.png", "--out", out, "--steps", "1"]
    return main(["infer", *map(str, base), "--audio", str(made / "speech.wav"), *options])


def test_clip_is_that_of_the_part_alone(made, tmp_path, capsys):
    """0.8 s of speech from 0.3 s on: half a second, 13 frames; the plan and the sidecar tell it."""
    assert run(made, tmp_path / "a.mp4", "--audio-start", "0:0.3") == 0
    assert "sound from 0.3 s of its file on" in capsys.readouterr().out
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["settings"]["audio_start"] == "0:0.3"
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    speech = read_sound(made / "speech.wav")
    alone = pipe.prepare(made / "face.png", audio=speech.cut(Fraction(3, 10), speech.duration), steps=1)
    assert told["frames"] == alone.frames == 13
    truth = np.stack(list(pipe.stream(alone)))
    started = pipe.prepare(made / "face.png", audio=made / "speech.wav", audio_start="0.3", steps=1)
    np.testing.assert_array_equal(np.stack(list(pipe.stream(started))), truth)
    whole = pipe.prepare(made / "face.png", audio=speech, duration=0.52, steps=1)
    assert (np.stack(list(pipe.stream(whole))) != truth).any(), "the sound makes a difference here"
    for audio in (speech, made / "speech.wav"):
        request = pipe.prepare(made / "face.png", audio=audio, audio_start=0.3, duration=0.2, steps=1)
        np.testing.assert_array_equal(request.inputs.sound.samples, speech.samples[:, 4800:8000])
        assert str(request.plan).endswith("sound from 0.3 s of its file on")


def test_same_settings_make_the_clip_again(made, tmp_path):
    assert run(made, tmp_path / "a.mp4", "--audio-start", "0.5", "--quiet") == 0
    settings = json.loads((tmp_path / "a.json").read_text())["settings"]
    assert run(made, tmp_path / "b.mp4", "--audio-start", settings["audio_start"], "--quiet") == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    "start, said",
    [
        ("0.8", "speech.wav: its sound ends at 0.80 s; start before that, not at 0.8 s"),
        ("30", "speech.wav: its sound ends at 0.80 s; start before that, not at 30 s"),
        ("0.79", "only 10 ms of sound after 0.79 s"),
        ("-1", "is outside 0 to 24 hours"),
        ("later", "cannot be read; write seconds"),
    ],
)
def test_wrong_start_is_refused(made, tmp_path, capsys, start, said):
    assert run(made, tmp_path / "a.mp4", f"--audio-start={start}", "--quiet") == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_start_without_speech_is_refused(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    with pytest.raises(InputError, match="audio start 1 s: there is no sound; give audio"):
        pipe.prepare(made / "face.png", text="smiles", duration=1, audio_start=1)
    with pytest.raises(InputError, match="sound: its sound ends at 1.00 s"):
        pipe.prepare(made / "face.png", audio=Sound(np.zeros((1, 16000), np.float32), 16000), audio_start=1)
