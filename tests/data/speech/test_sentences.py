"""What the engines are given to say."""

from collections import Counter
from random import Random

import pytest

from actalker.data.speech.sentences import SYLLABLES, sentence


def test_the_same_seed_says_the_same_and_another_something_else():
    first = [sentence(Random(7), language) for language in ("en", *SYLLABLES)]
    assert first == [sentence(Random(7), language) for language in ("en", *SYLLABLES)]
    assert first != [sentence(Random(8), language) for language in ("en", *SYLLABLES)]


@pytest.mark.parametrize("language", ["en", *SYLLABLES])
def test_sentences_are_short_whole_and_not_all_alike(language):
    rng = Random(0)
    made = [sentence(rng, language) for _ in range(200)]
    assert len(set(made)) > 150
    for text in made:
        assert text[-1] in ".?" and "  " not in text and text == text.strip()
        assert 2 <= len(text.split()) <= 30


def test_english_meets_lips_and_teeth_often():
    rng = Random(1)
    text = "".join(sentence(rng, "en") for _ in range(500)).lower()
    letters = Counter(c for c in text if c.isalpha())
    total = sum(letters.values())
    assert sum(letters[c] for c in "pbm") / total > 0.07
    assert sum(letters[c] for c in "fv") / total > 0.03
    assert set(letters) == set("abcdefghijklmnopqrstuvwxyz")
