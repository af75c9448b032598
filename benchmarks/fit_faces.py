"""Fits the weights by which the cascade's finds are confirmed as faces (`faces/confirm.py`).

    python benchmarks/fit_faces.py PORTRAITS [--out actalker/assets/face_gradients.npz]

PORTRAITS is a folder of pictures with one face each; those whose number divides by 8 are left for tests.
Positive examples are the canonical squares, tilted a little, small, and cut by the border. Negative ones are
other places and sizes, faces on their head or side, faces whose eyes or mouth are covered, and scikit-image's
pictures of things. Three times, negatives that are still mistaken for faces are added again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
from faces import kept_aside
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from actalker.faces.confirm import CENTRE, WEIGHTS, gradients, windows
from actalker.faces.crop import canonical_crop
from actalker.faces.landmarker import find_by_landmarker
from actalker.media.files import picture_files
from actalker.media.image import read_image

SIDE = 110  # pixels of the canonical square in the pictures that are fitted to
THINGS = ("chelsea.png", "coffee.png", "brick.png", "grass.png", "gravel.png", "horse.png", "rocket.jpg")
THINGS += ("motorcycle_left.png", "retina.jpg", "text.png", "page.png", "coins.png", "cell.png", "moon.png")
THINGS += ("hubble_deep_field.jpg", "ihc.png", "logo.png", "color.png", "phantom.png")
Square = np.ndarray  # x, y, side
Scores = Callable[[np.ndarray], np.ndarray]  # from features (k, n) to scores (k,)


class Examples:
    """The examples of the fit: features and labels, which are added one after another."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.features: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    def add(self, picture: Image.Image, squares: list[Square], label: int) -> None:
        """Adds squares of a picture, all with the label 1 (faces) or 0 (none)."""
        self.add_features(gradients(windows(np.asarray(picture, np.float32), np.stack(squares))), label)

    def add_features(self, features: np.ndarray, label: int) -> None:
        """Adds features (k, n) that all have one label."""
        self.features.append(features)
        self.labels.append(np.full(len(features), label))

    def near(self, square: Square, size: float = 0.06, place: float = 0.025) -> Square:
        """A square that differs a little from one, by random shares of its size and of its place."""
        return moved(square, np.exp(self.rng.normal(0, size)), *self.rng.normal(0, place, 2))


def moved(square: Square, factor: float, right: float, down: float) -> Square:
    """A square `factor` times as large, moved by shares of its side."""
    x, y, side = square
    middle = np.array([x + side / 2 + right * side, y + side / 2 + down * side])
    return np.array([*(middle - factor * side / 2), factor * side])


def portraits(folder: Path) -> list[tuple[Image.Image, Square]]:
    """Grey pictures whose faces have squares of SIDE pixels, with these squares; and their mirror images."""
    out = []
    for path in picture_files(folder):
        image = read_image(path)
        faces = [] if kept_aside(path) else find_by_landmarker(image)
        if len(faces) != 1:
            continue
        crop = canonical_crop(faces[0])
        scale = min(1.0, SIDE / crop.side)
        grey = Image.fromarray(image).convert("L")
        size = round(grey.width * scale), round(grey.height * scale)
        grey = grey.resize(size, Image.Resampling.BOX)
        square = np.array([crop.x, crop.y, crop.side]) * scale
        mirrored = np.array([grey.width - square[0] - square[2], *square[1:]])
        out += [(grey, square), (grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT), mirrored)]
    return out


def show_faces(examples: Examples, picture: Image.Image, square: Square) -> None:
    """Adds positive examples: the face tilted, small, and cut by the border."""
    rng, (x, y, side) = examples.rng, square
    middle = (x + CENTRE[0] * side, y + CENTRE[1] * side)
    for angle in rng.uniform(-14, 14, 4):
        examples.add(turned(picture, angle, middle), [examples.near(square)], 1)
    scale = rng.uniform(0.35, 0.6)
    small = round(picture.width * scale), round(picture.height * scale)
    examples.add(picture.resize(small, Image.Resampling.BOX), [examples.near(square) * scale], 1)
    face = np.array([x + 0.2 * side, y + 0.25 * side, x + 0.8 * side, y + 0.88 * side])
    for k in rng.permutation(4)[:2]:
        box = [0, 0, picture.width, picture.height]
        box[k] = int(face[k] + rng.uniform(0.02, 0.12) * side * (1 if k < 2 else -1))
        examples.add(picture.crop(tuple(box)), [examples.near(square) - (box[0], box[1], 0)], 1)


def show_others(examples: Examples, picture: Image.Image, square: Square) -> None:
    """Adds negative examples: other places and sizes, the face on its head or side, and covered."""
    rng, (x, y, side) = examples.rng, square
    examples.add(picture, [elsewhere(rng, square) for _ in range(14)], 0)
    for angle in (180, 180, 180, 90, 270, rng.uniform(60, 300)):
        middle = (x + side / 2, y + side * rng.uniform(0.45, 0.62))
        examples.add(turned(picture, angle, middle), [examples.near(square, 0.12, 0.06)], 0)
    for top, bottom in ((0.2, 0.52), (0.56, 0.9), (0.2, 0.9), (0.2, 0.5)):
        corners = (x + 0.2 * side, y + top * side, x + 0.8 * side, y + bottom * side)
        covered = picture.copy()
        left, upper, right, lower = (max(0, int(v)) for v in corners)
        if right <= left or lower <= upper:
            continue
        spots = Image.fromarray(rng.integers(0, 255, (4, 4), dtype=np.uint8)).resize(
            (right - left, lower - upper)
        )
        covered.paste(spots if rng.random() < 0.5 else int(np.mean(picture)), (left, upper, right, lower))
        examples.add(covered, [examples.near(square, 0.1, 0.05)], 0)


