"""The release's files to a model folder, and that folder through the pipeline; at toy size."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import write_full_release, write_release
from safetensors import safe_open
from skimage.data import astronaut

from actalker.cli.main import main
from actalker.control.conditions import Conditions
from actalker.control.pass_ import Pass
from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.pipeline.model.folder import load_model
from actalker.pipeline.talking_head import TalkingHeadPipeline


@pytest.fixture(scope="module")
def whisper5(tmp_path_factory) -> str:
    """A tiny random Whisper with whisper-tiny's four layers."""
    import transformers as t

    path = tmp_path_factory.mktemp("whisper5")
    small = {"encoder_attention_heads": 1, "decoder_attention_heads": 1, "encoder_ffn_dim": 16}
    config = t.WhisperConfig(
        d_model=16, encoder_layers=4, decoder_layers=1, decoder_ffn_dim=16, vocab_size=60, num_mel_bins=8,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None,
        **small,
    )  # fmt: skip
    t.WhisperModel(config).save_pretrained(path)
    t.WhisperFeatureExtractor(feature_size=8).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("released")
    return root, write_release(root)


def words(root, out, *more: str) -> list[str]:
    given = ["import-released", root / "release", "--svd", root / "svd", "--out", out, "--size", 64, *more]
    return [str(word) for word in given]


@pytest.fixture(scope="module")
def imported(release, whisper5, tmp_path_factory):
    root, _ = release
    out = tmp_path_factory.mktemp("models") / "released"
    files = ("--motion", str(root / "motion.ckpt"), "--arcface", str(root / "arcface.pth"))
    assert main(words(root, out, *files, "--whisper", whisper5)) == 0
    return out


@pytest.fixture(scope="module")
def pipe(imported):
    pipe = TalkingHeadPipeline.from_pretrained(imported, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_every_weight_is_at_its_place(release, imported):
    _, made = release
    model = load_model(imported)
    for part, of in (
        (model.network.guider, "pose_guider"),
        (model.encoders["audio"].proj, "audio_linear"),
        (model.encoders["expression"].proj, "vasa_linear"),
        (model.encoders["expression"].expression, "expression"),
        (model.encoders["expression"].pose, "pose"),
        (model.encoders["identity"].net, "arcface"),
        (model.encoders["identity"].proj, "id_proj_model"),
        (model.codec, "vae"),
    ):
        own = part.state_dict()
        assert own.keys() == made[of].state_dict().keys()
        assert all(torch.equal(own[key], value) for key, value in made[of].state_dict().items()), of
    network = model.network.state_dict()
    assert all(torch.equal(network[key], value) for key, value in made["unet"].state_dict().items())
    config = model.config
    assert (config.window, config.micro, config.sampling.steps) == (4, (12.5, 12.0, 20.0), 25)


def speech(seed: int = 0) -> Sound:
    return Sound(np.random.default_rng(seed).normal(size=(1, 8000)).astype(np.float32) * 0.1, 16000)


def driver(seed: int = 0) -> list[np.ndarray]:
    """A face that is lit in another way in every frame."""
    light = np.random.default_rng(seed).uniform(0.7, 1.0, 6)
    return [(astronaut() * value).astype(np.uint8) for value in light]


def test_audio_alone_motion_alone_and_both_make_a_video(pipe):
    """12.5 frames a second; what drives the clip changes it."""
    given = {"portrait": astronaut(), "steps": 2, "fps": "12.5"}
    modes = {
        "audio": {"audio": speech()},
        "motion": {"expression": driver()},
        "both": {"audio": speech(), "expression": driver()},
    }
    clips = {name: pipe(**given, **signals).frames for name, signals in modes.items()}
    assert all(frames.shape == (6, 64, 64, 3) for frames in clips.values())
    again = pipe(**given, **modes["both"]).frames
    assert (again == clips["both"]).all()
    for one, other in (("audio", "motion"), ("audio", "both"), ("motion", "both")):
        assert (clips[one] != clips[other]).any()
    with pytest.raises(InputError, match="--text: this model takes none; it takes audio, expression"):
        pipe.prepare(astronaut(), text="smiles", duration="1")


def test_a_frames_speech_is_four_steps_before_it_and_six_from_it_on(pipe):
    """At 12.5 frames a second frame i takes steps 4i - 4 to 4i + 5 of 20 ms."""
    mono = speech().samples[0]
    source = pipe.model.encoders["audio"].source
    states = source.reader(mono, Fraction(25, 2))(6)
    every = source.reader(mono, Fraction(50))(30)  # a window for every step
    assert states.shape == (6, 10, 5, 16) and not states[0, :4].any() and states[0, 4:].any()
    for i in range(1, 6):
        assert np.array_equal(states[i], every[4 * i])


def test_gates_and_guidance_as_the_release_has_them(pipe):
    """Passes of nested guidance: nobody, who, who and speech, all; dropped are projections of zeros."""
    request = pipe.prepare(
        astronaut(), audio=speech(), expression=driver(), steps=2, fps="12.5", duration="0.32"
    )
    assert request.sampling.guidance == {"identity": 2.0, "audio": 7.5, "expression": 3.0}
    assert request.plan.passes == 4 * 2 * request.plan.windows
    told: Conditions = request.inputs.conditions(0, 4)
    nobody = told.closed(["identity", "audio", "expression"])
    assert not nobody.identity.any() and nobody.gates["audio"].all()
    audio, motion = pipe.model.encoders["audio"], pipe.model.encoders["expression"]
    zeros = audio.proj(torch.zeros(1, 4, 10, 5, 16))
    torch.testing.assert_close(nobody.tokens["audio"], zeros)
    expected = torch.cat([motion.proj(torch.zeros(16)), torch.zeros(6)])
    torch.testing.assert_close(nobody.tokens["expression"][0, 0, 0], expected)
    scalars = {name: float(value) for name, value in told.scalars.items()}
    assert scalars == {"fps": 12.5, "head_motion": 12.0, "expression_motion": 20.0}


@torch.no_grad()
def test_conditions_reach_the_network_as_the_release_gives_them(pipe):
    """`forward` on conditions against `denoise` on the release's own inputs: zeros where a gate is closed."""
    request = pipe.prepare(astronaut(), audio=speech(), expression=driver(), fps="12.5", duration="0.32")
    told, network = request.inputs.conditions(0, 4), pipe.model.network
    x = torch.randn(1, 4, 4, 8, 8)
    for shut in ([], ["audio"], ["expression"]):
        gates = {s: g * (s not in shut) for s, g in told.gates.items()}
        one = replace(told, gates=gates)
        joined = torch.cat([x, told.reference[:, None].expand(-1, 4, -1, -1, -1) / 0.18215], dim=2)
        zeros = replace(
            told,
            tokens={s: t * (s not in shut) for s, t in told.tokens.items()},
            regions={s: r * (s not in shut) for s, r in told.regions.items()},
            gates={s: torch.ones(1, 4) for s in told.gates},
        )
        expected = network.denoise(joined, torch.tensor([0.3]), Pass(zeros))
        torch.testing.assert_close(network(x, torch.tensor([0.3]), one).output, expected)


def test_without_its_networks_the_model_says_what_it_takes(release, whisper5, tmp_path, capsys):
    root, _ = release
    assert main(words(root, tmp_path / "model", "--whisper", whisper5)) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told[:2]] == ["note", "note"] and "--motion" in told[0]
    pipe = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(InputError, match="--expression: this model takes none; it takes audio"):
        pipe.prepare(astronaut(), expression=driver())
    given = {"audio": speech(), "fps": "12.5", "duration": "0.16", "steps": 1}
    assert pipe(astronaut(), **given).frames.shape == (2, 64, 64, 3)


