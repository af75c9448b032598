"""`actalker infer` as a user runs it: what it writes, for each mix of inputs and each rate."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import sound_file, tone, video_file
from PIL import Image

from actalker import __version__
from actalker.cli.main import main
from actalker.faces.landmarker import SHIPPED
from actalker.media.sound import read_sound
from actalker.media.video import read_frames
from actalker.provenance import file_hash


class Run:
    """Runs `infer` with the small model into a folder; reads what it wrote."""

    def __init__(self, made: Path, folder: Path) -> None:
        self.made, self.folder, self.out = made, folder, folder / "clip.mp4"

    def __call__(self, *options: str, out: str = "clip.mp4", quiet: bool = True) -> Path:
        base = [
            "--model",
            self.made / "model",
            "--portrait",
            self.made / "face.png",
            "--out",
            self.folder / out,
        ]
        given = [str(self.made / o[1:]) if o.startswith("@") else o for o in options]
        assert main(["infer", *map(str, base), *given, *(["--quiet"] if quiet else [])]) == 0
        return self.folder / out

    def frames(self, *options: str, out: str = "clip.mp4") -> np.ndarray:
        return np.stack(list(read_frames(self(*options, "--overwrite", out=out))))


@pytest.fixture
def infer(made, tmp_path):
    return Run(made, tmp_path)


def times(path: Path) -> list[Fraction]:
    """When each frame is shown, from the file's own clock."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sidecar(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    "options, frames",
    [
        (["--audio", "@speech.wav"], 20),
        (["--expression", "@mute.mp4"], 10),
        (["--text", "a woman | 0-0.5: smiles | 0.2-0.32: nods"], 13),
        (["--audio", "@speech.wav", "--expression", "@mute.mp4"], 20),
        (["--expression", "@mute.mp4", "--text", "smiles"], 10),
        (["--audio", "@speech.wav", "--duration", "0.2"], 5),
        (["--audio", "@speech.wav", "--duration", "1"], 25),
        (["--text", "smiles", "--duration", "0.3s"], 8),
        (["--audio", "@driver.mp4"], 10),
    ],
)
def test_length_is_the_duration_else_the_speech_else_the_video_else_the_script(infer, options, frames):
    path = infer(*options)
    assert len(times(path)) == frames == sidecar(path)["frames"]


@pytest.mark.parametrize(
    "name, rate",
    [("23.976", Fraction(24000, 1001)), ("24", 24), ("29.97", Fraction(30000, 1001)), ("30", 30)],
)
def test_time_stamps_are_exact_and_the_video_ends_within_a_frame_of_the_sound(infer, name, rate):
    path = infer("--audio", "@speech.wav", "--fps", name, "--steps", "1")
    shown = times(path)
    assert shown == [k / Fraction(rate) for k in range(len(shown))]
    assert sidecar(path)["fps"] == str(Fraction(rate))
    end = len(shown) / Fraction(rate)
    assert abs(end - Fraction(4, 5)) <= 1 / Fraction(rate)
    assert abs(read_sound(path).duration - end) < Fraction(1, 1000)


def test_the_sound_of_the_clip_is_the_speech_then_silence(infer, made):
    speech = read_sound(made / "speech.wav").mono(16000)
    heard = read_sound(infer("--audio", "@speech.wav", "--duration", "1", "--steps", "1")).mono(16000)
    assert len(heard) == 16000
    assert np.corrcoef(heard[:12800], speech)[0, 1] > 0.99
    assert np.abs(heard[13000:]).max() < 0.01


def test_a_clip_without_speech_has_no_sound_track(infer):
    with av.open(str(infer("--expression", "@driver.mp4", "--steps", "1"))) as container:
        assert not container.streams.audio


