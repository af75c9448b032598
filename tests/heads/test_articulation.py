"""Phones with times to mouths."""

import numpy as np
import pytest

from actalker.errors import InputError
from actalker.evaluation.heads.sentence import FPS, closures, phones, spoken
from actalker.evaluation.lips import SHUT
from actalker.heads.articulation import ARTICULATORS, PHONES, SPOKEN, Phone, at_frames, mouth, tracks
from actalker.heads.model import COEFFICIENTS, INDEX, head_model, ours


def own_faces(count: int) -> np.ndarray:
    """Coefficients of portraits: shut mouths, parted lips, laughs."""
    rng = np.random.default_rng(3)
    own = np.zeros((count, len(COEFFICIENTS)))
    for name, most in (("mouthSmile", 1.0), ("jawOpen", 0.3), ("mouthLowerDown", 0.4), ("mouthUpperUp", 0.4)):
        for key in ours(name):
            own[:, INDEX[key]] = most * rng.random(count)
    own[0] = 0
    return own


def test_the_lips_open_as_far_as_is_asked_whatever_the_face_does():
    model = head_model()
    rng = np.random.default_rng(0)
    asked = rng.random((50, len(ARTICULATORS)))
    asked[:, ARTICULATORS.index("close")] = 0
    asked[:, ARTICULATORS.index("tuck")] = 0
    asked[:, ARTICULATORS.index("rest")] = 0
    openings = [model.opening(own + mouth(asked, own)) for own in own_faces(6)]
    for opening in openings:
        np.testing.assert_allclose(opening, 1.55 * asked[:, 1], atol=1e-5)


def test_a_closure_is_a_closed_mouth_on_laughing_faces_too():
    model = head_model()
    said = [Phone(0.3, 0.42, "a"), Phone(0.42, 0.49, "p"), Phone(0.49, 0.61, "a")]
    articulators = at_frames(tracks(said, 1.0), FPS, FPS)
    for own in own_faces(8):
        opening = model.opening(own + mouth(articulators, own))
        near = np.abs(np.arange(FPS) / FPS - said[1].middle) <= 0.045
        assert opening[near].min() < 1e-6
        assert opening.max() > 0.9


@pytest.mark.parametrize("name", ["closed", "laughing"])
def test_the_sentence_closes_where_real_speakers_close(name):
    own = own_faces(4)[0 if name == "closed" else 3]
    opening = head_model().opening(own + spoken(own))
    shares = closures(opening, np.linspace(0, 1, len(opening)))
    assert shares["p b m"] == 1
    assert 0.15 <= shares["t d n s z l"] <= 0.3
    times, most = np.arange(len(opening)) / FPS, np.percentile(opening, 95)
    at = [np.argmin(abs(times - p.middle)) for p in phones() if p.symbol in "fv"]
    assert (opening[at] > 0.1 * most).all() and (opening[at] < 0.3 * most).all()  # nearly closed, not closed


def test_rounded_and_spread_vowels_move_the_corners_apart():
    own = own_faces(1)[0]
    change = spoken(own)
    pucker, stretch = change[:, INDEX["mouthPucker"]], change[:, INDEX["mouthStretch_L"]]
    times = np.arange(len(change)) / FPS
    at = {s: [np.argmin(abs(times - p.middle)) for p in phones() if p.symbol == s] for s in "ui"}
    assert pucker[at["u"]].min() > 0.4 > pucker[at["i"]].max()
    assert stretch[at["i"]].mean() > 0.05 > stretch[at["u"]].max()


def test_a_short_closure_is_seen_at_every_phase_of_the_frames():
    """A p of 60 ms can fall between two frames of 40 ms; its largest closure must not."""
    for shift in np.linspace(0, 0.04, 9):
        said = [
            Phone(0.3 + shift, 0.4 + shift, "a"),
            Phone(0.4 + shift, 0.46 + shift, "p"),
            Phone(0.46 + shift, 0.6, "a"),
        ]
        close = at_frames(tracks(said, 1.0), FPS, FPS)[:, ARTICULATORS.index("close")]
        assert close.max() > 0.45


def test_silence_is_rest_and_unknown_sounds_are_named():
    still = tracks([], 1.0)
    assert np.ptp(still, axis=0).max() < 1e-4
    with pytest.raises(InputError, match="phone 'X'"):
        tracks([Phone(0, 0.1, "X")], 1.0)


def test_every_phone_has_whole_rows():
    for target, weights, (early, late) in PHONES.values():
        assert len(target) == len(weights) == len(SPOKEN)
        assert 0 <= early < late <= 1
    assert 0 < SHUT < 1


def test_where_nothing_is_said_the_mouth_is_the_faces_own():
    said = [Phone(1.0, 1.12, "a"), Phone(1.12, 1.2, "p"), Phone(1.2, 1.3, "a"), Phone(1.3, 1.36, "_")]
    said += [Phone(1.36, 1.5, "i")]
    articulators = at_frames(tracks(said, 3.0), 75, 25)
    rest = articulators[:, ARTICULATORS.index("rest")]
    assert (rest[:20] > 0.99).all() and (rest[45:] > 0.99).all()
    assert (rest[26:36] < 0.1).all()  # in words, and in the short gap between them
    for own in own_faces(4):
        assert np.abs(mouth(articulators, own)[:15]).max() < 1e-3


def test_a_gap_between_phones_is_a_pause():
    said = [Phone(0.3, 0.5, "a"), Phone(1.5, 1.7, "a")]
    told = [said[0], Phone(0.5, 1.5, "_"), said[1]]
    np.testing.assert_allclose(tracks(said, 2.0), tracks(told, 2.0), atol=1e-12)
    assert tracks(said, 2.0)[70:130, ARTICULATORS.index("rest")].min() > 0.95
