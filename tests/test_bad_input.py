"""What a user can get wrong: the command line, the line that stderr must show, exit code 2, nothing left."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shlex
import shutil
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import (
    frameless,
    huge_png_header,
    picture_file,
    sound_file,
    text_as,
    tone,
    truncated,
    video_file,
    zero_byte,
)

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.pipeline.model.folder import INDEX, load_model, save_model


@pytest.fixture(scope="module")
def bad(made, tmp_path_factory) -> Path:
    """A folder of bad files, beside the good ones."""
    folder = tmp_path_factory.mktemp("bad")
    for name in ("face.png", "speech.wav", "driver.mp4", "mute.mp4"):
        shutil.copy(made / name, folder / name)
    for suffix in ("png", "wav", "mp4", "yaml"):
        zero_byte(folder / f"empty.{suffix}")
        text_as(folder / f"text.{suffix}")
    truncated(folder / "cut.png", folder / "face.png")
    truncated(folder / "cut.wav", sound_file(folder / "long.wav", tone(4.0)))
    truncated(folder / "cut.mp4", folder / "driver.mp4")
    picture_file(folder / "dot.png", np.zeros((1, 1, 3), np.uint8))
    picture_file(folder / "wall.png", np.full((256, 256, 3), 128, np.uint8))
    picture_file(folder / "black.png", np.zeros((256, 256), np.uint8))
    picture_file(folder / "wide.png", np.full((64, 256), 255, np.uint8))
    mask = np.zeros((256, 256), np.uint8)
    mask[:4, :4] = 255
    picture_file(folder / "corner.png", mask)
    huge_png_header(folder / "huge.png")
    with wave.open(str(folder / "none.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "none"))
    sound_file(folder / "nan.wav", np.full((1, 8000), np.nan, np.float32), codec="pcm_f32le")
    sound_file(folder / "10ms.wav", tone(0.01))
    frameless(folder / "frameless.mkv")
    video_file(folder / "wall.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 6)
    (folder / "odd.yaml").write_text("base: a\nphases: [{start: 0, end: 1, txt: nods}]\n")
    (folder / "hostile.yaml").write_text("base: !!python/object/apply:os.system ['touch owned']\n")
    (folder / "setting.yaml").write_text("audioo: speech.wav\n")
    (folder / "type.yaml").write_text("steps: [1, 2]\n")
    (folder / "one.yaml").write_text("gate: audio=1\n")
    (folder / "mapping.yaml").write_text("gate: {audio: 0.5, text: 0}\n")
    (folder / "word.yaml").write_text("overwrite: 'false'\n")
    (folder / "none.yaml").write_text("# nothing yet\n")
    (folder / "latin.yaml").write_bytes("text: für\n".encode("latin-1"))
    (folder / "run.yaml").write_text("seed: !!python/object/apply:os.system ['touch owned']\n")
    (folder / "locked").mkdir()
    (folder / "plain.mp4").write_bytes(b"here already")
    return folder


GOOD = "--audio speech.wav"
TABLE = [
    # the portrait
    ("--portrait nowhere.png --audio speech.wav", "nowhere.png: no such file; check the path"),
    ("--portrait empty.png --audio speech.wav", "empty.png: is empty (0 bytes)"),
    ("--portrait text.png --audio speech.wav", "text.png: is not a picture that can be read; save it as PNG"),
    ("--portrait cut.png --audio speech.wav", "cut.png: the picture is damaged"),
    ("--portrait dot.png --audio speech.wav", "dot.png: the picture is 1 x 1 pixels; give 8 x 8 or more"),
    (
        "--portrait huge.png --audio speech.wav",
        "huge.png: the picture has more than 64 megapixels; make it smaller",
    ),
    ("--portrait wall.png --audio speech.wav", "wall.png: no face found ...give a frontal portrait"),
    ("--portrait locked --audio speech.wav", "locked: is a folder; give a picture"),
    (f"{GOOD} --face-index 3", "face.png: --face-index 3, but 1 faces were found; give 0 to 0"),
    (f"{GOOD} --face-index -1", "--face-index -1, but 1"),
    (f"{GOOD} --face-model nowhere.task", "--face-model nowhere.task: no such file"),
    (f"{GOOD} --crop fase", "crop 'fase' is unknown; did you mean 'face'"),
    # the signals
    ("", "no driving signal: give at least one of --audio, --expression and --text"),
    ("--audio nowhere.wav", "nowhere.wav: no such file"),
    ("--audio empty.wav", "empty.wav: is empty (0 bytes)"),
    ("--audio text.wav", "text.wav: ...export it as WAV"),
    ("--audio cut.wav", "cut.wav: is cut off, 2.0 of 4.0 s are there; copy or export it again"),
    ("--audio none.wav", "none.wav: no sound in it; give at least 40 ms"),
    ("--audio nan.wav", "nan.wav: has samples that are not numbers"),
    ("--audio 10ms.wav", "10ms.wav: only 10 ms of sound; give at least 40 ms"),
    ("--audio mute.mp4", "mute.mp4: has no sound track; give a file with sound"),
    ("--audio face.png", "face.png: is a picture, not a sound"),
    ("--expression nowhere.mp4", "nowhere.mp4: no such file"),
    ("--expression empty.mp4", "empty.mp4: is empty"),
    ("--expression text.mp4", "text.mp4: ...export it as MP4"),
    ("--expression cut.mp4", "cut.mp4: cannot be read as video...export it as MP4"),
    ("--expression speech.wav", "speech.wav: holds only sound; give a video of a face"),
    ("--expression frameless.mkv", "frameless.mkv: has no frames; export it again as MP4 (H.264)"),
    ("--expression face.png", "face.png: is a picture, not a video"),
    (
        "--expression wall.mp4 --quiet",
        "wall.mp4: no face found in 6 of its frames; give a video of one face",
    ),
    ("--text ''", "the script is empty; write what is to be seen"),
    ("--text smiles", "the script has no phases, so the clip has no length; give --duration SECONDS"),
    ("--text 'a | 1-0.5: nods'", "script, column 5: time '1-0.5' ends at 0.5 s, not after its start at 1 s"),
    ("--text 'a | soon: nods'", "script, column 5: time 'soon' cannot be read"),
    (f"{GOOD} --text '0,5-1: nods'", "script, column 1: time '0,5-1' cannot be read"),
    (
        "--text 'a | 0-9: nods' --audio speech.wav",
        "script, column 5: ... ends after the clip, which has 0.8 s",
    ),
    ("--text empty.yaml", "empty.yaml: holds no 'base:' and 'phases:'"),
    ("--text text.yaml", "text.yaml: holds no 'base:'"),
    ("--text odd.yaml", "odd.yaml: phases[0]: entry 'txt' is unknown; did you mean 'text'"),
    ("--text hostile.yaml", "hostile.yaml: 'base' must be text"),
    ("--text nowhere.yaml", "nowhere.yaml: cannot be read as text"),
    # gates, regions, guidance
    (f"{GOOD} --gate audoi=1", "signal in gate 'audoi' is unknown; did you mean 'audio'"),
    (f"{GOOD} --gate audio=1.5", "gate 'audio=1.5', column 7: 1.5 is outside [0, 1]; use a guidance scale"),
    (f"{GOOD} --gate audio=-0.1", "-0.1 is outside [0, 1]"),
    (f"{GOOD} --gate audio=nan", "nan is outside [0, 1]"),
    (f"{GOOD} --gate audio=loud", "column 7: cannot read 'loud'; write VALUE or VALUE@START-STOP"),
    (f"{GOOD} --gate audio", "gate 'audio': no '='; write NAME=VALUE"),
    (f"{GOOD} --gate audio=1 --gate audio=0", "audio is given twice"),
    (f"{GOOD} --gate audio=0@2-1", "column 7: time '2-1' ends at 1 s, not after"),
    (f"{GOOD} --region audio=mouht", "region for audio 'mouht' is unknown; did you mean 'mouth'"),
    (f"{GOOD} --region audoi=mouth", "signal 'audoi' is unknown; did you mean 'audio'"),
    (f"{GOOD} --region audio", "--region audio: write NAME=VALUE, for example --region audio=mouth"),
    (f"{GOOD} --region audio=nowhere.png", "nowhere.png: no such file"),
    (f"{GOOD} --region audio=black.png", "black.png: the mask is black everywhere"),
    (f"{GOOD} --region audio=wide.png", "wide.png: the mask is 256 x 64 pixels, the portrait 128 x 128"),
    (
        f"{GOOD} --region audio=corner.png",
        "region audio=corner.png: lies outside the square that is animated",
    ),
    (f"{GOOD} --guidance audio=loud", "--guidance audio=loud: give a number"),
    (f"{GOOD} --guidance audio=-1", "guidance audio=-1: give a scale from 0 to 100"),
    (f"{GOOD} --guidance audio=nan", "guidance audio=nan: give a scale from 0 to 100"),
    (f"{GOOD} --guidance audio=2 --guidance audio=3", "--guidance audio=3: audio is given twice"),
    # numbers
    *[
        (f"{GOOD} --duration {d}", m)
        for d, m in {
            "0": "duration 0 s: is less than a frame; give 0.04 s or more",
            "-1": "time -1 s is outside 0 to 24 hours",
            "nan": "time 'nan' cannot be read",
            "1e9": r"time 1e+09 s is outside 0 to 24 hours",
            "soon": "time 'soon' cannot be read; write seconds",
        }.items()
    ],
    *[
        (f"{GOOD} --fps {f}", m)
        for f, m in {
            "0": "frame rate 0 is outside 1 to 240",
            "-1": "frame rate -1 is outside 1 to 240",
            "abc": "frame rate 'abc' is no number; write for example 25",
            "1000": "frame rate 1000 is outside 1 to 240",
            "nan": "frame rate 'nan' is no number",
            "1/0": "frame rate '1/0' is no number",
        }.items()
    ],
    (f"{GOOD} --seed -1", "seed -1: give a number from 0"),
    (f"{GOOD} --seed 9223372036854775808", "seed 9223372036854775808: give a number from 0"),
    (f"{GOOD} --seed x", "--seed: 'x' cannot be used; give a whole number"),
    (f"{GOOD} --steps 0", "steps 0: give a number from 1 to 1000"),
    (f"{GOOD} --steps 2.5", "--steps: '2.5' cannot be used; give a whole number"),
    # names
    (f"{GOOD} --model tinny", "model 'tinny' is unknown; did you mean 'tiny'"),
    (f"{GOOD} --model nowhere/at/all", "model 'nowhere/at/all': no such folder"),
    (f"{GOOD} --model locked", "locked/model_index.json: missing; give a model folder that holds it"),
    (f"{GOOD} --sampler eula", "sampler 'eula' is unknown; did you mean 'euler'"),
    (f"{GOOD} --device gpu", "device 'gpu' is unknown; ...There are: auto, cpu, cuda, mps"),
    *(
        []
        if torch.cuda.is_available()
        else [(f"{GOOD} --device cuda", "device 'cuda' is not there; use one of: cpu")]
    ),
    (f"{GOOD} --dtype float33", "dtype 'float33' is unknown; did you mean 'float32'"),
    (f"{GOOD} --device cpu --dtype float16", "float16 on the CPU is unusably slow; use float32"),
    # the command line itself
    (f"{GOOD} --audoi x", "unknown option --audoi; did you mean --audio"),
    (f"{GOOD} stray", "'stray' belongs to no option"),
    ("--audio", "--audio: expected one argument"),
    ("--config nowhere.yaml", "--config: File does not exist"),
    ("--config setting.yaml", "--config: unknown setting 'audioo'; did you mean --audio"),
    ("--config type.yaml", "--steps: '[1, 2]' cannot be used; give a whole number"),
    ("--config one.yaml", "--config one.yaml: gate takes a list of texts; write gate: [audio=1]"),
    ("--config mapping.yaml", "gate takes a list of texts; write gate: [audio=0.5, text=0]"),
    ("--config=word.yaml", "--config word.yaml: overwrite: 'false' cannot be used; give true or false"),
    ("--config none.yaml", "--config none.yaml: holds no settings"),
    ("--config latin.yaml", "--config latin.yaml: cannot be read as text (it is not UTF-8)"),
    ("--config run.yaml", "could not determine a constructor"),
    # outputs
    (f"{GOOD} --out plain.mp4", "plain.mp4: exists already; give another name, or allow --overwrite"),
    (f"{GOOD} --out {'n' * 300}.mp4", "cannot be written (File name too long); give another name"),
    ("--audio 'a\nb.wav'", "a b.wav: no such file"),
    *(  # where nobody may write, root included
        [(f"{GOOD} --out /proc/clip.mp4", "/proc/clip.mp4: the folder /proc cannot be written to")]
        if sys.platform == "linux"
        else []
    ),
    (f"{GOOD} --out clip.avi", "--out 'clip.avi': is written as MP4; give a name that ends in .mp4"),
    (f"{GOOD} --out ''", "--out '': is written as MP4"),
    (f"{GOOD} --out nowhere/clip.mp4", "nowhere/clip.mp4: there is no folder ...make it first"),
    (f"{GOOD} --preview look.jpg", "--preview 'look.jpg': is written as PNG"),
    (f"{GOOD} --preview nowhere/look.png", "nowhere/look.png: there is no folder"),
    (
        "--audio driver.mp4 --out driver.mp4 --overwrite",
        "driver.mp4: is read as an input and would be written",
    ),
    (f"{GOOD} --preview face.png --overwrite", "face.png: is read as an input and would be written over"),
    (
        f"{GOOD} --region audio=corner.png --preview ./corner.png --overwrite",
        "corner.png: is read as an input",
    ),
]


def files(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder by its path."""
    return {str(p): hashlib.md5(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("line, says", TABLE, ids=[line or "nothing" for line, _ in TABLE])
def test_one_line_exit_code_2_and_nothing_left(line, says, bad, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(bad)
    monkeypatch.setenv("TMPDIR", str(bad / "locked"))
    before = files(bad)
    words = shlex.split(line)
    for option, value in {
        "--portrait": "face.png",
        "--out": f"{tmp_path}/clip.mp4",
        "--model": str(made / "model"),
    }.items():
        if option not in words:
            words += [option, value]
    assert main(["infer", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [row for row in said.err.splitlines() if row.startswith("error: ")]
    assert len(lines) == 1
    assert said.err.splitlines()[-1] == lines[0]
    assert re.search(".*".join(map(re.escape, says.split("..."))), lines[0])
    assert files(bad) == before
    assert not files(tmp_path)


def test_a_huge_script_is_refused(made, capsys, tmp_path):
    base = ["infer", "--portrait", str(made / "face.png"), "--model", str(made / "model")]
    base += ["--out", str(tmp_path / "o.mp4"), "--text"]
    assert main([*base, "a | " + " | ".join(["0-1: nods"] * 3000)]) == 2
    assert "the script has 3000 phrases; give 200 at most" in capsys.readouterr().err
    assert main([*base, "a" * 1_100_000]) == 2
    assert "characters; at most" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# model folders: what was changed, what must be said


def _edit_json(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _rehash(folder: Path) -> None:
    """Make the index agree with the files again: the error must come from their content."""
    _edit_json(folder / INDEX, lambda index: index["files"].update(_hashes(folder, index["files"])))


def _hashes(folder: Path, names) -> dict[str, str]:
    return {name: "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


DENOISER = "denoiser/diffusion_pytorch_model.safetensors"


def _pickled(folder: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return os.system, ("touch owned",)

    (folder / DENOISER).write_bytes(pickle.dumps(Bomb()))
    _rehash(folder)


def _listed_pickle(folder: Path) -> None:
    (folder / DENOISER).rename(folder / "denoiser/pytorch_model.bin")
    _edit_json(
        folder / INDEX, lambda i: i.update(files={"denoiser/pytorch_model.bin": "sha256:0", **i["files"]})
    )


def _setting(**values):
    def change(folder: Path) -> None:
        _edit_json(folder / "config.json", lambda c: c.update(values))
        _rehash(folder)

    return change


def _flip(folder: Path) -> None:
    path = folder / DENOISER
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _cut(folder: Path) -> None:
    path = folder / "encoders/model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    _rehash(folder)


FOLDERS = [
    (
        lambda f: (f / DENOISER).unlink(),
        "denoiser/diffusion_pytorch_model.safetensors: missing; the model folder",
    ),
    (lambda f: (f / "config.json").unlink(), "config.json: missing"),
    (lambda f: (f / INDEX).unlink(), "model_index.json: missing; give a model folder"),
    (lambda f: (f / INDEX).write_text("{"), "model_index.json: cannot be read"),
    (lambda f: (f / INDEX).write_text("[]"), "model_index.json: holds no settings"),
    (
        lambda f: (f / INDEX).write_text('{"files": {}}'),
        "does not list config.json; it is not a model folder",
    ),
    (_flip, "denoiser/diffusion_pytorch_model.safetensors: changed since the model was saved (hash differs)"),
    (_cut, "encoders/model.safetensors: not a readable safetensors file"),
    (_pickled, "denoiser/diffusion_pytorch_model.safetensors: not a readable safetensors file"),
    (_listed_pickle, "pytorch_model.bin: pickled weights can run programs and are not read"),
    (
        lambda f: _edit_json(f / INDEX, lambda i: i["files"].update({"../face.png": "x"})),
        "names '../face.png', outside",
    ),
    (
        lambda f: _edit_json(f / INDEX, lambda i: i["files"].update({"/etc/passwd": "x"})),
        "names '/etc/passwd', outside",
    ),
    (
        lambda f: _edit_json(f / INDEX, lambda i: i["files"].pop(DENOISER)),
        "denoiser/diffusion_pytorch_model.safetensors: is not listed in model_index.json",
    ),
    (_setting(sice=3), "model setting 'sice' is unknown; did you mean 'size'"),
    (_setting(denoiser="ControlUnet"), "denoiser 'ControlUnet' is unknown; did you mean 'ControlUNet'"),
    (_setting(denoiser_args={"block_out_channels": "wide"}), "config.json: no model can be built from it"),
    (_setting(overlap=6), "window 6, overlap 6"),
    (_setting(window="x"), "model settings: '<' not supported"),
    (_setting(audio={"width": 32}), "weights are missing, unknown or of another shape"),
    (_setting(sampling={"stepps": 3}), "stepps"),
]


@pytest.mark.parametrize("change, says", FOLDERS, ids=[says[:40] for _, says in FOLDERS])
def test_a_model_folder_that_is_not_whole_is_refused(change, says, made, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(made / "model", folder)
    monkeypatch.chdir(tmp_path)
    change(folder)
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_a_saved_model_never_replaces_another_folder(made, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not a model folder"):
        save_model(load_model(made / "model"), tmp_path / "notes")
    assert (tmp_path / "notes" / "precious.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]
