"""Errors of the tracker on known motions: the constants of `actalker/data/performances/reading.py`.

    python benchmarks/reading.py PORTRAITS [--portraits 12] [--frames 300] [--keep FILE.npz]

PORTRAITS is a folder of pictures with one face each; those whose number divides by 8 are left out. Acted
motions (`performances.acting`) are drawn on some of them and tracked as a driver's video is (`heads.track`).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from faces import kept_aside

from actalker.data.performances.acting import UNITS, acted
from actalker.data.performances.looks import ease, named, with_lips
from actalker.errors import InputError
from actalker.faces.find import find_upright
from actalker.heads.drawing import HeadPortrait
from actalker.heads.eyes import look
from actalker.heads.face_map import FOLLOWS, NUMBERS, numbers_of
from actalker.heads.fit import check_fit, fit_face
from actalker.heads.model import CLOSE, COEFFICIENTS, INDEX, head_model
from actalker.heads.outline import person_outline
from actalker.heads.track import track
from actalker.media.files import picture_files
from actalker.media.image import read_image

FPS = 25.0
GRAIN = 3.0  # of 255: a camera's noise in every frame
REST = 12  # first frames, in which nothing moves
RIDGE = 30.0  # of the regression of the read numbers on the drawn ones
LEAK = 0.35  # of the error: smaller leaks are not printed
CALM = (0.3, 12.0)  # largest coefficient of the mouth, and yaw, of portraits that motions are drawn on
COUNT = len(COEFFICIENTS)
SHUT = INDEX["mouthClose"]


def portraits(folder: Path, count: int) -> list[tuple[str, HeadPortrait]]:
    """At most `count` portraits with calm faces, by name."""
    out: list[tuple[str, HeadPortrait]] = []
    for path in [path for path in picture_files(folder) if not kept_aside(path)][3::7]:
        image = read_image(path)
        try:
            face = find_upright(image, None, None, path.name).face
            fit = fit_face(face, image, path.name)
            doubts = check_fit(fit, image, path.name)
        except InputError:
            continue
        mouth = [fit.coefficients[INDEX[key]] for key in ("mouthSmile_L", "mouthSmile_R", "jawOpen")]
        calm = max(mouth) < CALM[0] and abs(fit.pose[0]) < CALM[1]
        if calm and not doubts and head_model().opening(fit.coefficients) == 0:
            out.append((path.name, HeadPortrait(image, fit, person_outline(image, face.box))))
        if len(out) == count:
            break
    return out


def seen(
    portrait: HeadPortrait, numbers: np.ndarray, name: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws numbers (f, 62) and tracks the frames: the drawn and the read numbers, the confidence (f,)."""
    drawn, frames = numbers.astype(np.float64), []
    for k, row in enumerate(drawn):
        one = portrait.draw(look(row[:COUNT], row[COUNT + 6 :]), row[COUNT : COUNT + 6], row[COUNT + 6 :])
        drawn[k, COUNT : COUNT + 6] = one.pose
        grain = rng.normal(0, GRAIN, one.frame.shape)
        frames.append(np.clip(one.frame + grain, 0, 255).astype(np.uint8))
    motion, _ = track(((k / FPS, frame) for k, frame in enumerate(frames)), name)
    return drawn, numbers_of(motion.relative(motion[:1])).astype(np.float64), motion.confidence


def opening(numbers: np.ndarray) -> np.ndarray:
    """The lips' opening (f,) beyond that at rest, cm."""
    return head_model().gap(numbers[:, :COUNT]) - CLOSE * numbers[:, SHUT]


def tried(count: int, rng: np.random.Generator) -> np.ndarray:
    """A motion (about `count`, 62) in which every unit of acting moves at least twice.

    Two units move at a time, with random strength, while lids blink, eyes jump and the head turns.
    """
    order = np.concatenate([rng.permutation(len(UNITS)) for _ in range(2)])
    each = count // len(UNITS)
    hump = np.concatenate([ease(np.arange(1, 5) / 4), np.ones(each - 8), 1 - ease(np.arange(1, 5) / 4)])
    names = list(UNITS)
    rows = []
    for first, second in zip(order[: len(UNITS)], order[len(UNITS) :], strict=True):
        parts = [named(dict.fromkeys(names[k], UNITS[names[k]][1])) for k in (first, second)]
        shares = rng.uniform(0.2, 1), rng.uniform(0, 0.8)
        rows.append(hump[:, None] * (shares[0] * parts[0] + shares[1] * parts[1]))
    out = np.concatenate(rows)
    other = acted(len(out), FPS, rng)
    out[:, COUNT:] = 0.8 * other[:, COUNT:]
    for start in np.flatnonzero(rng.random(len(out)) < 0.02):
        lids = np.array([0.5, 1, 1, 0.8, 0.4, 0.15])[: len(out) - start]
        columns = [INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]][: rng.choice([1, 2, 2, 2])]
        for column in columns:
            out[start : start + 6, column] = np.maximum(out[start : start + 6, column], lids)
    still = np.zeros((REST, len(NUMBERS)))
    return with_lips(np.concatenate([still, out]))


