"""Symbols of the engines to phones."""

import numpy as np
import pytest

from actalker.data.speech.symbols import ALPHABETS, phones, spelled
from actalker.data.speech.times import corrected
from actalker.heads.articulation import PHONES, Phone, tracks


def read(text: str, alphabet: str, each: float = 0.1) -> str:
    """Phones of symbols of one length, a stressed one with ' behind it."""
    raw = [(i * each, (i + 1) * each, s) for i, s in enumerate(text.split("|"))]
    return " ".join(p.symbol + "'" * p.stressed for p in phones(raw, alphabet))


@pytest.mark.parametrize(
    ("text", "alphabet", "expected"),
    [
        ("pau|m|aa|m|ax|pau", "arpabet", "_ m ɑ m ə _"),
        ("k|ˈey|k|ch", "arpabet", "k e' ɪ' k t ʃ"),
        ("m|ˈɑː|m|ɐ", "ipa", "m ɑ' m ɐ"),
        ("tʃʲ|ɔ̃|ɭ|ç|d͡ʒ", "ipa", "t ʃ ɔ l ç d ʒ"),
        ("b|ˈ|O|t|ʃ|ː", "kokoro", "b o' ʊ' t ʃ"),
        ("ˈ|l|u", "kokoro", "l u'"),  # the mark stands before the syllable, its vowel has the stress
        ("s~|ˈE1|JJ|tS", "italian", "ʃ ɛ' ɲ t ʃ"),
        ("r~*|ch|e:|n~", "czech", "ʃ x ɛ ɲ"),
        ("ˈöö|y|N|v", "finnish", "ø' y ŋ ʋ"),
    ],
)
def test_each_alphabet_is_read(text, alphabet, expected):
    if alphabet == "italian":
        text = text.replace("s~", "S")
    assert read(text, alphabet) == expected


def test_every_letter_of_every_alphabet_is_a_row_of_the_table():
    for alphabet, letters in ALPHABETS.items():
        for symbol in letters:
            names, _ = spelled(symbol, alphabet)
            assert names and set(names) <= set(PHONES), symbol
    for name in PHONES:
        assert set(spelled(name, "ipa")[0]) <= set(PHONES)


def test_what_is_no_phone_is_named():
    with pytest.raises(KeyError, match="K9"):
        spelled("K9X", "arpabet")
    with pytest.raises(KeyError, match="म"):
        spelled("म", "ipa")


def test_marks_take_no_time_from_their_phones_and_short_gaps_are_no_pauses():
    raw = [
        (0.0, 0.1, "b"),
        (0.1, 0.13, "ˈ"),
        (0.13, 0.3, "u"),
        (0.3, 0.34, "ː"),
        (0.34, 0.4, " "),
        (0.4, 0.5, "t"),
    ]
    raw += [(0.5, 0.7, ","), (0.7, 0.9, " "), (0.9, 1.0, "a")]
    found = phones(raw, "kokoro")
    assert found == [
        Phone(0.0, 0.1, "b"),
        Phone(0.1, 0.4, "u", True),
        Phone(0.4, 0.5, "t"),
        Phone(0.5, 0.9, "_"),
        Phone(0.9, 1.0, "a"),
    ]


def test_diphthongs_and_affricates_are_divided():
    diphthong = phones([(0.0, 0.2, "ay"), (0.2, 0.3, "ch")], "arpabet")
    np.testing.assert_allclose([p.end for p in diphthong], [0.12, 0.2, 0.24, 0.3])


def test_corrected_times_stay_in_order_and_move_as_far_as_was_measured():
    raw = [
        (0.0, 0.2, "_"),
        (0.2, 0.3, "a"),
        (0.3, 0.36, "p"),
        (0.36, 0.46, "a"),
        (0.46, 0.56, "m"),
        (0.56, 0.7, "a"),
    ]
    found = phones(raw, "ipa")
    assert corrected(found, "festival", 0.7) == found
    shifted = corrected(found, "hibari", 0.7)
    np.testing.assert_allclose([p.start for p in shifted[1:]], np.array([p.start for p in found[1:]]) - 0.058)
    assert shifted[0].start == 0
    stops = corrected(found, "espeak", 0.7)
    assert stops[2].start == pytest.approx(0.25) and stops[2].end == pytest.approx(
        0.312
    )  # p: before its burst
    assert stops[4].end == pytest.approx(0.548)  # m: ends before its mark does
    for before, after in zip(stops, stops[1:], strict=False):
        assert before.start < before.end <= after.start + 1e-9
    close = tracks(stops, 0.8)[:, 2]
    assert close[25:31].max() > 0.9  # the lips are together before the burst


def test_corrections_keep_every_phone_of_a_quick_voice():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ends = np.cumsum(rng.uniform(0.004, 0.08, 12))
        raw = [
            (a, b, c)
            for a, b, c in zip([0.0, *ends[:-1]], ends, rng.choice(list("ptkbdmnas"), 12), strict=True)
        ]
        found = corrected(phones(raw, "ipa"), "espeak", 9.0)
        assert [p.symbol for p in found] == [c for _, _, c in raw]
        for before, after in zip(found, found[1:], strict=False):
            assert 0 <= before.start < before.end <= after.start + 1e-9
