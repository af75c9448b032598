"""The face map: a head's motion laid out as an image that a network can denoise, and back to numbers.

The head model's uv coordinates lay the face out flat. On a grid of 32 x 32 places of it, three channels hold
the displacement of the skin (in the head's axes), and a fourth has cells for the head's pose, gaze and
tongue. A map is read by projecting it on the maps of all numbers (least squares), which averages errors away.
It cannot be read place by place: skin that touches, such as that of the two lips, lies far apart on the map.

Numbers are (..., 62): `COEFFICIENTS`, then yaw, pitch, roll, x, y, z, then gaze to the right and down, as a
relative `HeadMotion` has them. Maps are (..., 4, 32, 32). Regions are exact: the mouth's numbers change the
map inside the mouth's region only, all others outside only, so a masked map is read as masked numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse.linalg import splu

from .eyes import look
from .model import COEFFICIENTS, INDEX, HeadModel, head_model
from .motion import POSE, HeadMotion

SIDE, CHANNELS = 32, 4
GAZE = ("gaze right", "gaze down")
NUMBERS = (*COEFFICIENTS, *POSE, *GAZE)
ENERGY = (
    12.0  # norm of the map of a coefficient of 1: so a blink counts as much as a jaw, which moves 5 x more
)
RIDGE = 2e-6  # of a coefficient's own energy: it shrinks a number by less than 0.0004 of it
CLOSING = 1.0  # cm from the lips' line at which the lips' closing has fallen to 1 / e
MOUTH = ("jaw", "mouth", "cheekPuff", "tongue")  # beginnings of names that act in the mouth's region
FOLLOWS = "eyeLook"  # these follow from the gaze
# rows and columns: below the nose down to the chin and the throat under it, cheek to cheek
MOUTH_ROWS, MOUTH_COLUMNS = slice(15, 30), slice(4, 28)
SIDES, BETWEEN, MIDDLE = (slice(1, 6), slice(26, 31)), (slice(6, 11), slice(21, 26)), (slice(11, 21),)
OVER_EYES = (slice(8, 15), slice(17, 24))
CELLS = {  # rows, columns and the value of 1 degree or cm; both halves of a face say the same
    "yaw": (slice(0, 3), SIDES, 0.2),
    "pitch": (slice(0, 3), BETWEEN, 0.2),
    "roll": (slice(0, 3), MIDDLE, 0.2),
    "x": (slice(3, 6), SIDES, 1.0),
    "y": (slice(3, 6), BETWEEN, 1.0),
    "z": (slice(3, 6), MIDDLE, 0.5),
    "gaze right": (slice(7, 9), OVER_EYES, 0.15),
    "gaze down": (slice(9, 11), OVER_EYES, 0.15),
    "tongueOut": (slice(17, 21), (slice(14, 18),), 2.0),
}
GROUPS = (  # channels of `places`: how much each of these moves a place
    ("jaw",),
    ("mouthPucker", "mouthFunnel"),
    ("mouthSmile", "mouthStretch", "mouthDimple", "mouthFrown"),
    ("mouthClose", "mouthPress", "mouthRoll"),
    ("mouthUpperUp", "mouthLowerDown", "mouthShrug"),
    ("eyeBlink", "eyeSquint", "eyeWide"),
    ("brow",),
    ("cheekSquint", "noseSneer"),
)
SOFT = 1.5  # places over which a soft region fades
TURNED = ("yaw", "roll", "x", "gaze right")  # numbers that a mirror turns to the other side


@dataclass(frozen=True, eq=False)
class Places:
    """The face map of a head model.

    basis (62, 4, 32, 32) float32: the map of each number at 1.
    reader (62, 4096) float32: the matrix from a flat map to its numbers.
    regions: name -> mask (32, 32) float32 in [0, 1].
    places (20, 32, 32) float32, about [-2, 2]: a description of each place: x, y, z on the neutral face, the
        size of its displacement by each of `GROUPS`, and the cells of the fourth channel.
    rows (v,): indices of the model's vertices that lie on the map.
    share (v, 1024), sparse: bilinear weights of the places around each of these vertices.
    """

    basis: np.ndarray
    reader: np.ndarray
    regions: dict[str, np.ndarray]
    places: np.ndarray
    rows: np.ndarray
    share: sparse.csr_matrix

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Values (v,) at the vertices `rows` as a map (32, 32).

        A place has the mean of the vertices around it, or, where there are none, the nearest place's value.
        """
        weight = np.asarray(self.share.sum(0)).ravel()
        mean = (self.share.T @ values / np.maximum(weight, 1e-9)).reshape(SIDE, SIDE)
        nearest = distance_transform_edt(
            weight.reshape(SIDE, SIDE) < 1e-3, return_distances=False, return_indices=True
        )
        return mean[tuple(nearest)]


