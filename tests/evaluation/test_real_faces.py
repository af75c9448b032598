"""Metrics of faces on pictures whose truth is known, and on real clips with swapped sound."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from actalker.data.puppets.anatomy import random_anatomy
from actalker.data.puppets.motion import INDEX, still
from actalker.data.puppets.render import Puppet
from actalker.evaluation.clip import Clip
from actalker.evaluation.facial import blinks, landmark_distance, lid_opening, lips_apart
from actalker.evaluation.metric import Weights
from actalker.evaluation.metrics import METRICS
from actalker.evaluation.statistics import correlation
from actalker.evaluation.sync import lagged_correlation, loudness

SIDE = 384

pytestmark = pytest.mark.slow


def clip_of(frames: np.ndarray) -> Clip:
    clip = Clip(Path("made.mp4"), "landmarker")
    vars(clip).update(frames=frames, fps=Fraction(25))
    return clip


def drawn(puppet: Puppet, motion: np.ndarray) -> np.ndarray:
    parts = [puppet.render(part) for part in np.array_split(motion, max(1, len(motion) // 8))]
    return np.concatenate([(p.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy() for p in parts])


@pytest.mark.parametrize("seed", range(8))
def test_blinks_of_a_puppet_are_counted_and_its_lips_followed(seed):
    rng = np.random.default_rng(seed)
    puppet, motion = Puppet(random_anatomy(rng), SIDE), still(40)
    starts = sorted(rng.choice([5, 14, 23, 31], int(rng.integers(0, 4)), replace=False))
    for start in starts:
        for lid in ("lid_left", "lid_right"):
            motion[start : start + 4, INDEX[lid]] = [0.5, 1, 1, 0.5]
    motion[:, INDEX["jaw"]] = np.abs(np.sin(np.arange(40) / 5))
    clip = clip_of(drawn(puppet, motion))
    assert len(blinks(lid_opening(clip.landmarks, clip.scheme), 25.0)) == len(starts)
    assert correlation(lips_apart(clip.landmarks, clip.scheme), motion[:, INDEX["jaw"]]) > 0.97


@pytest.mark.parametrize("seed", range(4))
def test_a_puppet_that_is_moved_is_as_far_as_it_was_moved(seed):
    """Within 2 % of the face."""
    puppet, motion = Puppet(random_anatomy(np.random.default_rng(seed)), SIDE), still(3)
    motion[:, INDEX["jaw"]] = [0, 0.4, 0.8]
    frames = drawn(puppet, motion)
    here, there = clip_of(frames), clip_of(np.roll(frames, (8, 6), (1, 2)))
    marks, boxes = here.landmarks, here.track.boxes()
    face = float((boxes[:, 3] - boxes[:, 1]).mean())
    eyes = np.linalg.norm(marks[:, [33, 133]].mean(1) - marks[:, [362, 263]].mean(1), axis=-1).mean()
    for mouth in (True, False):
        assert abs(landmark_distance(there, here, mouth) * eyes - 10) < 0.02 * face
    assert METRICS["expression_distance"].measure(there, here, Weights()) < 0.05
    assert METRICS["pose_distance"].measure(there, here, Weights()) < 3


def test_lips_follow_their_own_speech_better_than_anothers(shared):
    read = {}
    for name in ("speech_a_mpeg4", "speech_b_mpeg4", "speech_c"):
        clip = Clip(shared / "samples" / "video" / f"{name}.mp4", "landmarker")
        read[name] = (clip, lips_apart(clip.landmarks, clip.scheme))
        own = METRICS["lips_follow"].measure(clip, None, Weights())
        heard = loudness(clip.sound, len(clip.frames), clip.fps)
        assert own == lagged_correlation(read[name][1], heard)
    for mine, others in permutations(read, 2):
        clip, lips = read[mine]
        own, swapped = (
            lagged_correlation(lips, loudness(read[name][0].sound, len(lips), clip.fps))
            for name in (mine, others)
        )
        assert own > swapped, (mine, others)