def test_the_driving_video_may_have_any_rate(infer, made, tmp_path):
    pictures = list(read_frames(made / "mute.mp4"))
    at = [Fraction(k, 25) + Fraction(k % 3, 200) for k in range(len(pictures))]
    moved = video_file(tmp_path / "vfr.mp4", pictures, 25, times=at)
    assert len(times(infer("--expression", str(moved), "--steps", "1"))) in (10, 11)
    slow = video_file(tmp_path / "slow.mp4", pictures[:5], 10)
    assert len(times(infer("--expression", str(slow), "--steps", "1", out="b.mp4"))) == 13


def test_a_script_may_last_as_long_as_the_speech_at_every_rate(infer):
    """0.72 s at 24 frames a second are 17 frames, 0.708 s: the phase is still within the clip."""
    path = infer("--audio", "@speech.wav", "--duration", "0.72", "--fps", "24", "--text", "a | 0-0.72: nods")
    assert len(times(path)) == 17


def test_same_seed_same_file_other_seed_other_frames(infer):
    words = ["--audio", "@speech.wav", "--duration", "0.4"]
    first, again = infer(*words, out="a.mp4"), infer(*words, "--seed", "0", out="b.mp4")
    other = infer(*words, "--seed", "1", out="c.mp4")
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_shifted_windows_make_another_clip_and_tell_their_scores(infer):
    words = ["--audio", "@speech.wav", "--duration", "0.8"]
    plain = infer.frames(*words)
    first, again = infer.frames(*words, "--windows", "shifted"), infer.frames(*words, "--windows", "shifted")
    assert (first == again).all() and first.shape == plain.shape and (first != plain).any()
    told = sidecar(infer.folder / "clip.mp4")
    assert told["windows"] == "shifted" and set(told["scores"]) == {"seam", "colour_drift", "identity_drift"}


def test_frames_between_keep_the_sound_in_time(infer):
    path = infer("--audio", "@speech.wav", "--duration", "0.48", "--interpolate", "2", "--steps", "1")
    told = sidecar(path)
    assert (told["fps"], told["frames"], told["interpolate"]) == ("25", 12, 2)
    assert times(path) == [Fraction(k, 25) for k in range(12)]
    assert abs(read_sound(path).duration - Fraction(12, 25)) < Fraction(1, 25)


def test_each_setting_changes_the_frames(infer):
    words = ["--audio", "@speech.wav", "--duration", "0.2"]
    assert (
        infer.frames(*words, "--steps", "3", "--sampler", "dpm2") != infer.frames(*words, "--steps", "3")
    ).any()
    plain = infer.frames(*words)
    for options in (
        ["--steps", "3"],
        ["--guidance", "audio=3"],
        ["--crop", "none"],
        ["--gate", "audio=0.5"],
        ["--region", "audio=frame"],
        ["--dtype", "bfloat16"],
    ):
        assert (infer.frames(*words, *options) != plain).any(), options
    assert (infer.frames(*words, "--guidance", "audio=1") == plain).all()


@pytest.mark.parametrize("closed, kept", [("audio", "expression"), ("expression", "text"), ("text", "audio")])
def test_a_closed_gate_is_bitwise_the_clip_without_the_signal(infer, closed, kept):
    given = {
        "audio": ["--audio", "@speech.wav"],
        "expression": ["--expression", "@mute.mp4"],
        "text": ["--text", "a | 0-0.2: smiles"],
    }
    both = infer.frames(*given[closed], *given[kept], "--gate", f"{closed}=0", "--duration", "0.4")
    alone = infer.frames(*given[kept], "--duration", "0.4")
    opened = infer.frames(*given[closed], *given[kept], "--duration", "0.4")
    assert (both == alone).all()
    assert (opened != alone).any()


def test_a_gate_that_opens_after_the_clip_is_closed(infer):
    """Also for the other signal's region, which is the whole face when it acts alone."""
    late = infer(
        "--audio", "@speech.wav", "--text", "smiles", "--duration", "0.4", "--gate", "text=0@0-2,1@2-"
    )
    alone = infer("--audio", "@speech.wav", "--duration", "0.4", out="alone.mp4")
    assert (np.stack(list(read_frames(late))) == np.stack(list(read_frames(alone)))).all()


