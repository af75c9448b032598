"""The accuracy of the speech encoder's articulators: on held-out voices, on real people's lips, and in noise.

    python benchmarks/speech_encoder.py MODEL --speech FOLDER [--videos FILE...] [--minutes 2]

MODEL: the folder of a model with the audio encoder `speech`, or a checkpoint of its training. FOLDER: a cache
made by `actalker speech`, of which the held-out voices are used. Videos: people who talk. Their lips are the
distances between MediaPipe's landmarks 13 and 14, and 61 and 291, over that between 33 and 263; they are
compared with the encoder's at the best lag within two frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from measuring import row, table
from scipy.signal import butter, sosfiltfilt

from actalker.data.speech.augment import music
from actalker.data.speech.cache import SpeechCache
from actalker.evaluation.lips import (
    FPS,
    PRESSED,
    RIDGE,
    ROUNDED,
    SPREAD,
    TUCKED,
    agreement,
    closed_at,
    deviations,
    mean_at,
)
from actalker.faces.landmarker import find_by_landmarker
from actalker.heads.articulation import ARTICULATORS, Phone, at_frames, sharpened, tracks
from actalker.media.sound import read_sound
from actalker.media.video import timed_frames
from actalker.pipeline.model.folder import load_model
from actalker.signals.speech import SpeechEncoder
from actalker.training.module import TrainingModule

RATE, LAG = 16000, 2
PAUSE = 0.4  # seconds between sentences
VOICES = {"flite rms": ("rms",), "festival it_pc, cz_machac": ("it_pc", "cz_machac")}
INDEX = {name: k for k, name in enumerate(ARTICULATORS)}
Hear = Callable[[np.ndarray], np.ndarray]


def encoder_of(path: Path) -> SpeechEncoder:
    """The audio encoder of a model folder or checkpoint."""
    if path.suffix == ".ckpt":
        module = TrainingModule.load_from_checkpoint(path)
        averaged = torch.load(path, map_location="cpu", weights_only=False).get("averaged_weights", {})
        module.load_state_dict({**module.state_dict(), **averaged})
        return module.model.encoders["audio"].eval()
    return load_model(path).encoders["audio"].eval()


def hearing(encoder: SpeechEncoder) -> Hear:
    """A function from a sound (n,) at 16 kHz to articulators (f, 9) at 25 frames a second."""

    def hear(sound: np.ndarray) -> np.ndarray:
        features = encoder.source.reader(sound, Fraction(FPS))(int(len(sound) / RATE * FPS))
        with torch.no_grad():
            parts = [
                encoder.articulators(torch.from_numpy(f)[None])[0]
                for f in np.array_split(features, len(features) // 500 + 1)
            ]
        return torch.cat(parts).numpy()

    return hear


def opening(articulators: np.ndarray) -> np.ndarray:
    """The opening of the lips, (f,), with closures weighted by how likely they are."""
    lips, close, tuck = (articulators[:, INDEX[name]] for name in ("lips", "close", "tuck"))
    return lips * (1 - close) * (1 - 0.75 * tuck)


def gap(articulators: np.ndarray) -> np.ndarray:
    """The opening of the lips, (f,), as it is drawn: closures are sharpened, and rest is closed."""
    lips, close, tuck, rest = (articulators[:, INDEX[name]] for name in ("lips", "close", "tuck", "rest"))
    return (
        lips * (1 - sharpened(close)) * (1 - 0.8 * sharpened(tuck)) * (1 - np.clip((rest - 0.1) / 0.8, 0, 1))
    )


def said(cache: Sequence, voices: tuple[str, ...], seconds: float) -> list[tuple[np.ndarray, list[Phone]]]:
    """Sentences of each voice joined to one sound (n,) of at least `seconds`, with all phones."""
    out = []
    for voice in voices:
        parts, phones, at = [], [], 0.0
        for utterance in cache:
            if utterance.voice != voice or at > seconds:
                continue
            parts += [np.zeros(round(PAUSE * RATE), np.float32), utterance.sound.astype(np.float32) / 32768]
            at += PAUSE
            phones += [Phone(p.start + at, p.end + at, p.symbol, p.stressed) for p in utterance.phones]
            at += len(utterance.sound) / RATE
        if parts:
            out.append((np.concatenate(parts), phones))
    return out


def explained(truth: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The share of each column's variance that is explained (R2)."""
    return 1 - ((truth - heard) ** 2).mean(0) / truth.var(0)


