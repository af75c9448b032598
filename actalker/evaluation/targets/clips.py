"""The list of clips that every model makes: which portrait is driven by which sound, video or script.

The list is fixed before any clip is measured. Each model makes each clip once, MediaPipe reads the frames
once, and all measures share that reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...heads.articulation import Phone
from ...provenance import file_hash
from ..cells import key_of
from ..lips import FPS
from .sounds import LOUD, MUSIC, NOISE, Speech, music, over, silence, song, telephone, white

SIX = 6  # portraits with closed lips that speak
OTHERS = 3  # of parted lips, of laughing ones
WHOLE, SHORT, BRIEF = 12.0, 6.0, 2.0  # seconds of a clip of speech; of its first part; of a pair
LONGEST = 8.0  # seconds of a real speaker
LONG, AGAIN = 60.0, 10.0  # seconds of what shows a face's own life; of its second seed
SCRIPT = "a person talks | 0.3-1.7: smiles"
TWISTED = 3  # voices that speak beside a driver whose mouth says something else


@dataclass(frozen=True, eq=False)
class Clip:
    """Describe one clip to generate.

    use: the purpose of the clip, such as `speech` or `silence`, by which measures look it up.
    number: rank of the clip among those with the same use, from 0.
    portrait: the picture of the face.
    seconds: length of the clip.
    speech: the sound that drives the lips; None where `real` gives the sound, or nothing is heard.
    real: a video of a speaking person, whose sound drives the lips.
    driver: a video of a person, whose first `seconds` drive the face.
    script: text that drives the face.
    seed: seed of the model's noise and of its liveliness.
    calm: whether liveliness is off, so that only the signals move the face.
    pair: whether the clip is made a second time with the gate of audio closed, to store the difference.
    """

    use: str
    number: int
    portrait: Path
    seconds: float
    speech: Speech | None = None
    real: Path | None = None
    driver: Path | None = None
    script: str | None = None
    seed: int = 0
    calm: bool = False
    pair: bool = False

    @property
    def frames(self) -> int:
        """Return the number of frames, at 25 frames per second."""
        return round(self.seconds * FPS)

    @property
    def phones(self) -> tuple[Phone, ...]:
        """Return the phones of `speech`; none without it, or where they are not known."""
        return () if self.speech is None else self.speech.phones

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the names of the signals that drive the clip, which a model must accept to make it."""
        heard = self.speech is not None or self.real is not None
        has = dict(audio=heard, expression=self.driver is not None, text=self.script is not None)
        return tuple(name for name, there in has.items() if there)

    def digest(self, phones: bool = True) -> str:
        """Return a hash of all that the clip is made from. phones: whether those of `speech` are included."""
        recipe = {
            "portrait": file_hash(self.portrait),
            "speech": None if self.speech is None else self.speech.digest(phones),
            "real": None if self.real is None else file_hash(self.real),
            "driver": None if self.driver is None else file_hash(self.driver),
            "frames": self.frames,
            "others": [self.script, self.seed, self.calm, self.pair],
        }
        return key_of(recipe)


@dataclass(frozen=True)
class Sitters:
    """Group the portraits by the state of their lips: closed, parted, or laughing (parted with a smile)."""

    closed: tuple[Path, ...] = ()
    parted: tuple[Path, ...] = ()
    laughing: tuple[Path, ...] = ()

    def driven(self, k: int) -> Path:
        """Return the portrait for clip number k of a use that needs two different faces at most.

        Even k gives the first and odd k the second portrait of the list closed, parted, laughing.
        """
        first = [*self.closed, *self.parted, *self.laughing][:2]
        return first[k % len(first)]


def clips(
    sitters: Sitters,
    voices: Sequence[Speech],
    long: Speech | None,
    real: Mapping[Path, float],
    drivers: Mapping[Path, float],
) -> list[Clip]:
    """List all clips to make; those that need an input which is not given are left out.

    Args:
        sitters: the portraits.
        voices: speech of held-out voices, at least 24 s (2 * WHOLE) of each.
        long: one sound of 60 s (LONG) in which these voices take turns; None leaves out the long clips.
        real: video of a speaking person -> its length in seconds.
        drivers: video that drives a face -> its length in seconds.
    """
    films, first = list(drivers), sitters.driven(0)
    out = [
        Clip("real", k, first, min(seconds, LONGEST), real=path)
        for k, (path, seconds) in enumerate(real.items())
    ]
    out += [
        Clip("driver", k, sitters.driven(k), min(seconds, SHORT), driver=film)
        for k, (film, seconds) in enumerate(drivers.items())
    ]
    if not voices:
        return out
    halves = [half for voice in voices for half in (voice.first(WHOLE), _second(voice))]
    for k, portrait in enumerate(sitters.closed[:SIX]):
        out.append(Clip("speech", k, portrait, WHOLE, halves[k % len(halves)]))
    for name in ("parted", "laughing"):
        for k, portrait in enumerate(getattr(sitters, name)[:OTHERS]):
            out.append(Clip(name, k, portrait, SHORT, voices[k % len(voices)].first(SHORT)))
    for k, voice in enumerate(voices):
        out += [
            Clip(name, k, first, SHORT, heard) for name, heard in _disturbed(voice.first(SHORT), k).items()
        ]
    loud = over(voices[0].first(SHORT), music(round(SHORT * 16000), 7), LOUD, "loud music")
    for name, heard in (("silence", silence(4.0)), ("song", song()), ("loud music", loud)):
        out.append(Clip(name, 0, first, heard.seconds, heard))
    for k, film in enumerate(films[:TWISTED]):
        heard, lasts = voices[k % len(voices)].first(SHORT), min(drivers[film], SHORT)
        out.append(Clip("both", k, sitters.driven(k), lasts, heard, driver=film, calm=True))
    for k, portrait in enumerate(sitters.closed[:SIX] if films else ()):
        heard, film = halves[k % len(halves)], films[k % len(films)]
        lasts = min(BRIEF, drivers[film])
        out.append(
            Clip("closing", k, portrait, lasts, heard, driver=film, script=SCRIPT, calm=True, pair=True)
        )
    if long is not None:
        out.append(Clip("long", 0, first, LONG, long))
        out.append(Clip("again", 0, first, AGAIN, long, seed=1))
    return out


def _second(voice: Speech) -> Speech:
    """Return 12 s (WHOLE) of a voice that begin at the first pause after its first 12 s."""
    later = [phone for phone in voice.phones if phone.start >= WHOLE]
    start = next(
        (b.start - 0.2 for a, b in zip(later, later[1:], strict=False) if b.start - a.end >= 0.2), WHOLE
    )
    return voice.between(start, start + WHOLE)


def _disturbed(voice: Speech, seed: int) -> dict[str, Speech]:
    """Return a voice as it is, with music, with noise, and over a telephone: use of the clip -> speech."""
    n = len(voice.sound)
    return {
        "clean": voice,
        "music": over(voice, music(n, seed), MUSIC, "music"),
        "noise": over(voice, white(n, seed), NOISE, "noise"),
        "telephone": telephone(voice),
    }
