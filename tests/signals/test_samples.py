"""Arrays of training samples: what a clip of a real person shows of each signal."""

from fractions import Fraction

import numpy as np
import torch

from actalker.signals.expression import AugmentStrategy
from actalker.signals.samples import ClipWindow, motion_of_clip, script_of_clip, speech_of_clip, unpack_motion
from actalker.signals.script import parse_script

SILENCE = np.full((8, 3), -1, np.float32)


def window(script=None, features=None, motion=None) -> ClipWindow:
    """Frames 4 to 11 of a clip at 4 frames a second: one second to three."""
    return ClipWindow(8, 4, Fraction(4), features, SILENCE, script, 3, motion or {})


def test_a_script_is_shown_at_the_frames_without_a_phase():
    got = script_of_clip(window(parse_script("a man | 1.5-2: nods | 2.5-9: smiles")))
    assert got.present and not got.asks
    assert got.shown.tolist() == [True, True, False, False, True, True, False, False]
    assert got.arrays["timing"].shape == (8, 3, 4)
    nothing = script_of_clip(window())
    assert not nothing.present and nothing.shown.all()


def test_a_clip_without_sound_has_silence():
    speech = np.ones((8, 3), np.float32)
    assert speech_of_clip(window(features=speech)).present
    got = speech_of_clip(window())
    assert not got.present and np.array_equal(got.arrays["features"], SILENCE)


def test_motion_is_shown_where_it_is_known_at_all():
    confidence = torch.tensor([0.0, 0.1, 1.0])
    assert motion_of_clip(window(motion={"confidence": confidence})).shown.tolist() == [False, True, True]
    assert motion_of_clip(window(motion={"crops": torch.zeros(1)})).shown is None


def test_crops_go_to_minus_one_and_one_and_numbers_stay():
    crops = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    arrays = {"crops": crops, "rest": crops[:, 1]}
    got = unpack_motion(arrays, torch.nn.Identity(), None, AugmentStrategy())
    assert (got["crops"][:, 0] == -1).all() and (got["crops"][:, 1] == 1).all() and (got["rest"] == 1).all()
    numbers = {"numbers": torch.randn(1, 2, 62), "confidence": torch.ones(1, 2)}
    same = unpack_motion(numbers, torch.nn.Identity(), torch.Generator(), AugmentStrategy())
    assert all(same[name] is numbers[name] for name in numbers) and same.keys() == numbers.keys()
