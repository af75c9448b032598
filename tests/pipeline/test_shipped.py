"""The model that ships: what its folder holds, and that its clips have no seams and obey their gates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actalker.control.gates import Gates
from actalker.data.puppets.clip import PuppetConfig, puppet_clip, render_target
from actalker.evaluation.puppets import puppet_inputs, video
from actalker.pipeline.find import find_model
from actalker.pipeline.folder import check_files, load_model
from actalker.pipeline.generate import generate
from actalker.signals.signal import SIGNALS

SEED = 2_000_000  # of puppets that no training has seen
FRAMES = 34


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.fixture(scope="module")
def clips(tiny):
    """Three puppets: their inputs, their video with all gates open, and what it should be."""
    made = []
    for index in range(3):
        clip = puppet_clip(SEED, index, PuppetConfig(frames=FRAMES, size=tiny.config.size, lead=False))
        inputs = puppet_inputs(tiny, clip)
        truth = render_target(clip, dict.fromkeys(SIGNALS, 1.0))
        made.append((inputs, video(inputs, {}, FRAMES, index, None), truth))
    return made


def test_its_folder_is_small_and_whole(tiny):
    folder = find_model("tiny")
    assert check_files(folder)
    assert sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) <= 40 * 2**20
    assert (Path(folder) / "README.md").is_file()
    config = tiny.config
    assert config.size >= 128 and config.fps == 25 and config.window >= 14


def jumps(videos: list[torch.Tensor]) -> torch.Tensor:
    """Mean change from each frame to the next, over all clips, (f - 1,)."""
    return torch.stack([(v[1:] - v[:-1]).abs().mean((1, 2, 3)) for v in videos]).mean(0)


@pytest.fixture(scope="module")
def shifted(tiny, clips):
    """The same clips in shifted windows: the last step's begin at 7 and 21."""
    made = []
    for index, (inputs, *_) in enumerate(clips):
        inputs.gates = Gates.all_open(SIGNALS)
        pieces = generate(tiny, inputs.conditions, FRAMES, index, windows="shifted")
        made.append((torch.cat(list(pieces)).float() + 1) / 2)
    return made


def at_edges(tiny) -> torch.Tensor:
    """Which of the (f - 1) steps from frame to frame lie where overlapping windows begin or end."""
    step = tiny.config.window - tiny.config.overlap
    assert tiny.config.window + step < FRAMES
    edges = {k + d for k in range(step, FRAMES, step) for d in (0, tiny.config.overlap)}
    return torch.tensor([k + 1 in edges for k in range(FRAMES - 1)])


def test_frames_jump_no_more_where_windows_meet_than_inside(tiny, clips):
    """As a share of how far the true frames jump there: people move more at some moments than at others."""
    share = jumps([made for _, made, _ in clips]) / jumps([truth for *_, truth in clips])
    at = at_edges(tiny)
    assert at.sum() >= 4 and share[at].mean() <= share[~at].mean()


def test_frames_jump_no_more_where_windows_meet_than_without_an_edge(tiny, clips, shifted):
    """Each edge lies inside one of the shifted windows, where the same motion shows how far frames jump."""
    at = at_edges(tiny)
    at[[6, 20]] = False  # where shifted windows meet
    assert jumps([made for _, made, _ in clips])[at].mean() <= jumps(shifted)[at].mean() * 1.02


def test_shifted_windows_jump_little_more_than_elsewhere(shifted):
    """The first frame and the last were neighbours in the step before."""
    mean = jumps(shifted)
    at = torch.tensor([k + 1 in (7, 21) for k in range(FRAMES - 1)])
    assert mean[at].mean() <= mean[~at].mean() * 1.1


def test_every_signal_moves_its_own_region_most(clips):
    for signal, own, other in (("audio", "mouth", "upper"), ("expression", "upper", None)):
        moved = {"mouth": 0.0, "upper": 0.0}
        for index, (inputs, opened, _) in enumerate(clips):
            closed = video(inputs, {signal: 0.0}, FRAMES, index, None)
            for region in moved:
                mask = inputs.portrait.masks[region]
                apart = (opened - closed).abs().mean(1)
                moved[region] += float((apart * mask).sum() / mask.sum())
        assert moved[own] > 0.1 * len(clips) / 255 * FRAMES
        if other:
            assert moved[own] > 3 * moved[other]


def test_closed_gates_leave_the_portrait_at_rest(clips):
    """No signal, no motion: the picture stays that person, and stands."""
    for index, (inputs, *_) in enumerate(clips):
        shut = video(inputs, dict.fromkeys(("audio", "expression", "text"), 0.0), 14, index, None)
        picture = torch.from_numpy(inputs.portrait.picture).permute(2, 0, 1) / 255
        assert (shut - picture).abs().mean() < 0.03
        assert (shut[1:] - shut[:-1]).abs().mean() < 0.005
