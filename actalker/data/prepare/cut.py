"""Stages `cut` (which part of which video), `shots` (no cut inside) and `render` (the square clip, 25 fps,
16 kHz).

Every stage reads the part from its video, so frames are exact and encoded only once.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ...errors import InputError
from ...extras import need
from ...faces.crop import Crop
from ...media.sound import read_sound
from ...media.video import read_frames
from ...media.writer import VideoWriter
from ...timeline import Interval
from .entries import Entry
from .settings import CutConfig, CutLimits, RenderConfig, ShotsConfig, ShotsLimits
from .stages import Values, Work

CLIP, SOUND = "clip.mp4", "sound.wav"
RATE = 16000
CRF, PRESET = 14, "veryfast"  # H.264 of clips: takes a third of the default preset's time, files no larger
SMALLEST = 16  # pixels of a box's side
SOFT = 2  # pixels beside a bar that are darker than the picture
SEEN = 256  # pixels of the longer side in which cuts are looked for


def cut_reads(entry: Entry) -> list[object]:
    """What stage `cut` reads of an entry: its times and its box."""
    span = None if entry.span is None else [str(entry.span.start), str(entry.span.stop)]
    return [span, entry.box, entry.box_height]


def part(work: Work) -> Interval | None:
    """The clip's time span, counted from the video's first frame; None for the whole video.

    Annotated times count from the file's start, as `ffmpeg -ss` does; the picture may begin later than that.
    Raises: InputError when no frame lies in the span.
    """
    span, info = work.entry.span, work.before["probe"].values
    if span is None:
        return None
    late = Fraction(info["late"])
    start, stop = max(span.start - late, Fraction(0)), None if span.stop is None else span.stop - late
    if start >= info["duration"]:
        end = float(late) + info["duration"]
        raise InputError(f"starts at {float(span.start):g} s, and its video ends at {end:g} s")
    if stop is not None and stop <= 0:
        raise InputError(f"ends at {float(stop + late):g} s, and its picture begins at {float(late):g} s")
    return Interval(start, stop)


def measure_cut(work: Work, config: CutConfig) -> Values:
    """The clip's place in its video: `start`, from the file's, and `duration` in seconds, `box` in pixels.

    Where there are any, `missing` counts annotated seconds after the video's end, and `late` those before the
    first frame.
    """
    entry, info = work.entry, work.before["probe"].values
    late, length = float(Fraction(info["late"])), info["duration"]
    span = part(work) or Interval(Fraction(0))
    start, stop = float(span.start), length if span.stop is None else float(span.stop)
    values: Values = {"start": start + late, "duration": min(stop, length) - start}
    frame = 1 / info["fps"]
    if stop > length + frame:
        values["missing"] = round(stop - length, 3)
    if entry.span is not None and float(entry.span.start) < late - frame:
        values["late"] = round(late - float(entry.span.start), 3)
    box = pixel_box(entry, (info["height"], info["width"]), config.grow)
    return {**values, "box": list(_inside(box, work.before["bars"].values, info))}


def _inside(box: tuple[int, int, int, int], bars: dict[str, int], info: Values) -> tuple[int, int, int, int]:
    """The part of a box inside the black bars and inside the pixels that blur into them, with even sides.

    Raises: InputError where too little is left.
    """
    left, top, right, bottom = (
        bars[side] + SOFT if bars[side] else 0 for side in ("left", "top", "right", "bottom")
    )
    x0, y0 = max(box[0], left), max(box[1], top)
    x1, y1 = min(box[2], info["width"] - right), min(box[3], info["height"] - bottom)
    if min(x1 - x0, y1 - y0) < SMALLEST:
        raise InputError("its box lies in the black bars of its video")
    return x0, y0, x1 - (x1 - x0) % 2, y1 - (y1 - y0) % 2


def judge_cut(values: Values, limits: CutLimits) -> str | None:
    """The reason to reject a clip that is too short or too long, or None."""
    if values["duration"] < limits.shortest:
        return f"is {values['duration']:.2f} s long, less than --cut_limits.shortest {limits.shortest:g}"
    if values["duration"] > limits.longest:
        return f"is {values['duration']:.1f} s long, more than --cut_limits.longest {limits.longest:g}"
    return None


def pixel_box(entry: Entry, size: tuple[int, int], grow: float) -> tuple[int, int, int, int]:
    """The annotated box in a picture of (h, w) pixels: x0, y0, x1, y1 with even sides.

    grow: share of its size that the box gains on every side.
    Raises: InputError when the box lies outside the picture.
    """
    h, w = size
    if entry.box is None:
        return 0, 0, w - w % 2, h - h % 2
    scale = (
        (w, h, w, h) if entry.box_height is None else (h / entry.box_height if entry.box_height else 1.0,) * 4
    )
    x0, y0, x1, y1 = (side * k for side, k in zip(entry.box, scale, strict=True))
    across, down = grow * (x1 - x0), grow * (y1 - y0)
    x0, y0 = max(0, round(x0 - across)), max(0, round(y0 - down))
    x1, y1 = min(w, round(x1 + across)), min(h, round(y1 + down))
    x1, y1 = x1 - (x1 - x0) % 2, y1 - (y1 - y0) % 2
    if min(x1 - x0, y1 - y0) < SMALLEST:
        raise InputError(
            f"its box is outside the picture of {w} x {h} pixels, or under {SMALLEST} pixels wide"
        )
    return x0, y0, x1, y1


def clip_frames(work: Work, fps: Fraction | None = None, size: int | None = None) -> Iterator[np.ndarray]:
    """The clip's frames (h, w, 3) uint8, cut to its box; `fps` and `size` are those of `read_frames`, for the
    whole video.
    """
    values, info = work.before["cut"].values, work.before["probe"].values
    assert work.entry.video is not None
    scale = 1.0 if size is None else min(1.0, size / max(info["width"], info["height"]))
    x0, y0, x1, y1 = (round(side * scale) for side in values["box"])
    for frame in read_frames(work.entry.video, fps, size=size, span=part(work)):
        yield frame[y0:y1, x0:x1]


def measure_shots(work: Work, config: ShotsConfig) -> Values:
    """`cuts`: the times of cuts between shots in a clip, seconds, by PySceneDetect."""
    detectors = need("data", "scenedetect.detectors")
    common = need("data", "scenedetect.common")
    fps = work.before["probe"].values["fps"]
    detector = detectors.ContentDetector(threshold=config.threshold, min_scene_len=1)
    cuts = []
    for k, frame in enumerate(clip_frames(work, size=SEEN)):
        detected = detector.process_frame(
            common.FrameTimecode(k, fps), np.ascontiguousarray(frame[..., ::-1])
        )
        cuts += [round(cut.frame_num / fps, 3) for cut in detected]
    return {"cuts": cuts}


def judge_shots(values: Values, limits: ShotsLimits) -> str | None:
    """The reason to reject a clip with more cuts than allowed, or None."""
    cuts = values["cuts"]
    if len(cuts) <= limits.most:
        return None
    return f"has {len(cuts)} cut{'s' if len(cuts) > 1 else ''}, the first at {cuts[0]:.2f} s"


def measure_render(work: Work, config: RenderConfig) -> Values:
    """Write clip.mp4, the face's square at a constant rate, and sound.wav, 16 kHz mono and exactly as long.

    `sound` is false for a clip without a sound track, which has no sound.wav.
    """
    square, fps = Crop(*work.before["track"].values["square"]), Fraction(config.fps)
    size = (config.size, config.size)
    with VideoWriter(work.folder / CLIP, fps, size, crf=CRF, threads=1, preset=PRESET) as video:
        for frame in clip_frames(work, fps):
            video.write(square.apply(frame, config.size))
    sound = work.before["probe"].values["sound"]
    if sound:
        write_sound(work, video.frames / fps)
    return {"frames": video.frames, "duration": float(video.frames / fps), "sound": sound}


def write_sound(work: Work, seconds: Fraction, later: Fraction = Fraction(0)) -> None:
    """Write the clip's sound.wav, 16 kHz mono, `seconds` long, with silence where the video has no sound.

    later: seconds by which the sound comes later than in its video; negative: earlier.
    """
    assert work.entry.video is not None
    start = (part(work) or Interval(Fraction(0))).start - later
    sound = read_sound(work.entry.video, limit=max(start, Fraction(0)) + seconds)
    mono = np.zeros(round(seconds * RATE), np.float32)
    silent = max(-start, Fraction(0))
    if sound.duration > start and silent < seconds:
        heard = sound.cut(start + silent, start + seconds).mono(RATE)
        first = round(silent * RATE)
        heard = heard[: len(mono) - first]
        mono[first : first + len(heard)] = heard
    with wave.open(str(work.folder / SOUND), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((mono * 32767).round().clip(-32768, 32767).astype("<i2").tobytes())