def elsewhere(rng: np.random.Generator, square: Square) -> Square:
    """A random square of another size than the face's, or at another place."""
    kind = rng.random()
    if kind < 0.45:
        return moved(
            square, np.exp(rng.uniform(np.log(0.25), np.log(0.68))), *rng.uniform(-0.4, 0.4, 2) * rng.random()
        )
    if kind < 0.6:
        return moved(square, np.exp(rng.uniform(np.log(1.4), np.log(2.6))), *rng.normal(0, 0.15, 2))
    far, angle = rng.uniform(0.2, 0.8), rng.uniform(0, 2 * np.pi)
    factor = np.exp(rng.uniform(np.log(0.5), np.log(1.6)))
    return moved(square, factor, far * np.cos(angle), far * np.sin(angle))


def turned(picture: Image.Image, angle: float, middle: tuple[float, float]) -> Image.Image:
    """A picture rotated about a point, pixels, by degrees counter-clockwise."""
    return picture.rotate(angle, Image.Resampling.BILINEAR, center=middle, fillcolor=128)


def things() -> list[Image.Image]:
    """Pictures without a face, upright, on their side and on their head."""
    out = []
    for name in THINGS:
        picture = Image.open(Path(skimage.data.__file__).parent / name).convert("L")
        picture.thumbnail((400, 400))
        out += [picture, picture.rotate(180), picture.rotate(90, expand=True)]
    return out


def random_squares(rng: np.random.Generator, picture: Image.Image, count: int) -> list[Square]:
    """Squares of random sizes at random places of a picture."""
    sides = rng.uniform(20, min(picture.size), count) / 0.66
    return [
        np.array([*(rng.uniform(-0.2, 0.8, 2) * np.array(picture.size) - 0.25 * side), side])
        for side in sides
    ]


def fit(examples: Examples, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The weights (n + 1,) of a logistic regression, the last of which is the bias.

    weights: to start from, or None for zeros.
    """
    features = torch.from_numpy(np.concatenate(examples.features))
    labels = torch.from_numpy(np.concatenate(examples.labels)).float()
    weights = torch.zeros(features.shape[1] + 1) if weights is None else weights.detach().clone()
    weights.requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scores = features @ weights[:-1] + weights[-1]
        losses = binary_cross_entropy_with_logits(scores, labels, 1 + labels)
        loss = losses + 2e-4 * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    print(f"{len(labels)} squares, loss {float(closure().detach()):.4f}", flush=True)
    return weights.detach()


def mine(examples: Examples, faces: list[tuple[Image.Image, Square]], scores: Scores) -> None:
    """Adds negative examples again that `scores` mistakes for faces."""
    rng = examples.rng
    for picture, square in faces[::2]:
        upside = rng.random() < 0.33
        if upside:
            x, y, side = square
            picture, square = (
                picture.rotate(180),
                np.array([picture.width - x - side, picture.height - y - side, side]),
            )
        factors, places = (
            np.exp(rng.uniform(np.log(0.25), np.log(2.8), 120)),
            rng.uniform(-0.7, 0.7, (120, 2)),
        )
        tried = [
            moved(square, k, *place)
            for k, place in zip(factors, places, strict=True)
            if upside or max(k, 1 / k) > 1.32 or np.hypot(*place) > 0.2
        ]
        keep_mistaken(examples, picture, tried, scores, 6)
    for picture in things():
        keep_mistaken(examples, picture, random_squares(rng, picture, 200), scores, 30)


def keep_mistaken(
    examples: Examples, picture: Image.Image, squares: list[Square], scores: Scores, most: int
) -> None:
    """Adds at most `most` squares of a picture without a face, those with the highest scores."""
    features = gradients(windows(np.asarray(picture, np.float32), np.stack(squares)))
    values = scores(features)
    worst = np.argsort(-values)[:most]
    examples.add_features(features[worst[values[worst] > -2.5]], 0)


def main() -> None:
    """Reads the command line, fits, and writes the weights."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("portraits", type=Path)
    p.add_argument("--out", type=Path, default=WEIGHTS)
    options = p.parse_args()
    examples, faces = Examples(), portraits(options.portraits)
    for picture, square in faces:
        show_faces(examples, picture, square)
        show_others(examples, picture, square)
    for picture in things():
        examples.add(picture, random_squares(examples.rng, picture, 90), 0)
    weights = fit(examples)
    for _ in range(3):
        array = weights.numpy()
        mine(examples, faces, lambda features, array=array: features @ array[:-1] + array[-1])
        weights = fit(examples, weights)
    array = weights.numpy()
    np.savez_compressed(options.out, weights=array[:-1].astype(np.float16), bias=np.float32(array[-1]))


if __name__ == "__main__":
    main()
