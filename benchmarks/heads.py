"""The time and memory of fitting, tracking and drawing a head on one core, and the errors of fit and track.

    OMP_NUM_THREADS=1 python benchmarks/heads.py [--portraits FOLDER] [--videos FOLDER]

Times are those of the astronaut that comes with scikit-image. FOLDER of portraits: pictures of one face each;
those whose number divides by 8 have a row of their own, for nothing was fitted to them. FOLDER of videos: the
landmarks of each frame are compared with those that the fit of the first frame and the track predict; nothing
is drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faces import kept_aside
from measuring import machine, medians, peak_megabytes, row, table
from PIL import Image
from skimage import data

from actalker.faces.face import Face
from actalker.faces.landmarker import find_by_landmarker, look_closer
from actalker.heads.camera import rotation, shift_of, to_camera
from actalker.heads.drawing import HeadPortrait
from actalker.heads.fit import HeadFit, fit_face, fit_head
from actalker.heads.landmarks import EYES, LIPS, MESH, eyes_distance
from actalker.heads.model import head_model
from actalker.heads.outline import person_outline
from actalker.heads.track import Frames, fit_track, watch
from actalker.media.files import picture_files
from actalker.media.image import read_image
from actalker.media.video import timed_frames

SIZES = (512, 1280)  # pixels of a photograph's side
TRACKED, LONGEST = 50, 200  # frames that are timed; of each video
VIDEOS = (".mp4", ".mov", ".mkv", ".webm")


def largest(image: np.ndarray) -> Face | None:
    """The largest face of a picture (h, w, 3) uint8, or None."""
    return max(find_by_landmarker(image), key=lambda face: face.area, default=None)


def posed(size: int) -> tuple[np.ndarray, Face]:
    """The astronaut, `size` pixels high and wide, and her face."""
    picture = Image.fromarray(data.astronaut()).resize((size, size), Image.Resampling.BICUBIC)
    image = np.asarray(picture)
    face = largest(image)
    assert face is not None
    return image, face


def costs() -> None:
    """Prints the milliseconds of every step."""
    model = head_model()
    image, face = posed(512)
    fit, outline = fit_face(face, image), person_outline(image)
    seen = Frames(np.arange(TRACKED) / 25, (face,) * TRACKED, np.zeros(TRACKED, bool), (512, 512))
    moved = model.coefficients(jawOpen=0.2, mouthSmile=0.2, eyeBlink=0.4)
    turned, glance = np.array([6.0, 3, 2, 0, 0, 0]), np.array([5.0, 0])
    calls: dict[str, Callable[[], object]] = {
        "fit": lambda: fit_face(face, image),
        "the person's outline": lambda: person_outline(image),
        "portrait made ready, 512": lambda: HeadPortrait(image, fit, outline),
        "a tracked frame: landmarks": lambda: look_closer(image, face),
        f"a tracked frame: its fit ({TRACKED} frames)": lambda: fit_track(seen),
    }
    for size in SIZES:
        picture, there = posed(size)
        ready = HeadPortrait(picture, fit_face(there, picture), person_outline(picture))
        calls[f"a drawn frame, {size}"] = lambda ready=ready: ready.draw(moved, turned, glance)
    table(("step", "ms", "spread"))
    for name, (time, spread) in medians(calls, 2.0).items():
        frames = TRACKED if "frames" in name else 1
        row(name, time / frames, f"±{100 * spread:.0f} %")


def memory() -> None:
    """Prints the peak memory of a portrait beyond that of the head model and the landmarker.

    It must run before anything else: MediaPipe does not stand a fork.
    """

    def whole() -> Callable[[], object]:
        head_model()
        image, face = posed(512)
        person_outline(image)

        def run() -> None:
            ready = HeadPortrait(image, fit_face(face, image), person_outline(image))
            ready.draw(head_model().coefficients(jawOpen=0.2), np.array([6.0, 3, 2, 0, 0, 0]), np.zeros(2))

        return run

    print(
        f"a portrait fitted, made ready and drawn: {peak_megabytes(whole):.0f} MB above model and landmarker"
    )


def missed(fit: HeadFit, points: np.ndarray) -> np.ndarray:
    """Distances (468,) of the mesh's landmarks, offset applied, from a picture's: % of the eyes' distance."""
    at = head_model().at_landmarks(fit.vertices()).astype(float)
    off = np.linalg.norm(fit.camera.project(to_camera(at, fit.R, fit.T)) - points, axis=1)
    return 100 * off[:MESH] / eyes_distance(points)


