"""Flite: English voices; each sentence is said by a process, which prints the ends of its phones."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ..symbols import Raw
from .engine import Engine, Line, Said, Voice, at_rate
from .waves import read_wave

LICENCE = "MIT-Festival"
PITCHES = {"kal16": 105, "awb": 125, "slt": 180, "rms": 100}  # Hz
HELD = ("rms",)


class Flite(Engine):
    """The engine Flite (licence MIT-Festival), Debian's package `flite`."""

    name = "flite"
    minutes = (22, 3)

    @classmethod
    def missing(cls) -> str | None:
        """The command that installs Debian's package, or None."""
        return None if shutil.which("flite") else "apt-get install flite"

    def version(self) -> str:
        """The version that the program prints."""
        return f"flite {_version()}"

    def voices(self) -> list[Voice]:
        """The voices that the program was built with."""
        if shutil.which("flite") is None:
            return []
        listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True).stdout.split()
        return [
            Voice(name, "en", LICENCE, "arpabet", held_out=name in HELD, group=name)
            for name in PITCHES
            if name in listed
        ]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines, each by a process; those that it fails on are left out."""
        with tempfile.TemporaryDirectory(prefix="actalker-flite-") as folder:
            path = Path(folder) / "said.wav"
            for line in lines:
                stretch, pitch = 1 / line.pace, PITCHES[voice.name] * line.pitch
                done = subprocess.run(
                    ["flite", "-voice", voice.name, "--setf", f"duration_stretch={stretch:.3f}"]
                    + ["--setf", f"int_f0_target_mean={pitch:.0f}", "-psdur", "-o", str(path)]
                    + ["-t", line.text],
                    capture_output=True,
                    text=True,
                )
                if done.returncode != 0:
                    continue
                raw: list[Raw] = []
                at = 0.0
                for word in done.stdout.split():
                    symbol, _, end = word.rpartition(":")
                    raw.append((at, float(end), symbol))
                    at = float(end)
                yield Said(line, at_rate(*read_wave(path)), raw)


@lru_cache(maxsize=1)
def _version() -> str:
    shown = subprocess.run(["flite", "--version"], capture_output=True, text=True).stdout
    match = re.search(r"flite-([\w.]+)", shown)
    return match[1] if match else "unknown"