class Program:
    """What a hostile file would run."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def changed(path, change) -> None:
    weights = torch.load(path, weights_only=True)
    change(weights)
    torch.save(weights, path)


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("unet", lambda w: w.pop("conv_in.bias"), "unet-136.pth: conv_in.bias is missing"),
        ("unet", lambda w: w.update(extra=torch.zeros(1)), "extra has no place"),
        (
            "unet",
            lambda w: w.update({"conv_in.bias": torch.zeros(3)}),
            r"bias is \(3,\), not \(32,\)",
        ),
        ("adapter_module", lambda w: w.pop("0.to_k_ip.0.weight"), "processor.to_k_ip.0.weight is missing"),
        ("adapter_module", lambda w: w.update({"99.x": torch.zeros(1)}), "99.x has no place"),
        ("audio_linear", lambda w: w.pop("norm.weight"), "norm.weight is missing"),
        ("pose_guider", lambda w: w.clear(), "has no conv_in and blocks"),
    ],
)
def test_what_is_missing_or_too_much_is_named_and_nothing_is_left(tmp_path, name, change, says):
    from actalker.released.importing import import_released

    write_release(tmp_path)
    changed(tmp_path / f"release/{name}-136.pth", change)
    with pytest.raises(InputError, match=says):
        import_released(tmp_path / "release", tmp_path / "svd", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()


def test_files_that_hold_programs_and_broken_ones_are_refused(release, tmp_path):
    from actalker.released.importing import import_released

    root, _ = release
    shutil.copytree(root, tmp_path / "copy")
    file = tmp_path / "copy/release/vasa_linear-136.pth"
    program = pickle.dumps(Program(tmp_path / "ran"))
    for content in (program, b"", b"\x80\x04garbage", b"PK\x03\x04" + b"x" * 90):
        file.write_bytes(content)
        with pytest.raises(InputError, match="vasa_linear-136.pth"):
            import_released(tmp_path / "copy/release", tmp_path / "copy/svd", tmp_path / "out")
    torch.save({"proj1.weight": Program(tmp_path / "ran")}, file)
    with pytest.raises(InputError, match="which is not run"):
        import_released(tmp_path / "copy/release", tmp_path / "copy/svd", tmp_path / "out")
    file.unlink()
    with pytest.raises(InputError, match="vasa_linear-136.pth missing"):
        import_released(tmp_path / "copy/release", tmp_path / "copy/svd", tmp_path / "out")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


MEASURED = """
import sys
from pathlib import Path
from actalker.cli.main import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print("peak", int(status.split("VmHWM:")[1].split()[0]) * 1024)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_the_full_size_is_imported_within_8_gb(tmp_path):
    """SVD-XT's size, 1.9 billion weights in half precision, random; made on disk."""
    if shutil.disk_usage(tmp_path).free < 12 * 2**30:
        pytest.skip("needs 12 GB of disk")
    write_full_release(tmp_path)
    command = [sys.executable, "-c", MEASURED, *words(tmp_path, tmp_path / "out")[:-2]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-1500:]
    peak = int(done.stdout.split("peak ")[1].split()[0])
    shutil.rmtree(tmp_path / "release")
    with safe_open(tmp_path / "out/denoiser/diffusion_pytorch_model.safetensors", "pt") as file:
        assert file.get_slice("conv_in.weight").get_dtype() == "F16" and len(list(file.keys())) > 1500
    shutil.rmtree(tmp_path / "out")
    assert peak < 8 * 2**30, peak