def portraits(folder: Path) -> None:
    """Prints the fits' errors over a folder of portraits."""
    table(
        ("portraits", "found", "error, %: mean", "95 of 100", "largest", "after the offset", "lips", "eyes")
    )
    files = picture_files(folder)
    for name, chosen in (("fitted to", False), ("kept aside", True)):
        rows = []
        these = [path for path in files if kept_aside(path) == chosen]
        for path in these:
            image = read_image(path)
            if (face := largest(image)) is None:
                continue
            fit = fit_face(face, image)
            left = missed(fit, fit.points)
            rows.append((100 * fit.error, left.mean(), left[list(LIPS)].mean(), left[list(EYES)].mean()))
        if not rows:
            continue
        error, after, lips, eyes = np.array(rows).T
        count = f"{len(rows)} of {len(these)}"
        errors = (error.mean(), np.percentile(error, 95), error.max())
        row(name, count, *errors, *(left.mean() for left in (after, lips, eyes)))


def predicted(path: Path) -> tuple[object, ...]:
    """A video's row: how well its first frame's fit and its track predict the landmarks of all frames."""
    model = head_model()
    frames = [(time, frame) for k, (time, frame) in enumerate(timed_frames(path, 1920)) if k < LONGEST]
    seen = watch(frames, str(path))
    motion, identity = fit_track(seen)
    first = next(k for k, face in enumerate(seen.faces) if face is not None)
    here = seen.faces[first]
    assert here is not None and here.landmarks is not None
    fit = fit_head(here.landmarks, seen.size, here.expression, identity)
    relative = motion.relative(motion[first : first + 1])
    rows = []
    for k, face in enumerate(seen.faces):
        if face is None or face.landmarks is None or motion.shot[k] != motion.shot[first]:
            continue
        coefficients, pose = fit.coefficients + relative.coefficients[k], fit.pose + relative.pose[k]
        R = rotation(*pose[:3])
        at = model.at_landmarks(model.shape(identity, coefficients) + fit.offset).astype(float)
        points = fit.camera.project(to_camera(at, R, shift_of(R, pose[3:])))
        truth, eyes = face.landmarks, eyes_distance(face.landmarks)
        off = np.linalg.norm(points - truth, axis=1)[:MESH].mean() / eyes
        gap, width = (np.linalg.norm(truth[a] - truth[b]) / eyes for a, b in ((13, 14), (61, 291)))
        drawn_width = np.linalg.norm(points[61] - points[291]) / eyes
        rows.append((100 * off, model.opening(coefficients), gap, drawn_width, width))
    table_ = np.array(rows)
    opening, width = (np.corrcoef(table_[:, k], table_[:, k + 1])[0, 1] for k in (1, 3))
    count = sum(face is not None for face in seen.faces)
    return path.name, f"{count} of {len(frames)}", int(motion.shot[-1]), table_[:, 0].mean(), opening, width


def main() -> None:
    """Reads the command line, measures, and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portraits", type=Path)
    parser.add_argument("--videos", type=Path)
    options = parser.parse_args()
    print(machine())
    memory()
    costs()
    if options.portraits is not None:
        portraits(options.portraits)
    if options.videos is not None:
        table(("video", "face in", "cuts", "landmarks' error, %", "r of the opening", "r of the width"))
        for path in sorted(options.videos.iterdir()):
            if path.suffix.lower() in VIDEOS:
                row(*predicted(path))


if __name__ == "__main__":
    main()
