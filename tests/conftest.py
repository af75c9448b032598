"""Rules of every test (deterministic torch, one thread, no network), and fixtures that many share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not os.environ.get("CUDA_VISIBLE_DEVICES") and not Path("/dev/nvidia0").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton

import pytest
import torch

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _house_rules() -> Iterator[None]:
    """Seeds torch, makes it deterministic, and asserts that the test leaves the default dtype alone."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    assert torch.get_default_dtype() == torch.float32


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample portraits, speech and videos; tests that need it are skipped without it."""
    folder = Path(os.environ.get("ACTALKER_SHARED", ROOT.parent / "shared"))
    if not (folder / "samples").is_dir():
        pytest.skip(f"no sample folder at {folder}; set ACTALKER_SHARED to run this test")
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model and the inputs of a short clip; see `pipeline_files.write_inputs`."""
    from pipeline_files import write_inputs

    return write_inputs(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def drawn_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a head whose motion is known; see `drawn_head.asked`."""
    from drawn_head import draw_video

    return draw_video(tmp_path_factory.mktemp("drawn") / "drawn.mp4")


@pytest.fixture(scope="session")
def followed(drawn_head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of the drawn head, prepared with its motion, in `out`.

    They are the video as drawn, backwards with a script, and its first 20 frames without sound.
    """
    from prepare_files import head_clips, run_prepare

    root = tmp_path_factory.mktemp("followed")
    head_clips(root / "source", drawn_head)
    run_prepare(
        root / "source", "--out", root / "out", "--workers", 2, "--probe.sound", "optional", "--motion"
    )
    return root


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six prepared clips, one without sound, two with captions, as shards `encoded` and `decoded`."""
    from prepare_files import clips, face_clip, run_prepare

    root = tmp_path_factory.mktemp("prepared")
    source = clips(root / "source", 5)
    (source / "clip 0.txt").write_text("a man smiles")
    (source / "clip 1.json").write_text(
        '{"base": "a man", "phases": [{"text": "nods, then smiles", "start": 0.2, "end": 0.6}]}'
    )
    face_clip(source / "quiet.mp4", sound=False)
    words = (source, "--workers", 2, "--probe.sound", "optional", "--clips-per-shard", 4)
    run_prepare(*words, "--out", root / "encoded")
    run_prepare(*words, "--out", root / "decoded", "--pixels.size", 96)
    return root


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random Whisper, as transformers saves it: 2 states of 16 channels."""
    import transformers as t

    path = tmp_path_factory.mktemp("whisper")
    config = t.WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        vocab_size=60,
        num_mel_bins=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )
    t.WhisperModel(config).save_pretrained(path)
    t.WhisperFeatureExtractor(feature_size=8).save_pretrained(path)
    return str(path)
