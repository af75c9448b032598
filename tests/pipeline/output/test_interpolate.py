"""Frames between frames: their number, their times, and what a file of one's own makes of them."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from actalker.errors import InputError
from actalker.pipeline.output.interpolate import blend, interpolated, load_between
from actalker.pipeline.talking_head import TalkingHeadPipeline


class Mix(torch.nn.Module):
    """What a motion interpolator looks like from outside."""

    def forward(self, before: torch.Tensor, after: torch.Tensor, place: float) -> torch.Tensor:
        return before + (after - before) * place


class Half(torch.nn.Module):
    def forward(self, before: torch.Tensor, after: torch.Tensor, place: float) -> torch.Tensor:
        return before[:, :, ::2]


def saved(network: torch.nn.Module, path):
    torch.jit.script(network).save(str(path))
    return path


def frames(count=4, size=(6, 8)):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_frames_between_lie_evenly_in_time(factor, count):
    given = frames(count)
    made = list(interpolated(iter(given), factor, blend))
    assert len(made) == factor * count
    for k, frame in enumerate(made):
        before = given[k // factor].astype(float)
        after = given[min(k // factor + 1, count - 1)].astype(float)
        expected = before + (after - before) * (k % factor) / factor
        assert np.abs(frame - expected).max() <= 0.5 + 1e-4


def test_a_file_of_ones_own_makes_the_frames_between(tmp_path):
    between = load_between(saved(Mix(), tmp_path / "mix.pt"))
    one, other = frames(2)
    for place in (0.25, 0.5):
        assert np.abs(between(one, other, place).astype(int) - blend(one, other, place)).max() <= 1


def test_files_that_cannot_interpolate_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("not a model")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "weights.pt")
    for name in ("text", "empty", "weights", "missing"):
        with pytest.raises(InputError, match=f"{name}.pt"):
            load_between(tmp_path / f"{name}.pt")
    with pytest.raises(InputError, match="its result is no frame"):
        load_between(saved(Half(), tmp_path / "half.pt"))(*frames(2), 0.5)


def test_a_clip_is_generated_at_a_part_of_its_rate(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    given = {"portrait": made / "face.png", "audio": made / "speech.wav", "duration": "0.48", "steps": 1}
    slow = pipe(**given, fps="12.5")
    full = pipe(**given, fps="25", interpolate=2)
    assert full.fps == Fraction(25) and len(full.frames) == 2 * len(slow.frames) == 12
    assert (full.frames[::2] == slow.frames).all()
    before, after = np.asarray(slow.frames)[:2]
    assert (np.asarray(full.frames[1]) == blend(before, after, 0.5)).all()
    for wrong in (0, 5):
        with pytest.raises(InputError, match=f"interpolate {wrong}: give a number from 1"):
            pipe.prepare(**given, interpolate=wrong)
