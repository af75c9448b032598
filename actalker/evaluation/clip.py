"""A video as the metrics see it: frames, sound and face, each read once, when first asked for.

Letters: f frames, h w picture size, p landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..faces.crop import Crop
from ..faces.track import Track, track_face
from ..media.files import VIDEO_ENDINGS, by_stem, video_files
from ..media.sound import Sound, read_sound
from ..media.video import VideoInfo, probe, read_frames

LONGEST = 60  # seconds of a clip that are held in memory


class Unmeasurable(Exception):
    """A metric has no value for a clip; the message is the reason, the same words for the same reason."""


@dataclass(frozen=True)
class Clip:
    """A file, and how faces are found in it. Raises: InputError for files that cannot be read.

    rate: frames a second at which it is read; None: as it is stored.
    """

    path: Path
    finder: str = "auto"
    face_model: Path | None = None
    rate: Fraction | None = None

    @cached_property
    def info(self) -> VideoInfo:
        """Size, rate and length."""
        return probe(self.path)

    @cached_property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.info.fps if self.rate is None else self.rate

    @cached_property
    def frames(self) -> np.ndarray:
        """(f, h, w, 3) uint8."""
        if self.info.duration > LONGEST:
            raise InputError(f"{self.path}: longer than {LONGEST} s; cut it into clips")
        return np.stack(list(read_frames(self.path, self.rate)))

    def at(self, fps: int) -> np.ndarray:
        """Frames at another rate, (f, h, w, 3) uint8."""
        return np.stack(list(read_frames(self.path, Fraction(fps))))

    @cached_property
    def sound(self) -> Sound:
        """The sound track. Raises: Unmeasurable when there is none."""
        try:
            return read_sound(self.path)
        except InputError as error:
            raise Unmeasurable(f"no sound that can be read: {str(error).split(':', 1)[-1].strip()}") from None

    @cached_property
    def track(self) -> Track:
        """The face in every frame. Raises: Unmeasurable when it is in less than half of them."""
        track = track_face(self.frames, self.finder, self.face_model)
        if track.share < 0.5:
            raise Unmeasurable("no face in most frames")
        return track

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(f, p, 2) pixels. Raises: Unmeasurable without a face, or a finder that knows no landmarks."""
        marks = self.track.landmarks()
        if marks is None:
            raise Unmeasurable("the face finder knows no landmarks; give --finder landmarker")
        return marks

    @cached_property
    def expressions(self) -> np.ndarray:
        """(f, 52) blendshapes in [0, 1]. Raises: Unmeasurable without MediaPipe's landmarker."""
        return self._known(self.track.expressions())

    @cached_property
    def poses(self) -> np.ndarray:
        """(f, 3) yaw, pitch and roll in degrees. Raises: Unmeasurable without MediaPipe's landmarker."""
        return self._known(self.track.poses())

    @staticmethod
    def _known(values: np.ndarray | None) -> np.ndarray:
        if values is None:
            raise Unmeasurable("the face finder knows neither expression nor pose; give --finder landmarker")
        return values

    @cached_property
    def scheme(self) -> str:
        """The name of the layout of the landmarks, a key of `faces.face.SCHEMES`."""
        return str(self.track.found[0].scheme)

    def heads(self, size: int) -> np.ndarray:
        """The face's square in every frame, (f, size, size, 3) uint8."""
        square: Crop = self.track.crop()
        return np.stack([square.apply(frame, size) for frame in self.frames])


def paired(generated: Path, reference: Path | None) -> list[tuple[str, Path, Path | None]]:
    """(name, generated file, reference file) for each clip; folders are paired by file names without endings.

    Raises: InputError for files that are no videos, folders without videos or with two of one name, and
        references that are missing.
    """
    generated_files = _videos(generated, reference)
    if reference is None:
        return [(name, path, None) for name, path in generated_files.items()]
    reference_files = _videos(reference, generated)
    if generated.is_file() and reference.is_file():
        return [(generated.stem, generated, reference)]
    missing = [name for name in generated_files if name not in reference_files]
    if missing:
        raise InputError(
            f"{reference}: has no video for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; files are paired by their names"
        )
    return [(name, path, reference_files[name]) for name, path in generated_files.items()]


def _videos(path: Path, other: Path | None) -> dict[str, Path]:
    """Name -> file; what lies in the other folder is not of this one."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        probe(path)  # a file that is no video is told before the work
        return by_stem([path], path.parent)
    inside = other if other is not None and other.is_dir() else None
    generated_files = by_stem(video_files(path, inside), path)
    if not generated_files:
        raise InputError(f"{path}: holds no videos ({', '.join(VIDEO_ENDINGS)})")
    return generated_files
