"""Converts ICT-FaceKit's light model from its OBJ files to a compact form.

Parts that are never drawn are left out: lacrimal fluid, eye blend, eye occlusion, the inner ball with the
iris, and the second and third molars.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..model import COEFFICIENTS

MODES = 30  # of 100: the fit gains little from more
LEAST = 2e-3  # cm: an expression leaves out vertices that it moves by less
# fmt: off
PARTS = (  # name, vertices and polygons in the published files (their README), half-open
    ("face", (0, 9409), (0, 9230)),
    ("headneck", (9409, 11248), (9230, 11144)),
    ("mouth", (11248, 13294), (11144, 13226)),
    ("socket_l", (13294, 13678), (13226, 13630)),
    ("socket_r", (13678, 14062), (13630, 14034)),
    ("gums", (14062, 16602), (14034, 17006)),
    ("tongue", (16602, 17039), (17006, 17006)),  # it hangs together with the gums
    ("teeth_upper", (17416, 18870), (17398, 18858)),
    ("teeth_lower", (19602, 21096), (19616, 21130)),
    ("sclera_l", (21451, 22221), (21496, 22296)),
    ("sclera_r", (23021, 23791), (23094, 23894)),
    ("lash_l", (25351, 26035), (25304, 25844)),
    ("lash_r", (26035, 26719), (25844, 26384)),
)
IBUG68 = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268,
    493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200,
    6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
# fmt: on


@dataclass(frozen=True)
class Published:
    """The published folder, or a bare copy of its git repository."""

    path: Path

    def read(self, name: str) -> bytes:
        """A file of FaceXModel. Raises: InputError where it is not there."""
        if (file := self.path / "FaceXModel" / name).is_file():
            return file.read_bytes()
        shown = subprocess.run(
            ["git", "-C", str(self.path), "show", f"HEAD:FaceXModel/{name}"], capture_output=True
        )
        if shown.returncode:
            raise InputError(f"{self.path}: has no FaceXModel/{name}; give the folder of ICT-FaceKit")
        return shown.stdout

    def vertices(self, name: str) -> np.ndarray:
        """The vertices (26719, 3) float32, cm, of one of the OBJ files."""
        return _numbers(self.read(name), b"v ", 3)


def _numbers(text: bytes, start: bytes, columns: int) -> np.ndarray:
    """The numbers (k, columns) float32 of all lines of an OBJ file that begin with `start`."""
    rows = [line.split()[1 : 1 + columns] for line in text.split(b"\n") if line.startswith(start)]
    return np.array(rows, np.float32)


def convert(published: Published) -> dict[str, np.ndarray]:
    """The arrays of the model's file (`model.unpack`), without the places of MediaPipe's landmarks."""
    text = published.read("generic_neutral_mesh.obj")
    neutral = _numbers(text, b"v ", 3)
    keep = np.concatenate([np.arange(*vertices) for _, vertices, _ in PARTS])
    new = np.full(len(neutral), -1)
    new[keep] = np.arange(len(keep))
    triangles, uv = _surface(text, new)
    part = np.concatenate(
        [np.full(stop - first, k, np.uint8) for k, (_, (first, stop), _) in enumerate(PARTS)]
    )
    balls = np.isin(part, [k for k, (name, _, _) in enumerate(PARTS) if name.startswith("sclera")])
    start, vertices, moves = [0], [], []
    for name in COEFFICIENTS[:-1]:
        move = (published.vertices(f"{name}.obj") - neutral)[keep]
        move[balls] = 0  # gaze turns the eyeballs
        if name == "mouthClose":
            move[:] = 0  # it undoes an open jaw, and wrecks a closed mouth
        moved = np.flatnonzero(np.abs(move).max(1) > LEAST)
        vertices.append(moved.astype(np.uint16))
        moves.append(move[moved].astype(np.float16))
        start.append(start[-1] + len(moved))
    modes = [(published.vertices(f"identity{k:03d}.obj") - neutral)[keep] for k in range(MODES)]
    return {
        "neutral": neutral[keep],
        "part": part,
        "parts": np.array([name for name, _, _ in PARTS]),
        "triangles": triangles.astype(np.uint16),
        "uv": uv[keep].astype(np.float32),
        "shape_start": np.array(start, np.int32),
        "shape_vertices": np.concatenate(vertices),
        "shape_moves": np.concatenate(moves),
        "identities": np.array(modes, np.float16),
        "ibug68": new[list(IBUG68)].astype(np.uint16),
    }


def _surface(text: bytes, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface of the parts: triangles (t, 3), in the parts' order, and uv coordinates (v, 2).

    new (v,): the index in the compact model of every published vertex. At a seam a vertex has the coordinates
    in the first tile.
    """
    places = _numbers(text, b"vt ", 2)
    polygons = [
        [tuple(int(number) - 1 for number in corner.split(b"/")[:2]) for corner in line.split()[1:]]
        for line in text.split(b"\n")
        if line.startswith(b"f ")
    ]
    uv = np.full((len(new), 2), np.inf, np.float32)
    triangles = []
    for _, _, (first, stop) in PARTS:
        for polygon in polygons[first:stop]:
            corners = [vertex for vertex, _ in polygon]
            for vertex, place in polygon:
                uv[vertex] = min(tuple(uv[vertex]), tuple(places[place]))
            triangles += [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
    return new[np.array(triangles)], uv