def test_a_gate_schedule_leaves_earlier_windows_as_they_are(infer):
    """Windows of 6 frames start every 4: the gate that closes at frame 16 first acts in frames 12 to 18."""
    given = ["--audio", "@speech.wav", "--text", "smiles"]
    opened = infer.frames(*given)
    changed = infer.frames(*given, "--gate", "audio=1@0-0.64,0@0.64-")
    different = (opened != changed).any(axis=(1, 2, 3))
    assert not different[:12].any()
    assert different[16:].all()


def test_a_mask_picture_is_a_region(infer, tmp_path):
    mask = np.zeros((256, 256), np.uint8)
    mask[100:180, 60:200] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    path = infer("--audio", "@speech.wav", "--duration", "0.2", "--region", f"audio={tmp_path / 'mask.png'}")
    told = sidecar(path)
    assert told["regions"] == {"audio": str(tmp_path / "mask.png")}
    assert told["inputs"]["region audio"]["hash"] == file_hash(tmp_path / "mask.png")


def test_the_sidecar_holds_all_that_the_video_depends_on(infer, made):
    path = infer(
        *[
            "--audio",
            "@speech.wav",
            "--expression",
            "@mute.mp4",
            "--text",
            "a | 0-0.2: smiles",
            "--seed",
            "7",
        ],
        *[
            "--gate",
            "audio=0.5",
            "--gate",
            "text=0@0-0.1,1@0.1-",
            "--guidance",
            "text=2",
            "--region",
            "audio=face",
        ],
        *["--preview", str(infer.folder / "look.png"), "--fps", "30000/1001", "--steps", "1"],
    )
    told = sidecar(path)
    assert (told["seed"], told["steps"], told["sampler"], told["fps"]) == (7, 1, "euler", "30000/1001")
    assert told["gates"] == {"audio": 0.5, "expression": 1.0, "text": [[0.0, 0.1, 0.0], [0.1, None, 1.0]]}
    assert told["regions"] == {"audio": "face", "expression": "upper", "text": "face"}
    assert told["guidance"] == {"text": 2.0} and told["windows"] == "overlapping"
    assert told["script"] == "a | 0-0.2: smiles"
    assert (told["device"], told["dtype"]) == ("cpu", "float32")
    names = {"portrait": "face.png", "audio": "speech.wav", "expression": "mute.mp4"}
    files = {key: made / name for key, name in names.items()} | {"face_model": SHIPPED}
    assert told["inputs"] == {
        key: {"file": str(path), "hash": file_hash(path)} for key, path in files.items()
    }
    assert told["model"]["files"]["config.json"] == file_hash(made / "model" / "config.json")
    assert {"actalker", "torch", "diffusers", "av"} <= set(told["versions"])
    options = {
        "audio",
        "audio_start",
        "crop",
        "device",
        "dtype",
        "duration",
        "expression",
        "expression_start",
        "face_index",
        "face_model",
        "fps",
    }
    options |= {
        "compile",
        "gate",
        "guidance",
        "memory",
        "reuse",
        "liveliness",
        "steady",
        "interpolate",
        "interpolator",
        "mark",
        "masks",
        "model",
        "motion_out",
        "out",
        "portrait",
        "preview",
        "region",
        "sampler",
        "seed",
        "size",
        "steps",
        "view",
        "windows",
    }
    assert set(told["settings"]) == options | {"text"}
    preview = np.asarray(Image.open(infer.folder / "look.png"))
    assert preview.shape[1] > 800 and preview.std() > 20