def measure(folder: Path, count: int, frames: int) -> dict[str, np.ndarray]:
    """All that was drawn and read."""
    rows = []
    for k, (name, portrait) in enumerate(portraits(folder, count)):
        rng = np.random.default_rng(1000 + k)
        drawn, read, sure = seen(portrait, tried(frames, rng), name, rng)
        rows.append((drawn, read, sure, np.full(len(drawn), k)))
        print(name, "read", len(read), "frames, least confidence", round(float(sure.min()), 2), flush=True)
    parts = [np.concatenate(part) for part in zip(*rows, strict=True)]
    return dict(zip(("drawn", "read", "sure", "of"), parts, strict=True))


def table(drawn: np.ndarray, read: np.ndarray, of: np.ndarray) -> None:
    """Prints how each number is read, the errors, and what leaks from one number into another.

    drawn, read: (f, 62). of (f,): which portrait a frame is of.
    """
    true, got = drawn.copy(), read.copy()
    true[:, SHUT], got[:, SHUT] = opening(drawn), opening(read)
    spread = np.maximum(true.std(0), 1e-3)
    scaled = true / spread
    weights = np.linalg.solve(scaled.T @ scaled + RIDGE * np.eye(len(NUMBERS)), scaled.T @ got)
    left = got - scaled @ weights
    print_numbers(true, got, left, spread, of)
    print_lips_and_lids(true, got)
    print("\n| of 1 of | is read in | |\n|---|---|---|")
    for k, name in enumerate(NUMBERS):
        for source in np.argsort(-np.abs(weights[:, k])):
            leaks = abs(weights[source, k]) > LEAK * left[:, k].std() and source != k
            if leaks and not NUMBERS[source].startswith(FOLLOWS):
                print(f"| {NUMBERS[source]} | {name} | {weights[source, k] / spread[source]:+.3f} |")


def print_numbers(
    true: np.ndarray, got: np.ndarray, left: np.ndarray, spread: np.ndarray, of: np.ndarray
) -> None:
    """Prints, for each number, the slopes by which it is read, its correlation and the errors `left`."""
    same, people = of[1:] == of[:-1], np.unique(of)
    print("mouthClose stands for the lips' opening, cm\n")
    print(
        "| number | read of 1: least, middle, most | r | error | stays | at rest |\n|---|---|---|---|---|---|"
    )
    for k, name in enumerate(NUMBERS):
        if name.startswith(FOLLOWS) or true[:, k].std() == 0 or got[:, k].std() == 0:
            continue
        slopes = [
            true[of == who, k] @ got[of == who, k] / (true[of == who, k] @ true[of == who, k])
            for who in people
            if true[of == who, k].std() > 0.1 * spread[k]
        ]
        low, middle, high = np.quantile(slopes, (0.1, 0.5, 0.9))
        stays = np.corrcoef(left[1:, k][same], left[:-1, k][same])[0, 1]
        still = np.concatenate([got[of == who][:REST, k] for who in people]).std()
        r = np.corrcoef(true[:, k], got[:, k])[0, 1]
        numbers = f"{low:.2f}, {middle:.2f}, {high:.2f} | {r:.2f} | {left[:, k].std():.3f} | {stays:.2f}"
        print(f"| {name} | {numbers} | {still:.3f} |")


def print_lips_and_lids(true: np.ndarray, got: np.ndarray) -> None:
    """Prints how openings of the lips and shut lids are read, and by how many frames lids are late."""
    for low, high in itertools.pairwise((0.0, 0.02, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)):
        there = got[:, SHUT][(true[:, SHUT] >= low) & (true[:, SHUT] < high)]
        quantiles = np.quantile(there, (0.1, 0.5, 0.9)).round(2) if len(there) else "-"
        print(f"lips {low} to {high} cm apart are read as {quantiles}")
    lids = [INDEX["eyeBlink_L"], INDEX["eyeBlink_R"]]
    shut = (true[:, lids] > 0.95).all(1)
    print("lids that are shut are read as", np.quantile(got[shut][:, lids].mean(1), (0.0, 0.5, 1.0)).round(2))
    lags = range(-2, 3)
    follows = [np.corrcoef(np.roll(true[:, lids].max(1), lag), got[:, lids].mean(1))[0, 1] for lag in lags]
    print("lids, r at lags of", list(lags), "frames:", np.round(follows, 2))


def main() -> None:
    """Reads the command line, draws and tracks motions, and prints tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("portraits", type=Path)
    p.add_argument("--portraits", dest="count", type=int, default=12, help="how many to draw on")
    p.add_argument("--frames", type=int, default=300, help="on each")
    p.add_argument("--keep", type=Path, help="file for all that was read; if it is there, nothing is drawn")
    options = p.parse_args()
    if options.keep and options.keep.exists():
        with np.load(options.keep) as data:
            all_read = dict(data)
    else:
        all_read = measure(options.portraits, options.count, options.frames)
        if options.keep:
            np.savez(options.keep, **all_read)
    print(f"confidence: least {all_read['sure'].min():.2f}, mean {all_read['sure'].mean():.2f}")
    table(all_read["drawn"], all_read["read"], all_read["of"])


if __name__ == "__main__":
    main()