def on_voices(hear: Hear, cache: Sequence, minutes: float) -> None:
    """Prints the accuracy of articulators and of closures on held-out voices."""
    print(f"\nR2 on held-out voices, {FPS} frames a second\n")
    table(["voices", *ARTICULATORS, "opening", "width rounded / spread"])
    espeak = tuple(sorted({u.voice for u in cache if u.engine == "espeak"}))
    others = {e: tuple(sorted({u.voice for u in cache if u.engine == e})) for e in ("hibari", "kokoro")}
    groups = {**VOICES, "espeak": espeak, **others}
    closures = []
    for name, voices in groups.items():
        spoken = said(cache, voices, minutes * 60 / len(voices)) if voices else []
        if not spoken:
            continue
        truths, outputs, shut = [], [], {"heard": [[], [], []], "truth": [[], [], []]}
        rounded, spread = [], []
        for sound, phones in spoken:
            heard = hear(sound)
            truth = at_frames(tracks(phones, len(sound) / RATE), len(heard), FPS)
            truths.append(truth), outputs.append(heard)
            for kind, values in (("heard", heard), ("truth", truth)):
                for k, symbols in enumerate((PRESSED, TUCKED, RIDGE)):
                    shut[kind][k].append(closed_at(gap(values), phones, symbols))
            width = deviations(heard[:, INDEX["width"]])
            rounded.append(mean_at(width, phones, ROUNDED)), spread.append(mean_at(width, phones, SPREAD))
        truth, heard = np.concatenate(truths), np.concatenate(outputs)
        both = [np.concatenate([v, opening(v)[:, None]], 1) for v in (truth, heard)]
        widths = f"{np.concatenate(rounded).mean():+.2f} / {np.concatenate(spread).mean():+.2f}"
        row(name, *(f"{v:.2f}" for v in explained(*both)), widths)
        shares = [[np.concatenate(s).mean() for s in shut[kind]] for kind in ("heard", "truth")]
        closures.append([name, *(f"{a:.2f} ({b:.2f})" for a, b in zip(*shares, strict=True))])
    print("\nShare of phones at which lips close (of the truth in brackets)\n")
    table(["voices", "p b m", "f v", "t d n s z l"])
    for cells in closures:
        row(*cells)


def lips_of(video: Path) -> tuple[np.ndarray, np.ndarray]:
    """Opening and width (f,) of the largest face in each frame of a video of 25 frames a second."""
    out = []
    for _, picture in timed_frames(video):
        face = max(find_by_landmarker(picture), key=lambda face: face.area, default=None)
        if face is None:
            out.append((np.nan, np.nan))
            continue
        p = face.landmarks[:, :2]
        opened, width, unit = (np.linalg.norm(p[a] - p[b]) for a, b in ((13, 14), (61, 291), (33, 263)))
        out.append((float(opened) / float(unit), float(width) / float(unit)))
    openings, widths = np.array(out).T
    return openings, widths