@lru_cache(maxsize=1)
def face_map() -> Places:
    """The face map of the head model that comes with this package; built once, in a fraction of a second."""
    model = head_model()
    face = slice(*model.part_range("face"))
    rows = np.flatnonzero(model.uv[face, 0] <= 1) + face.start
    share = _share(model.uv[rows])
    spread = _spreading(share)
    mouth = np.zeros((SIDE, SIDE), np.float32)
    mouth[MOUTH_ROWS, MOUTH_COLUMNS] = 1
    basis = np.zeros((len(NUMBERS), CHANNELS, SIDE, SIDE))
    moves = {name: model.shapes[k, rows] for k, name in enumerate(COEFFICIENTS[:-1])}
    moves["mouthClose"] = _closing(model, rows)
    for name, move in moves.items():
        if not name.startswith(FOLLOWS):
            laid = spread(move) * (mouth if name.startswith(MOUTH) else 1 - mouth)
            basis[INDEX[name], :3] = laid * ENERGY / np.linalg.norm(laid)
    for name, (rows_of, columns, value) in CELLS.items():
        for part in columns:
            basis[NUMBERS.index(name), 3, rows_of, part] = value
    used = np.flatnonzero(basis.any((1, 2, 3)))
    flat = basis[used].reshape(len(used), -1)
    gram = flat @ flat.T
    reader = np.zeros((len(NUMBERS), flat.shape[1]))
    reader[used] = np.linalg.solve(gram + RIDGE * np.diag(np.diag(gram)), flat)
    return Places(
        basis=basis.astype(np.float32),
        reader=reader.astype(np.float32),
        regions=_regions(mouth),
        places=_descriptions(spread(model.neutral[rows]), basis),
        rows=rows,
        share=share,
    )


@lru_cache(maxsize=1)
def weights() -> np.ndarray:
    """Return the weight of each number, (62,) float64: the norm of its map at 1, divided by ENERGY.

    ENERGY is the norm of a coefficient's map, so the weight of a coefficient is 1.
    """
    return np.linalg.norm(face_map().basis.reshape(len(NUMBERS), -1).astype(np.float64), axis=1) / ENERGY


def numbers_of(motion: HeadMotion) -> np.ndarray:
    """The numbers (f, 62) float32 of a relative motion."""
    return np.concatenate([motion.coefficients, motion.pose, motion.gaze], 1).astype(np.float32)


def motion_of(numbers: np.ndarray, times: np.ndarray) -> HeadMotion:
    """The relative motion of numbers (f, 62) at times (f,), seconds: the inverse of `numbers_of`.

    A map does not hold the eyeLook coefficients; here they follow the gaze.
    """
    names, pose = len(COEFFICIENTS), len(POSE)
    gaze = numbers[:, names + pose :]
    f = len(numbers)
    return HeadMotion(
        times=np.asarray(times, np.float64),
        coefficients=look(numbers[:, :names], gaze),
        pose=numbers[:, names : names + pose],
        gaze=gaze,
        confidence=np.ones(f, np.float32),
        shot=np.zeros(f, int),
    )


def mirrored(numbers: np.ndarray) -> np.ndarray:
    """The numbers (..., 62) of the same motion seen in a mirror."""
    columns, signs = _mirror()
    return numbers[..., columns] * signs


@lru_cache(maxsize=1)
def _mirror() -> tuple[np.ndarray, np.ndarray]:
    """For each number of a mirrored head, the index of the head's own number and its sign: (62,) each."""
    columns = [NUMBERS.index(_other_side(name)) for name in NUMBERS]
    signs = [-1.0 if name in TURNED else 1.0 for name in NUMBERS]
    return np.array(columns), np.array(signs, np.float32)


