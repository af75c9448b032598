"""python -m actalker.heads.make ICT-FACEKIT PORTRAITS... [--out head.npz]

Writes the head model's file, in half a minute, from the folder of ICT-FaceKit
(https://github.com/ICT-VGL/ICT-FaceKit, or a bare copy of its repository) and from portraits, which correct
the places of the landmarks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ...faces.face import Face
from ...faces.landmarker import find_by_landmarker
from ...media.image import read_image
from ..landmarks import COUNT
from ..model import SHIPPED, HeadModel, unpack
from .convert import Published, convert
from .places import from_pictures, from_portraits, with_irises


def main() -> None:
    """Reads the command line, makes the model and writes its file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path, help="folder or bare git repository of ICT-FaceKit")
    parser.add_argument("portraits", type=Path, nargs="+", help="pictures of one face each")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    data = convert(Published(options.published))
    data |= {
        "landmark_vertices": np.zeros((COUNT, 3), np.uint16),
        "landmark_weights": np.zeros((COUNT, 3), np.float32),
        "landmark_spread": np.zeros(COUNT, np.float32),
    }
    model = from_portraits(from_pictures(with_irises(unpack(data))), _faces(options.portraits))
    data |= _landmarks(model)
    np.savez_compressed(options.out, **data)  # type: ignore[arg-type]
    print(options.out)


def _faces(portraits: list[Path]) -> list[tuple[Face, tuple[int, int]]]:
    """The largest face of each portrait that shows one, and the portrait's height and width."""
    faces = []
    for path in portraits:
        image = read_image(path)
        if detected := find_by_landmarker(image):
            faces.append((max(detected, key=lambda face: face.area), image.shape[:2]))
    return faces


def _landmarks(model: HeadModel) -> dict[str, np.ndarray]:
    """The arrays of the model's file that place MediaPipe's landmarks."""
    return {
        "landmark_vertices": model.landmark_vertices.astype(np.uint16),
        "landmark_weights": model.landmark_weights,
        "landmark_spread": model.landmark_spread,
    }


if __name__ == "__main__":
    main()
