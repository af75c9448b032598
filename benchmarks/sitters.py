"""Statistics of faces in portraits: the constants of `actalker/data/performances/sitters.py`.

    python benchmarks/sitters.py PORTRAITS [--every 2]

PORTRAITS is a folder of pictures with one face each; those whose number divides by 8 are left out. For each
coefficient it prints the mean and the deviation of the normal distribution that has the portraits' quantiles
where it is cut off at 0, over all portraits and for each kind of mouth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from faces import kept_aside
from scipy.stats import norm

from actalker.errors import InputError
from actalker.faces.find import find_upright
from actalker.heads.fit import fit_face
from actalker.heads.model import COEFFICIENTS, INDEX, head_model, ours
from actalker.media.files import picture_files
from actalker.media.image import read_image

LEAST = 0.01  # of a coefficient that is there
PARTED, SMILES, WIDE = 0.15, 0.35, 0.8  # cm, of 1, cm


def fits(paths: list[Path]) -> np.ndarray:
    """Fits of portraits as rows (n, 59): coefficients, yaw, pitch, roll, gaze right, gaze down."""
    rows = []
    for path in paths:
        try:
            image = read_image(path)
            fit = fit_face(find_upright(image, None, None, path.name).face, image, path.name)
        except InputError as error:
            print(error)
            continue
        rows.append(np.concatenate([fit.coefficients, fit.pose[:3], fit.gaze.mean(0)]))
    return np.array(rows)


def kinds(coefficients: np.ndarray) -> np.ndarray:
    """The kind (n,) of each portrait's mouth: 0 closed, 1 parted, 2 smiling with teeth, 3 laughing."""
    opening = head_model().opening(coefficients)
    smile = coefficients[:, [INDEX[key] for key in ours("mouthSmile")]].mean(1)
    return np.where(opening < PARTED, 0, np.where(smile < SMILES, 1, np.where(opening < WIDE, 2, 3)))


def cut_off(values: np.ndarray) -> str:
    """Mean and deviation, in words, of a normal distribution that is cut off at 0, from its values above."""
    values = np.sort(values.ravel())
    z = norm.ppf((np.arange(len(values)) + 0.5) / len(values))
    there = (values > LEAST) & (values < 1 - LEAST)
    if there.sum() < max(4, 0.04 * len(values)):
        return "none"
    spread, middle = np.polyfit(z[there], values[there], 1)
    return f"{middle:.2f}, {spread:.2f}"


def main() -> None:
    """Reads the command line, fits the portraits, and prints tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("portraits", type=Path)
    p.add_argument("--every", type=int, default=2, help="take one of so many")
    options = p.parse_args()
    rows = fits([path for path in picture_files(options.portraits) if not kept_aside(path)][:: options.every])
    coefficients, kind = rows[:, : len(COEFFICIENTS)], kinds(rows[:, : len(COEFFICIENTS)])
    print(len(rows), "portraits; closed, parted, teeth, laugh:", np.bincount(kind, minlength=4) / len(kind))
    opening = head_model().opening(coefficients)
    print("openings, cm:", [np.quantile(opening[kind == k], (0.1, 0.9)).round(2) for k in range(4)])
    print("| coefficient | all | closed | parted | teeth | laugh | sides, r |\n|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(name.removesuffix("_L").removesuffix("_R") for name in COEFFICIENTS):
        sides = coefficients[:, [INDEX[key] for key in ours(name)]]
        cells = [cut_off(sides), *(cut_off(sides[kind == k]) for k in range(4))]
        moves = sides.shape[1] == 2 and (sides.std(0) > 0).all()
        cells.append(f"{np.corrcoef(sides.T)[0, 1]:.2f}" if moves else "")
        print(f"| {name} | {' | '.join(cells)} |")
    for axis, name in enumerate(("yaw", "pitch", "roll", "gaze right", "gaze down")):
        values = rows[:, len(COEFFICIENTS) + axis]
        print(f"{name}: mean {values.mean():.1f}, deviation {values.std():.1f}")
    for axis, (turn, gaze) in enumerate((("yaw", "right"), ("pitch", "down"))):
        slope, middle = np.polyfit(rows[:, 54 + axis], rows[:, 57 + axis], 1)
        left = rows[:, 57 + axis] - slope * rows[:, 54 + axis] - middle
        print(f"gaze {gaze} a degree of {turn}: {slope:.2f}; left: {left.std():.1f}")


if __name__ == "__main__":
    main()
