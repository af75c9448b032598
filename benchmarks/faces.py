"""How often scikit-image's cascade finds a face where MediaPipe finds it, elsewhere, or not at all.

    python benchmarks/faces.py PORTRAITS [--tight]

PORTRAITS is a folder of pictures with one face each. MediaPipe's canonical square counts as the truth. A find
is wrong where its side is off by more than 35 %, or its middle by more than a quarter of that square.
`--tight` crops each picture to 0.95, 1.1, 1.25, 1.5 and 2 times its face. Pictures whose number divides by 8
have a row of their own, for no weights are fitted to them.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actalker.faces.cascade import find_by_cascade
from actalker.faces.crop import Crop, canonical_crop
from actalker.faces.landmarker import find_by_landmarker
from actalker.media.files import picture_files
from actalker.media.image import read_image

TIGHT = (0.95, 1.1, 1.25, 1.5, 2.0)
FACTOR, OFF = 0.35, 0.25


def kept_aside(path: Path) -> bool:
    """Whether a file's number divides by 8: no weights and constants are fitted to such pictures."""
    number = re.search(r"(\d+)$", path.stem)
    return number is not None and int(number[1]) % 8 == 0


def pictures(folder: Path, tight: bool) -> Iterator[tuple[Path, str, np.ndarray, Crop]]:
    """The pictures of a folder that show one face: file, name, picture (h, w, 3) uint8, the face's square.

    tight: each as five crops.
    """
    for path in picture_files(folder):
        image = read_image(path)
        faces = find_by_landmarker(image)
        if len(faces) != 1:
            continue
        square = canonical_crop(faces[0])
        if not tight:
            yield path, path.name, image, square
            continue
        x0, y0, x1, y1 = faces[0].box
        x, y, side = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0)
        for grow in TIGHT:
            half = side * grow / 2
            left, top = max(0, int(x - half)), max(0, int(y - half))
            part = np.ascontiguousarray(image[top : int(y + half), left : int(x + half)])
            yield path, f"{path.name} x {grow}", part, Crop(square.x - left, square.y - top, square.side)


@dataclass(frozen=True)
class Look:
    """The cascade's result on one picture."""

    aside: bool  # no weights are fitted to it
    taken: bool  # a face is found
    wrong: str  # the picture and its errors where the find is wrong, else empty
    seconds: float  # of CPU


def look(name: str, image: np.ndarray, true: Crop, aside: bool) -> Look:
    """Runs the cascade on a picture (h, w, 3) uint8 whose face has the canonical square `true`."""
    start = time.process_time()
    faces = sorted(find_by_cascade(image), key=lambda face: -face.area)
    seconds = time.process_time() - start
    if not faces:
        return Look(aside, False, "", seconds)
    seen = canonical_crop(faces[0])
    grown = (seen.side - true.side) / 2
    ratio = seen.side / true.side
    off = float(np.hypot(seen.x - true.x + grown, seen.y - true.y + grown)) / true.side
    wrong = abs(ratio - 1) > FACTOR or off > OFF
    errors = f"{name}: side {ratio:.2f}, middle off by {off:.2f}, score {faces[0].score:.1f}"
    return Look(aside, True, errors if wrong else "", seconds)


def row(name: str, looks: list[Look]) -> str:
    """A Markdown row of the shares of faces found and of wrong finds, and of the seconds."""
    count, taken, wrong = len(looks), sum(x.taken for x in looks), sum(bool(x.wrong) for x in looks)
    seconds = [x.seconds for x in looks]
    return (
        f"| {name}: {count} | {taken} ({taken / count:.1%}) | {wrong} ({wrong / count:.1%}) "
        f"| {np.mean(seconds):.2f}, {np.max(seconds):.2f} |"
    )


def main() -> None:
    """Reads the command line, measures, and prints a table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("portraits", type=Path)
    p.add_argument("--tight", action="store_true")
    options = p.parse_args()
    looks = [
        look(name, image, true, kept_aside(path))
        for path, name, image, true in pictures(options.portraits, options.tight)
    ]
    print("| pictures | taken | wrong | CPU seconds a picture, mean, largest |\n|---|---|---|---|")
    print(row("all", looks))
    if aside := [x for x in looks if x.aside]:
        print(row("number divides by 8", aside))
    print(*(x.wrong for x in looks if x.wrong), sep="\n")


if __name__ == "__main__":
    main()