def test_a_config_file_says_what_the_options_say(infer, made, tmp_path):
    (tmp_path / "all.yaml").write_text(
        f"portrait: {made / 'face.png'}\nmodel: {made / 'model'}\naudio: {made / 'speech.wav'}\n"
        f"text: 'a | 0-0.2: smiles'\nout: {tmp_path / 'yaml.mp4'}\ngate: [audio=0.5, text=0.25]\n"
        "guidance: [audio=2]\nregion: [audio=face]\nseed: 3\nfps: 29.97\nduration: 0.4\nsteps: 1\n"
        "sampler: dpm2\ncrop: none\ndevice: cpu\ndtype: float32\nquiet: true\n"
    )
    assert main(["infer", "--config", str(tmp_path / "all.yaml")]) == 0
    words = [
        "--audio",
        "@speech.wav",
        "--text",
        "a | 0-0.2: smiles",
        "--gate",
        "audio=0.5",
        "--gate",
        "text=0.25",
    ]
    words += ["--guidance", "audio=2", "--region", "audio=face", "--seed", "3", "--fps", "29.97"]
    words += ["--duration", "0.4", "--steps", "1", "--sampler", "dpm2", "--crop", "none"]
    assert infer(*words).read_bytes() == (tmp_path / "yaml.mp4").read_bytes()
    again = ["--config", str(tmp_path / "all.yaml"), "--seed", "4"]
    assert main(["infer", *again, "--out", str(tmp_path / "over.mp4")]) == 0
    assert sidecar(tmp_path / "over.mp4")["seed"] == 4


def test_a_printed_configuration_is_read_again(infer, tmp_path, capsys):
    words = ["infer", "--portrait", "a.png", "--out", "a.mp4", "--gate", "audio=0.5"]
    assert main([*words, "--print_config"]) == 0
    (tmp_path / "all.yaml").write_text(capsys.readouterr().out)
    assert main(["infer", "--config", str(tmp_path / "all.yaml"), "--print_config"]) == 0
    assert capsys.readouterr().out == (tmp_path / "all.yaml").read_text()
    assert main(["infer", "--config", "x" * 5000]) == 2


def test_another_face_of_several_is_another_clip(infer, tmp_path):
    from skimage.data import astronaut

    face = Image.fromarray(astronaut()[40:240, 120:320])
    both = np.concatenate([np.pad(face.resize((160, 160)), ((0, 40), (0, 0), (0, 0)), mode="edge"), face], 1)
    Image.fromarray(both).save(tmp_path / "both.png")
    words = ["--portrait", str(tmp_path / "both.png"), "--audio", "@speech.wav", "--duration", "0.2"]
    largest, first, second = (
        infer(*words, *more, out=f"{k}.mp4")
        for k, more in enumerate(([], ["--face-index", "0"], ["--face-index", "1"]))
    )
    boxes = [sidecar(path)["face_box"] for path in (largest, first, second)]
    assert boxes[0] == boxes[1] and boxes[1][0] > 160 > boxes[2][2]
    assert largest.read_bytes() == first.read_bytes() != second.read_bytes()


def test_the_landmarkers_model_makes_soft_regions_and_is_told(infer, shared):
    portrait = str(shared / "samples" / "portraits" / "generated_woman.png")
    words = ["--portrait", portrait, "--audio", "@speech.wav", "--duration", "0.2"]
    soft = infer(*words, "--region", "audio=mouth-soft", out="soft.mp4")
    assert soft.read_bytes() != infer(*words).read_bytes()
    told = sidecar(soft)
    assert told["face_finder"] == "landmarker" and told["inputs"]["face_model"]["file"] == str(SHIPPED)


def test_the_plan_is_printed_before_the_work_and_the_path_last(infer, capsys):
    path = infer("--audio", "@speech.wav", "--guidance", "audio=2", quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "plan: 20 frames (0.80 s at 25 fps), 5 windows, 2 steps, 20 denoiser passes, about "
    )
    box, (x, y, side) = sidecar(path)["face_box"], sidecar(path)["square"]
    assert x < box[0] < box[2] < x + side and y < box[1] < box[3] < y + side
    seen = f"{round(side)} x {round(side)} pixels from ({round(x)}, {round(y)}) of 128 x 128"
    assert lines[1].startswith(f"face: found by the landmarker; the model sees {seen}")
    assert lines[2:] == [str(path)]