def loudness(sound: np.ndarray) -> np.ndarray:
    """The root of each frame's amplitude, (f,): a baseline that opens the mouth by loudness alone."""
    frames = int(len(sound) / RATE * FPS)
    parts = np.resize(sound[: frames * RATE // FPS], (frames, RATE // FPS))
    return np.sqrt(np.sqrt((parts**2).mean(1)))


def on_people(hear: Hear, videos: Sequence[Path]) -> None:
    """Prints correlations with the lips of real people."""
    print("\nr with real lips, best lag within two frames\n")
    table(["clip", "opening", "sharpened", "width", "loudness", "another clip's sound: opening", "width"])
    sounds = {video: read_sound(video).mono(RATE) for video in videos}
    heard, real = {v: hear(s) for v, s in sounds.items()}, {v: lips_of(v) for v in videos}
    rows = []
    for video in videos:
        opened, width = real[video]
        other = [heard[v] for v in videos if v is not video]
        rows.append(
            [
                agreement(opening(heard[video]), opened, LAG),
                agreement(gap(heard[video]), opened, LAG),
                agreement(heard[video][:, INDEX["width"]], width, LAG),
                agreement(loudness(sounds[video]), opened, LAG),
                float(np.mean([agreement(opening(h), opened, LAG) for h in other])),
                float(np.mean([agreement(h[:, INDEX["width"]], width, LAG) for h in other])),
            ]
        )
        row(video.stem, *(f"{v:.2f}" for v in rows[-1]))
    row("mean", *(f"{v:.2f}" for v in np.mean(rows, 0)))


def disturbed(sound: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The sound as recordings may spoil it, by name: noise, music, a telephone, gain, offset."""
    size = float(np.sqrt(np.mean(sound[np.abs(sound) > 1e-3] ** 2)))
    band = sosfiltfilt(butter(4, (300, 3400), "bandpass", fs=RATE, output="sos"), sound)
    bed, noise = music(len(sound), rng), rng.normal(size=len(sound))

    def under(other: np.ndarray, decibels: float) -> np.ndarray:
        return sound + other / np.sqrt(np.mean(other**2)) * size * 10 ** (-decibels / 20)

    return {
        "music bed, 5 dB": under(bed, 5),
        "white noise, 10 dB": under(noise, 10),
        "telephone": band,
        "gain 0.1": 0.1 * sound,
        "offset 0.05": sound + 0.05,
    }


def in_noise(hear: Hear, sounds: dict[str, np.ndarray]) -> None:
    """Prints correlations of what is heard in disturbed sounds with what is heard in the clean ones."""
    print("\nr of the sharpened opening (width) with that of the clean sound\n")
    kinds = list(disturbed(np.ones(RATE, np.float32), np.random.default_rng(0)))
    table(["sound", *kinds])
    rows = []
    for number, (name, sound) in enumerate(sounds.items()):
        clean, cells = hear(sound), []
        for other in disturbed(sound, np.random.default_rng(number)).values():
            heard = hear(other.astype(np.float32))
            pairs = (gap, lambda v: v[:, INDEX["width"]])
            cells.append([agreement(of(heard), of(clean)) for of in pairs])
        rows.append(cells)
        row(name, *(f"{a:.2f} ({b:.2f})" for a, b in cells))
    row("mean", *(f"{a:.2f} ({b:.2f})" for a, b in np.mean(rows, 0)))


def at_rest(hear: Hear) -> None:
    """Prints how far the drawn mouth opens where nobody speaks: in silence, noise and music."""
    rng, n = np.random.default_rng(5), 10 * RATE
    sounds = {"silence": np.zeros(n), "white noise, -40 dB": 0.01 * rng.normal(size=n)}
    sounds |= {"white noise, -20 dB": 0.1 * rng.normal(size=n)}
    sounds |= {f"music {k + 1}": music(n, rng) for k in range(4)}
    print("\nOpening where nobody speaks (a wide open vowel is 1): mean, most\n")
    table(["sound", "mean", "most"])
    for name, sound in sounds.items():
        opened = gap(hear(sound.astype(np.float32)))
        row(name, f"{opened.mean():.3f}", f"{opened.max():.3f}")


def main() -> None:
    """Reads the command line, measures, and prints Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument("--minutes", type=float, default=2.0, help="of each group of voices")
    options = parser.parse_args()
    torch.set_num_threads(1)
    hear, cache = hearing(encoder_of(options.model)), SpeechCache(options.speech, held_out=True)
    on_voices(hear, cache, options.minutes)
    sounds = {}
    for voices in VOICES.values():
        for (sound, _), voice in zip(said(cache, voices, 30), voices, strict=False):
            sounds[voice] = sound
    if options.videos:
        on_people(hear, options.videos)
        sounds |= {video.stem: read_sound(video).mono(RATE) for video in options.videos}
    in_noise(hear, sounds)
    at_rest(hear)


if __name__ == "__main__":
    main()
