"""Inputs as they are opened: how long a clip they ask for, and where they begin."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from actalker.errors import InputError
from actalker.media.sound import Sound
from actalker.signals.audio_input import open_audio
from actalker.signals.feed import SignalContext
from actalker.signals.text_input import open_text

TWO_SECONDS = Sound(np.linspace(-1, 1, 16000, dtype=np.float32)[None], 8000)


def context(**settings) -> SignalContext:
    return SignalContext(nn.Identity(), torch.device("cpu"), torch.float32, Fraction(25), **settings)


def test_a_script_asks_for_the_end_of_its_last_phase():
    opened = open_text("a man | 1-3: nods | 0-1.5: smiles", context(), Fraction(0))
    assert opened.seconds == 3


def test_a_sound_is_cut_to_its_start_and_to_the_clip():
    opened = open_audio(TWO_SECONDS, context(seconds=Fraction(1)), Fraction(1, 2))
    assert opened.seconds == 1
    np.testing.assert_array_equal(opened.sound.samples, TWO_SECONDS.samples[:, 4000:12000])


@pytest.mark.parametrize("start", [2, 3])
def test_a_sound_cannot_start_at_its_end(start):
    with pytest.raises(InputError, match=f"ends at 2.00 s; start before that, not at {start} s"):
        open_audio(TWO_SECONDS, context(), Fraction(start))
