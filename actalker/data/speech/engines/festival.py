"""Festival: English, Italian, Czech and Finnish voices of Debian's packages; many sentences a process."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from ..symbols import STRESS, Raw
from .engine import Engine, Line, Said, Voice, at_rate
from .waves import read_wave

# name: function of Scheme, package, language, licence
VOICES = {
    "kal": ("voice_kal_diphone", "festvox-kallpc16k", "en", "MIT-Festival"),
    "ked": ("voice_ked_diphone", "festvox-kdlpc16k", "en", "MIT-Festival"),
    "slt_hts": ("voice_cmu_us_slt_arctic_hts", "festvox-us-slt-hts", "en", "EST-2003, BSD-3-Clause"),
    "it_lp": ("voice_lp_diphone", "festvox-italp16k", "it", "GPL-2.0-or-later"),
    "it_pc": ("voice_pc_diphone", "festvox-itapc16k", "it", "GPL-2.0-or-later"),
    "cz_ph": ("voice_czech_ph", "festvox-czech-ph", "cs", "GPL-2.0-or-later"),
    "cz_dita": ("voice_czech_dita", "festvox-czech-dita", "cs", "GPL-3.0-or-later"),
    "cz_krb": ("voice_czech_krb", "festvox-czech-krb", "cs", "GPL-3.0-or-later"),
    "cz_machac": ("voice_czech_machac", "festvox-czech-machac", "cs", "GPL-3.0-or-later"),
    "fi_lj": ("voice_suo_fi_lj_diphone", "festvox-suopuhe-lj", "fi", "LGPL-2.0-or-later"),
    "fi_mv": ("voice_hy_fi_mv_diphone", "festvox-suopuhe-mv", "fi", "LGPL-2.0-or-later"),
}
HELD = ("it_pc", "cz_machac")
ALPHABETS = {"en": "arpabet", "it": "italian", "cs": "czech", "fi": "finnish"}
ENCODINGS = {"en": "ascii", "it": "iso-8859-1", "cs": "iso-8859-2", "fi": "iso-8859-15"}  # what voices read
LONGEST = 300  # seconds that a process may take

# a phone a line: its end, its name, the stress of its syllable
SCHEME = """
(define (told u name)
  (let ((file (fopen name "w")))
    (mapcar (lambda (s) (format file "%f %s %s\\n" (item.feat s "segment_end") (item.name s)
      (item.feat s "R:SylStructure.parent.stress"))) (utt.relation.items u 'Segment))
    (fclose file)))
"""


class Festival(Engine):
    """The engine Festival (licence MIT-Festival), whose voices have licences of their own."""

    name = "festival"
    minutes = (27, 5)
    batch = True

    @classmethod
    def missing(cls) -> str | None:
        """The command that installs the missing packages of Debian, or None."""
        installed = _installed()
        packages = ["festival"] * (shutil.which("festival") is None)
        packages += [package for name, (_, package, *_) in VOICES.items() if name not in installed]
        return f"apt-get install {' '.join(packages)}" if packages else None

    def version(self) -> str:
        """The version that the program prints."""
        shown = subprocess.run(["festival", "--version"], capture_output=True, text=True).stdout
        match = re.search(r"System: ([\d.]+)", shown)
        return f"festival {match[1] if match else 'unknown'}"

    def voices(self) -> list[Voice]:
        """The voices whose packages are installed."""
        installed = _installed()
        return [
            Voice(name, language, licence, ALPHABETS[language], held_out=name in HELD, group=name)
            for name, (_, _, language, licence) in VOICES.items()
            if name in installed
        ]

    def draw(self, voices: Sequence[Voice], rng: Random, turn: int) -> Voice:
        """The voices in turn, because a process has one voice."""
        return voices[turn % len(voices)]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines in one process; those after one that ends the process are left out."""
        encoding = ENCODINGS[voice.language]
        with tempfile.TemporaryDirectory(prefix="actalker-festival-") as folder:
            script = [SCHEME, f"({VOICES[voice.name][0]})"]
            for number, line in enumerate(lines):
                text = line.text.replace("\\", "").replace('"', "")
                script += [
                    f"(Parameter.set 'Duration_Stretch {1 / line.pace:.3f})",
                    f'(set! u (SynthText "{text}"))',
                    f'(utt.save.wave u "{folder}/{number}.wav")',
                    f'(told u "{folder}/{number}.txt")',
                ]
            path = Path(folder) / "lines.scm"
            path.write_bytes("\n".join(script).encode(encoding, "ignore"))
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(["festival", "-b", str(path)], capture_output=True, timeout=LONGEST)
            for number, line in enumerate(lines):
                wav, listing = Path(folder) / f"{number}.wav", Path(folder) / f"{number}.txt"
                if wav.is_file() and listing.is_file():  # a letter that a voice cannot read ends the process
                    sound, rate = read_wave(wav)
                    yield Said(line, at_rate(sound, rate), _raw(listing.read_text(encoding, "replace")))


def _raw(listing: str) -> list[Raw]:
    """The phones of a sentence with their times, from lines of end, name and stress."""
    raw: list[Raw] = []
    at = 0.0
    for row in listing.splitlines():
        end, symbol, stress = row.split()
        raw.append((at, float(end), (STRESS if stress in ("1", "2") else "") + symbol))
        at = float(end)
    return raw


def _installed() -> set[str]:
    """The names of the installed voices; none without the program."""
    if shutil.which("festival") is None:
        return set()
    done = subprocess.run(["festival", "-b", "(print (voice.list))"], capture_output=True, text=True)
    names = done.stdout.replace("(", " ").replace(")", " ").split()
    return {name for name, (function, *_) in VOICES.items() if function.removeprefix("voice_") in names}
