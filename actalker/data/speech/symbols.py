"""Conversion of the engines' symbols to the phones of `heads.articulation.PHONES`, with stress.

An engine writes a phone as one symbol (`aa`, `tʃ`, `ˈoʊ`) or as several letters in turn, with marks of stress
and length that have times of their own and are added to their phone. A diphthong or an affricate becomes two
phones in turn.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

from ...heads.articulation import PHONES, VOWELS, Phone

Raw = tuple[float, float, str]
"""Start and end in seconds, and the engine's symbol."""


def _pairs(text: str) -> dict[str, str]:
    """Symbol -> its phones, from a text that lists them in turn."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


ARPABET = _pairs(
    """
    aa ɑ  ae æ  ah ʌ  ao ɔ  aw aʊ  ax ə  axr ɚ  ay aɪ  b b  ch tʃ  d d  dh ð  dx ɾ  eh ɛ  el l  em m
    en n  er ɝ  ey eɪ  f f  g ɡ  hh h  hv ɦ  ih ɪ  iy i  jh dʒ  k k  l l  m m  n n  nx n  ng ŋ  ow oʊ
    oy ɔɪ  p p  r ɹ  s s  sh ʃ  t t  th θ  uh ʊ  uw u  v v  w w  y j  z z  zh ʒ
    """
)
ITALIAN = _pairs("S ʃ  tS tʃ  dZ dʒ  dz dz  J ɲ  L ʎ  E ɛ  O ɔ  g ɡ  nf ɱ  ng ŋ")
CZECH = _pairs(
    """
    ch x  c ts  dz dz  c~ tʃ  dz~ dʒ  s~ ʃ  z~ ʒ  r~ ʒ  r* ʃ  r~* ʃ  n~ ɲ  n* ŋ  d~ ɟ  t~ c  h ɦ  g ɡ
    e ɛ  e: ɛ  i ɪ  y ɪ  y: i
    """
)
FINNISH = _pairs("ä æ  ö ø  @ æ  7 ø  ng ŋ  N ŋ  g ɡ  a ɑ  v ʋ  S ʃ")
KOKORO = _pairs("A eɪ  I aɪ  W aʊ  O oʊ  Q əʊ  Y ɔɪ  T ɾ  ʤ dʒ  ʧ tʃ  ʦ ts  ʣ dz  ʨ tɕ  ʥ dʑ  ꭧ tʂ")
"""Letters of its own, and some for two sounds; the others are IPA."""

ALPHABETS: dict[str, dict[str, str]] = {
    "arpabet": ARPABET,
    "italian": ITALIAN,
    "czech": CZECH,
    "finnish": FINNISH,
    "kokoro": KOKORO,
    "ipa": {},
}
NEAR = _pairs(
    "ɬ l  ɮ l  ɭ l  ʟ l  ɓ b  ʙ b  ɗ d  ɖ d  ʈ t  ɳ n  ɽ ɾ  ɺ ɾ  ɰ ɣ  ɴ ŋ  ɞ œ  ɶ œ  ε ɛ  ɧ ʃ  ɠ ɡ  ʜ ħ"
)
"""Sounds without a row of their own: the lips and the jaw of a neighbour."""

SILENCES = frozenset(("", "_", "#", "pau", "sil", "ssil", "brth", "h#", *' ;:,.!?—…"“”()^$|'))
STRESS, SECOND_STRESS = "ˈ", "ˌ"
SHORT_GAP = 0.10  # seconds: shorter ones are a glide between vowels, or a boundary between words


@cache
def spelled(symbol: str, alphabet: str) -> tuple[tuple[str, ...], bool]:
    """The phones of one symbol (none for a mark), and whether it has the main stress.

    alphabet: a key of ALPHABETS. Raises: KeyError with the letter that is no phone.
    """
    stressed, bare = STRESS in symbol, symbol.strip().replace(STRESS, "").replace(SECOND_STRESS, "")
    if symbol and not bare and not symbol.isspace():  # a mark of stress alone
        return (), stressed
    if bare in SILENCES:
        return ("_",), False
    letters = ALPHABETS[alphabet]
    if bare not in letters:
        bare = bare.rstrip("0123456789:") or bare
        if len(bare) == 2 and bare[0] == bare[1]:  # a long sound, written twice
            bare = bare[0]
    if alphabet not in ("ipa", "kokoro") and bare not in letters and bare not in PHONES:
        raise KeyError(bare)
    text = letters.get(bare, bare)
    phones = []
    for letter in unicodedata.normalize("NFC", text):
        base = letter if letter in PHONES else unicodedata.normalize("NFD", letter)[0]
        base = NEAR.get(base, base)
        if base in PHONES:
            phones.append(base)
        elif unicodedata.category(base) not in ("Mn", "Lm", "Sk", "Po", "Sm", "Nd", "Pd"):
            raise KeyError(base)
    return tuple(phones), stressed


def shares(phones: tuple[str, ...]) -> tuple[float, ...]:
    """Each phone's share of its symbol's length: 60 and 40 % in diphthongs, 40 and 60 % in affricates."""
    if len(phones) == 2 and phones[0] in VOWELS and phones[1] in VOWELS:
        return (0.6, 0.4)
    if len(phones) == 2 and phones[0] in "tdpbkɡ" and phones[1] not in VOWELS:
        return (0.4, 0.6)
    return (1 / len(phones),) * len(phones) if phones else ()


def phones(raw: Iterable[Raw], alphabet: str) -> list[Phone]:
    """The phones of an engine's symbols, in their order.

    A mark lengthens the phone that it belongs to: stress the one after it, others the one before.
    Raises: KeyError with a letter that is no phone.
    """
    said: list[Phone] = []
    stressed, since = False, None
    for start, end, symbol in raw:
        names, loud = spelled(symbol, alphabet)
        stressed = stressed or loud
        if not names and set(symbol) <= {STRESS, SECOND_STRESS} and symbol:
            since = start if since is None else since
            continue
        pause = names == ("_",)
        if not names or (pause and said and (end - start < SHORT_GAP or said[-1].symbol == "_")):
            if said:
                said[-1] = Phone(said[-1].start, end, said[-1].symbol, said[-1].stressed)
            continue
        start = start if since is None else since
        since = None
        at = start
        for name, share in zip(names, shares(names), strict=True):
            long = (end - start) * share
            said.append(Phone(at, at + long, name, stressed and name in VOWELS))
            at += long
        if names[-1] in VOWELS or pause:
            stressed = False
    return said