def _other_side(name: str) -> str:
    """The name of the number on the other side of the face, or the name itself."""
    for one, other in (("_L", "_R"), ("_R", "_L"), ("Left", "Right"), ("Right", "Left")):
        if name.endswith(one):
            return name.removesuffix(one) + other
    return name


def _share(uv: np.ndarray) -> sparse.csr_matrix:
    """Bilinear weights (v, 1024) of the map's places at uv coordinates (v, 2) in [0, 1], v upwards."""
    x, y = uv[:, 0] * SIDE - 0.5, (1 - uv[:, 1]) * SIDE - 0.5
    j, i = (np.clip(np.floor(v).astype(int), 0, SIDE - 2) for v in (x, y))
    right, down = np.clip(x - j, 0, 1), np.clip(y - i, 0, 1)
    weights = np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], 1)
    first = i * SIDE + j
    columns = first[:, None] + (0, 1, SIDE, SIDE + 1)
    at = np.repeat(np.arange(len(uv)), 4)
    return sparse.csr_matrix((weights.ravel(), (at, columns.ravel())), shape=(len(uv), SIDE * SIDE))


def _spreading(share: sparse.csr_matrix) -> Callable[[np.ndarray], np.ndarray]:
    """The function from values (v, k) at vertices to smooth maps (k, 32, 32) that give them back.

    It solves least squares with a small weight on the maps' slopes.
    """
    step = sparse.diags_array([np.ones(SIDE - 1), -np.ones(SIDE - 1)], offsets=[0, 1], shape=(SIDE - 1, SIDE))
    one = sparse.eye_array(SIDE)
    steps = sparse.vstack([sparse.kron(one, step), sparse.kron(step, one)])
    system = share.T @ share + 1e-3 * steps.T @ steps + 1e-8 * sparse.eye_array(SIDE * SIDE)
    factors = splu(sparse.csc_array(system))

    def spread(values: np.ndarray) -> np.ndarray:
        maps = factors.solve(np.asarray(share.T @ values.astype(np.float64)))
        return maps.T.reshape(-1, SIDE, SIDE)

    return spread


def _closing(model: HeadModel, rows: np.ndarray) -> np.ndarray:
    """The displacement (v, 3) of closing lips: the upper one down, the lower one up, most in the middle."""
    at, marks = model.neutral[rows], model.at_landmarks(model.neutral)
    line, (left, right) = (marks[13] + marks[14]) / 2, (marks[61], marks[291])
    along = (at[:, 0] - line[0]) / (abs(right[0] - left[0]) / 2)
    height = line[1] + ((left[1] + right[1]) / 2 - line[1]) * along**2
    weight = np.exp(-(((at[:, 1] - height) / CLOSING) ** 2)) * np.clip(1 - along**2, 0, None)
    weight *= at[:, 2] > min(left[2], right[2])
    uv_line = model.at_landmarks(model.uv)[[13, 14], 1].mean()
    move = np.zeros((len(rows), 3))
    move[:, 1] = np.where(model.uv[rows, 1] > uv_line, -weight, weight)
    return move


def _regions(mouth: np.ndarray) -> dict[str, np.ndarray]:
    """The regions by name: "mouth" (32, 32) and "upper" divide the map; soft ones fade inwards."""
    whole = np.ones_like(mouth)
    hard = {"mouth": mouth, "upper": 1 - mouth, "face": whole, "frame": whole}
    blurred = gaussian_filter(mouth, SOFT, mode="nearest")
    soft = {"mouth-soft": blurred * mouth, "upper-soft": (1 - blurred) * (1 - mouth), "face-soft": whole}
    return hard | soft


def _descriptions(neutral: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The channels `places` (20, 32, 32) of a map, from the neutral face (3, 32, 32) and the basis."""
    place = (neutral - neutral.mean((1, 2), keepdims=True)) / neutral.std((1, 2), keepdims=True)
    much = np.sqrt((basis[:, :3] ** 2).sum(1))
    groups = [
        much[[k for k, name in enumerate(COEFFICIENTS) if name.startswith(group)]].max(0) for group in GROUPS
    ]
    cells = [basis[NUMBERS.index(name), 3] for name in CELLS]
    scaled = [one / one.max() for one in (*groups, *cells)]
    return np.concatenate([place, np.stack(scaled)]).astype(np.float32)
