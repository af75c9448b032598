"""Training samples of pictures from shards of real clips: which window, which reference frame, which gates.

Letters: f frames of a window, H W the model's picture, t side of a driving crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..control.gates import Gates, draw_gates
from ..faces.crop import Crop, canonical_crop
from ..faces.face import Face
from ..media.image import Size, height_width
from ..regions.shapes import REGIONS
from ..signals.motion import motion_buckets
from ..signals.samples import ClipWindow
from ..signals.whisper import WhisperConfig, speech_features
from .clip_set import ClipSet, ClipSetConfig, script_of
from .members import decode_frames, read_features, read_sound, slice_frames
from .sample import Sample, signal_names
from .shards import Clip


@dataclass(frozen=True)
class ClipDataConfig(ClipSetConfig):
    """How training windows are cut from prepared clips."""

    size: Size = 128
    """Height and width of the model's picture, pixels, or the side of a square."""

    driver_size: int = 128
    """Side of the driving face's crop, pixels."""

    stride: int = 1
    """Step between the frames of a window, in clips at least twice as long as that takes; 1 in others.

    ACTalker (1.3) takes 2."""

    reference: int = 25
    """Frames before or after the window among which the portrait is drawn, beside those of the window."""

    whisper: WhisperConfig | None = None
    """The Whisper model whose hidden states are the audio features; none: log-mel windows."""


class ClipDataset(ClipSet[Sample]):
    """Windows of clips as samples of pictures. Arguments: as `ClipSet`."""

    config: ClipDataConfig

    def __init__(
        self, config: ClipDataConfig, training: bool = True, index: Sequence[Clip] | None = None
    ) -> None:
        super().__init__(config, training, index)
        self.speech = speech_features(config.whisper)

    def sample(self, place: int, index: int) -> Sample:
        """The window of clip `index` that belongs to a place. Raises: Damaged."""
        config, clip = self.config, self.clips[index]
        generator = self.generator(place)
        rows, reference, stride = self._rows(clip.frames, generator)
        video = () if "pixels.npy" in clip.members else ("mp4",)
        members = clip.read("json", "npz", "wav", *video)
        meta = self.meta(clip, members["json"])
        features = read_features(members["npz"], clip.frames)
        wanted = sorted({0, reference, *rows})
        pictures = dict(zip(wanted, read_pictures(clip, wanted, members.get("mp4")), strict=True))
        scale = pictures[0].shape[0] / features["mouth"].shape[0]  # decoded frames may be smaller
        scheme = meta["features"].get("scheme")
        faces = {k: _face(features, scheme, k, scale) for k in wanted}
        square, size = canonical_crop(faces[reference]), height_width(config.size)
        driving = Crop(*(float(v) * scale for v in features["crop"]))
        points = [faces[k].points().moved(square, size) for k in (reference, *rows)]
        masks = {name: REGIONS[name](points, size) >= 0.5 for name in ("face", "mouth")}
        rate = Fraction(config.fps, stride)
        first = rows[0] // stride
        audio = None
        if meta["sound"] and "wav" in members:
            mono = read_sound(members["wav"], clip.frames / config.fps)
            audio = self.speech.reader(mono, rate)(config.frames, first)
        window = ClipWindow(
            frames=config.frames,
            first=first,
            rate=rate,
            features=None if audio is None else audio.astype(np.float16),
            silence=self.speech.silence(config.frames).astype(np.float16),
            script=script_of(meta["script"], config.phases),
            phases=config.phases,
            motion={
                "crops": torch.stack([_cut(pictures[k], driving, config.driver_size) for k in rows]),
                "rest": _cut(pictures[0], driving, config.driver_size),
            },
        )
        has = self.of_clip(window)
        present = [name for name, signal in has.items() if signal.present]
        drawn = draw_gates(present, generator, config.all_open, fractional=0.0)
        gates = Gates({**dict.fromkeys(self.signals, 0.0), **drawn.pieces})
        return Sample(
            portrait=_cut(pictures[reference], square, size),
            frames=torch.stack([_cut(pictures[k], square, size) for k in rows]),
            arrays={name: signal.arrays for name, signal in has.items()},
            gates=torch.from_numpy(np.stack([gates.values(s, config.frames, rate) for s in self.signals])),
            face=masks["face"].to(torch.uint8),
            mouth=masks["mouth"].to(torch.uint8),
            micro=torch.tensor([float(rate), *_motion(features, scheme, rows)]),
            index=torch.tensor(index),
            signals=signal_names(self.signals),
        )

    def _rows(self, total: int, generator: torch.Generator) -> tuple[list[int], int, int]:
        """The window's frames, the portrait's frame, and the stride."""
        config = self.config
        stride = config.stride if total >= 2 * config.frames * config.stride else 1
        span = (config.frames - 1) * stride + 1

        def draw(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        first = draw(0, (total - span) // stride) * stride
        rows = list(range(first, first + span, stride))
        near = max(0, first - config.reference), min(total - 1, rows[-1] + config.reference)
        return rows, draw(*near), stride


def read_pictures(clip: Clip, rows: Sequence[int], video: bytes | None = None) -> list[np.ndarray]:
    """Frames `rows` (ascending) of a clip, each (h, w, 3) uint8.

    They come from the shard's `pixels.npy` where it has one, else from the mp4. video: the clip's mp4, if it
    was read already. Raises: Damaged.
    """
    if "pixels.npy" in clip.members:
        return slice_frames(lambda start, stop: clip.part("pixels.npy", start, stop), rows, clip.frames)
    return decode_frames(clip.read("mp4")["mp4"] if video is None else video, rows)


def _face(features: dict[str, np.ndarray], scheme: str | None, k: int, scale: float) -> Face:
    """The face of frame k in a picture that is `scale` times as large as the clip."""
    marks = features["landmarks"][k] * scale if "landmarks" in features else None
    x0, y0, x1, y1 = (float(v) * scale for v in features["boxes"][k])
    return Face((x0, y0, x1, y1), marks, scheme)


def _motion(features: dict[str, np.ndarray], scheme: str | None, rows: Sequence[int]) -> tuple[float, float]:
    """Head and expression motion of a window, as buckets from its landmarks; 0 where there are none."""
    if "landmarks" not in features or scheme is None:
        return 0.0, 0.0
    head, expression = motion_buckets(features["landmarks"][list(rows)], scheme)
    return float(head), float(expression)


def _cut(picture: np.ndarray, square: Crop, size: Size) -> Tensor:
    """A square of a picture (h, w, 3) uint8, as (3, H, W) uint8."""
    return torch.from_numpy(square.apply(picture, size).copy()).permute(2, 0, 1)
