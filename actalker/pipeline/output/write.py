"""Writes a prepared clip to files: the video, its sidecar, the preview and the motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from ...codecs.codec import Bound, no_motion
from ...faces.find import choose_finder
from ...heads.motion import HeadMotion, joined
from ...heads.take import write_take
from ...media.image import write_png
from ...media.writer import VideoWriter
from ...provenance import file_hash, made_by, versions, whole_file, write_sidecar
from ...signals.signal import SIGNALS
from ..request import Request
from ..talking_head import TalkingHeadPipeline
from .files import is_file, sidecar_of
from .interpolate import interpolated
from .mark import Mark
from .preview import preview, shown_frames
from .watch import Watch

SOURCES = ("portrait", "face_model", "interpolator")  # settings that may name a file, beside the signals'


def write_clip(
    pipeline: TalkingHeadPipeline,
    request: Request,
    video: Path,
    settings: Mapping[str, object],
    preview_to: Path | None = None,
    motion_to: Path | None = None,
    mark: bool = False,
    overwrite: bool = False,
    callback: Callable[[int, int], None] | None = None,
) -> None:
    """Generate a clip, and write it with its sidecar and, where paths are given, its preview and its motion.

    Frames are written as each window is done, so that memory does not grow with the clip. The files appear
    together once all are whole; an interrupted run leaves none behind.

    Args:
        pipeline, request: the clip is `pipeline.stream(request)`.
        video: path of the video; the sidecar is beside it.
        settings: the user's settings, for the sidecar; files that they name are hashed.
        preview_to, motion_to: paths of the preview (.png) and of the head's motion (.csv), a row a frame.
        mark: whether frames carry a small mark that says that they are generated.
        overwrite: whether the files may exist already.
        callback: called with (window, step) after every denoiser call.
    Raises: InputError, before any work, where motion is to be written and the model makes pictures.
    """
    inputs = request.inputs
    wanted = set(shown_frames(inputs.frames)) if preview_to is not None else set()
    shown: dict[int, np.ndarray] = {}
    if motion_to is not None and not inputs.model.codec.moves:
        raise no_motion()
    bound = inputs.portrait.bound
    motion = _Motion(bound, float(inputs.fps))
    if motion_to is not None:
        request.on_latents = motion
    watch = Watch(request)
    content = sidecar(pipeline, request, settings)  # of the inputs as they are now, not after the work
    with ExitStack() as stack:
        side = stack.enter_context(whole_file(sidecar_of(video), overwrite))
        sheet = None if preview_to is None else stack.enter_context(whole_file(preview_to, overwrite))
        take = None if motion_to is None else stack.enter_context(whole_file(motion_to, overwrite))
        writer = stack.enter_context(
            VideoWriter(video, request.fps, bound.size, inputs.sound, overwrite, says=made_by(pipeline.name))
        )
        marked = Mark(bound.size) if mark else None

        def watched() -> Iterator[np.ndarray]:
            for number, frame in enumerate(pipeline.stream(request, callback)):
                watch.see(frame)
                if number in wanted:
                    shown[number] = frame
                yield frame

        for frame in interpolated(watched(), request.options.interpolate, request.between):
            writer.write(frame if marked is None else marked(frame))
        if sheet is not None:
            write_png(sheet, preview(inputs, shown))
        if take is not None:
            write_take(take, joined(motion.pieces))
        write_sidecar(side, {**content, "scores": watch.report()})


class _Motion:
    """Collects the head's motion from a clip's latents, window by window."""

    def __init__(self, bound: Bound, fps: float) -> None:
        self.bound, self.fps, self.pieces, self.frames = bound, fps, list[HeadMotion](), 0

    def __call__(self, latents: Tensor) -> None:
        self.pieces.append(self.bound.motion(latents, self.frames, self.fps))
        self.frames += latents.shape[1]


def sidecar(
    pipeline: TalkingHeadPipeline, request: Request, settings: Mapping[str, object]
) -> dict[str, object]:
    """Return all that the video depends on: settings, seeds, versions, hashes of inputs and model.

    settings: the user's settings; files that they name are hashed.
    """
    inputs = request.inputs
    chosen = settings.get("face_model")
    finder, model = choose_finder("auto", Path(str(chosen)) if chosen else None)
    sources = {**settings, **({"face_model": model} if finder == "landmarker" else {})}
    files = {name: str(sources[name]) for name in (*SOURCES, *SIGNALS) if is_file(sources.get(name))}
    choices = inputs.choices()
    files |= {f"region {name}": str(choice) for name, choice in choices.items() if isinstance(choice, Path)}
    return {
        "settings": settings,
        "options": request.options.record(),
        **asdict(request.sampling),
        "fps": str(request.fps),
        "frames": request.frames,
        "interpolate": request.options.interpolate,
        "seconds": float(inputs.frames / inputs.fps),
        "gates": inputs.gates.describe(),
        "regions": {name: str(choice) for name, choice in choices.items()},
        **inputs.record(),
        "face_finder": inputs.portrait.finder,
        "face_box": [round(float(v), 2) for v in inputs.portrait.face.box],
        **inputs.portrait.bound.record(),
        "quarter_turns": inputs.portrait.turns,
        "device": str(inputs.model.device),
        "dtype": str(inputs.model.network.dtype).removeprefix("torch."),
        "memory": str(pipeline.arrangement),
        "steady": request.options.steady,
        "liveliness": float(request.options.liveliness),
        "compiled": pipeline.compiled,
        "model": {"name": pipeline.name, "files": pipeline.hashes},
        "inputs": {name: {"file": path, "hash": file_hash(path)} for name, path in files.items()},
        "versions": versions(),
    }
