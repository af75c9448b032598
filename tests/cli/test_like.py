"""`actalker infer --like clip.json`: the same clip again, and the same but for one thing."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actalker import __version__
from actalker.cli.infer import parser, run
from actalker.cli.main import main
from actalker.cli.run_options import STARTS, run_options
from actalker.errors import InputError
from actalker.media.video import read_frames
from actalker.pipeline.options import RunOptions


@pytest.fixture
def first(made, tmp_path) -> Path:
    """A clip with many settings; its inputs are copies that a test may change."""
    for name in ("face.png", "speech.wav", "mute.mp4"):
        shutil.copy(made / name, tmp_path / name)
    words = f"--model {made}/model --portrait {tmp_path}/face.png --audio {tmp_path}/speech.wav"
    words += f" --expression {tmp_path}/mute.mp4 --duration 0.24 --seed 5 --steps 3 --audio-start 0.1"
    words += " --gate audio=0.7 expression=0@0-0.1 --guidance audio=2 --region expression=face --crop none"
    assert main(["infer", *words.split(), "--out", str(tmp_path / "a.mp4"), "--quiet"]) == 0
    return tmp_path / "a.mp4"


def again(first: Path, *words: str, out: str = "b.mp4") -> Path:
    path = first.with_name(out)
    line = ["infer", "--like", str(first.with_suffix(".json")), "--out", str(path), "--quiet"]
    assert main([*line, *words]) == 0
    return path


def frames(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


def record(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def test_the_same_clip_is_made_again_bit_for_bit(first):
    other = again(first)
    assert other.read_bytes() == first.read_bytes()
    one, two = record(first), record(other)
    for each in (one, two):
        del each["settings"]["out"]
    assert one == two


def test_one_thing_is_changed_and_the_rest_stays(first):
    other = again(first, "--gate", "audio=0.5")
    one, two = record(first), record(other)
    assert two["gates"] == {**one["gates"], "audio": 0.5}
    assert two["settings"]["gate"] == ["audio=0.5", "expression=0@0-0.1"]
    assert two["options"] == {**one["options"], "gates": {**one["options"]["gates"], "audio": "0.5"}}
    apart = ("gates", "options", "settings", "scores")
    assert {k: v for k, v in two.items() if k not in apart} == {
        k: v for k, v in one.items() if k not in apart
    }
    assert (frames(other) != frames(first)).any()
    assert record(again(first, "--seed", "6", out="c.mp4"))["seed"] == 6


def refused(first: Path, *words: str) -> str:
    line = ["infer", "--like", str(first.with_suffix(".json")), "--out", str(first.with_name("z.mp4"))]
    with pytest.raises(InputError) as error:
        run([*line[1:], *words])
    assert not first.with_name("z.mp4").exists()
    return str(error.value)


def test_what_is_not_what_it_was_is_refused(first, made):
    face, speech = first.with_name("face.png"), first.with_name("speech.wav")
    speech.write_bytes(speech.read_bytes()[:-2000])
    assert "speech.wav is not what it was when the clip was made; give --audio FILE" in refused(first)
    again(first, "--audio", str(made / "speech.wav"))  # another one is given
    shutil.copy(made / "speech.wav", speech)
    face.unlink()
    assert "face.png" in refused(first)
    shutil.copy(made / "face.png", face)
    side = first.with_suffix(".json")
    kept = side.read_text()
    side.write_text(kept.replace('"sampler": null', '"sampler": null, "colour": "blue"'))
    assert "colour is no option any more" in refused(first)
    side.write_text("[1]")
    assert "is no sidecar" in refused(first)
    changed = json.loads(kept)
    changed["model"]["files"]["config.json"] = "0"
    side.write_text(json.dumps(changed))
    assert "the clip was made by another" in refused(first)


def test_a_mask_counts_unless_another_region_is_given(first, tmp_path):
    mask = first.with_name("mask.png")
    Image.new("L", (128, 128), 255).save(mask)
    masked = again(first, "--region", f"audio={mask}", out="m.mp4")
    mask.unlink()
    assert "mask.png is not there any more" in refused(masked)
    again(masked, "--region", "audio=mouth", out="n.mp4")


def test_another_version_is_told_and_config_files_cannot_ask(first, caplog):
    side = first.with_suffix(".json")
    side.write_text(side.read_text().replace(f'"actalker": "{__version__}"', '"actalker": "0.0.1"'))
    again(first)
    assert f"was made by actalker 0.0.1, this is {__version__}" in caplog.text
    config = first.with_name("clip.yaml")
    config.write_text(f"like: {side}\nportrait: face.png\naudio: speech.wav\n")
    with pytest.raises(InputError, match="give it on the command line, in full"):
        run(["--config", str(config), "--out", str(first.with_name("z.mp4"))])


def test_a_command_line_without_options_is_the_default_description():
    """Options of the command line and fields of the dataclass are one thing."""
    settings = parser().parse_args(["--portrait", "a.png", "--audio", "b.wav", "--out", "c.mp4"]).as_dict()
    options, usual = run_options(settings), RunOptions()
    for each in fields(RunOptions):
        if each.name not in (STARTS, "gates"):
            assert getattr(options, each.name) in (getattr(usual, each.name), {}), each.name
    assert set(options.opening.pieces.values()) == set(usual.opening.pieces.values()) or all(
        pieces[0].value == 1 for pieces in options.opening.pieces.values()
    )
    words = {word for action in parser()._actions for word in action.option_strings}
    named = {each.metadata.get("option", each.name) for each in fields(RunOptions)} - {STARTS}
    assert {f"--{name.replace('_', '-')}" for name in named} <= words
    assert all(a.help for a in parser()._actions)