def test_quiet_prints_the_path_alone(infer, capsys):
    path = infer("--audio", "@speech.wav", "--duration", "0.1")
    assert capsys.readouterr().out.splitlines() == [str(path)]


def test_overwrite_replaces_all_files_of_a_run(infer):
    words = ["--audio", "@speech.wav", "--duration", "0.1", "--preview", str(infer.folder / "look.png")]
    path = infer(*words)
    before = path.read_bytes()
    infer(*words, "--overwrite", "--seed", "5")
    assert path.read_bytes() != before
    assert sidecar(path)["seed"] == 5
    assert sorted(p.name for p in infer.folder.iterdir()) == ["clip.json", "clip.mp4", "look.png"]


def test_silence_and_other_sound_formats_are_fine(infer, tmp_path):
    silent = sound_file(tmp_path / "silent.wav", np.zeros((1, 8000), np.float32))
    assert len(times(infer("--audio", str(silent), out="a.mp4"))) == 13
    surround = sound_file(tmp_path / "six.flac", tone(0.3, 48000, channels=6), 48000, "flac")
    path = infer("--audio", str(surround), out="b.mp4")
    assert len(times(path)) == 8
    assert read_sound(path).samples.shape[0] == 2


def test_a_grey_picture_of_16_bit_is_fine(infer, made, tmp_path):
    grey = np.asarray(Image.open(made / "face.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    frames = infer.frames("--text", "smiles", "--duration", "0.1", "--portrait", str(tmp_path / "deep.png"))
    assert frames.std() > 20


def test_a_face_beside_the_middle_square_needs_the_face_crop(infer, made, tmp_path, capsys):
    wide = Image.new("RGB", (500, 128), (120, 120, 120))
    wide.paste(Image.open(made / "face.png"), (0, 0))
    wide.save(tmp_path / "wide.png")
    given = ["--portrait", str(tmp_path / "wide.png"), "--text", "smiles", "--duration", "0.1"]
    assert infer.frames(*given).std() > 20
    base = [
        "infer",
        *given,
        "--model",
        str(made / "model"),
        "--out",
        str(tmp_path / "o.mp4"),
        "--crop",
        "none",
    ]
    assert main(base) == 2
    assert "region text=face: lies outside the square that is animated; " in capsys.readouterr().err


def test_a_clip_says_that_it_is_generated_and_by_what(infer):
    plain = infer("--text", "smiles", "--duration", "0.1")
    with av.open(str(plain)) as container:
        said = container.metadata["comment"]
    assert said == f"AI-generated by actalker {__version__} (model model); not a recording"
    marked = infer("--text", "smiles", "--duration", "0.1", "--mark", out="marked.mp4")
    one, other = (np.stack(list(read_frames(path))).astype(int) for path in (plain, marked))
    apart = np.abs(one - other).max((0, 3))
    assert apart[-12:].max() > 60 and apart[:32].max() < 12  # of 64 rows
    assert sidecar(marked)["settings"]["mark"] is True


def test_options_of_heads_are_refused_by_models_of_pictures(infer, made, capsys):
    base = ["infer", "--model", made / "model", "--portrait", made / "face.png", "--text", "smiles"]
    base += ["--duration", "0.1", "--out", infer.out]
    for options, words in (
        (["--view", "photo"], "view photo: this model draws the face alone, 64x64 pixels; leave --view out"),
        (["--size", "512"], "size 512: this model draws 64x64 pixels; leave --size out"),
        (["--size", "own"], "size own: this model draws 64x64 pixels; leave --size out"),
        (["--size", "big"], "size big: give 64 to 8192 pixels for the longer side, or own"),
        (["--view", "faec"], "view 'faec' is unknown; did you mean 'face'?"),
        (["--motion-out", infer.folder / "a.csv"], "makes pictures and knows no motion"),
        (["--motion-out", infer.folder / "a.txt"], "is written as CSV; give a name that ends in .csv"),
    ):
        assert main([*map(str, base), *map(str, options)]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    assert list(infer.folder.iterdir()) == []
