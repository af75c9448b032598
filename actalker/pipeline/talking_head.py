"""`TalkingHeadPipeline`: from a portrait and signals to frames and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..control.gates import Gates
from ..diffusion.sampling import SAMPLERS
from ..diffusion.windows import WINDOWS
from ..errors import InputError, one_of
from ..media.sound import Sound
from ..signals.script import Script
from ..signals.signal import SIGNALS
from ..timeline import parse_rate, parse_seconds
from .find import find_model
from .folder import check_files, load_model, save_model
from .generate import generate
from .inputs import ClipInputs, gather
from .interpolate import Between, blend, interpolated, load_between
from .memory import Arrangement, arrange, parse_budget, settle
from .model import TalkingHeadModel
from .plan import Plan, plan
from .progress import progress
from .steady import Steady

MOST_BETWEEN, MOST_REUSED = 4, 8
MASKS = ("paper", "released")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class TalkingHeadOutput:
    """frames: (f, h, w, 3) uint8. fps: exact. sound: the speech, cut to the clip, or None."""

    frames: np.ndarray
    fps: Fraction
    sound: Sound | None


@dataclass
class Request:
    """A clip that is ready to be made: its inputs and how it is sampled."""

    inputs: ClipInputs
    seed: int
    steps: int
    sampler: str | None
    guidance: Mapping[str, float]
    windows: str
    interpolate: int = 1
    """Frames of the video for each generated one."""
    between: Between = blend
    arrangement: Arrangement | None = None
    reuse: int = 1
    """Denoiser calls for which the outputs of attention are kept."""
    steady: bool = False
    """Whether colour and exposure are held where the clip begins."""
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        inputs = self.inputs
        self.plan = plan(
            inputs.model,
            inputs.frames,
            inputs.fps,
            ["identity", *inputs.opened()],
            self.guidance,
            self.steps,
            self.windows == "shifted",
            self.arrangement,
        )

    @property
    def fps(self) -> Fraction:
        """Frames a second of the video."""
        return self.inputs.fps * self.interpolate

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return self.inputs.frames * self.interpolate


class TalkingHeadPipeline:
    """A portrait and any mix of speech, facial motion and a script to a video.

    >>> pipe = TalkingHeadPipeline.from_pretrained("tiny")            # doctest: +SKIP
    >>> out = pipe(portrait="face.png", audio="speech.wav")           # doctest: +SKIP
    >>> out.frames.shape, out.fps                                     # doctest: +SKIP
    """

    def __init__(
        self, model: TalkingHeadModel, name: str = "model", hashes: Mapping[str, str] | None = None
    ) -> None:
        self.model, self.name, self.hashes = model, name, dict(hashes or {})
        self.arrangement = Arrangement(model.network.dtype)
        self.compiled = False
        self._progress: dict[str, Any] = {}

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        device: str = "auto",
        dtype: str | torch.dtype = "auto",
        memory: str = "max",
        compile: bool = False,
    ) -> TalkingHeadPipeline:
        """Load `tiny`, a model folder or a hub id.

        Args:
            device: auto, cpu, cuda or mps.
            dtype: auto (bfloat16 on CUDA, else float32), float32, bfloat16 or float16.
            memory: what may be used, `8GB` for example: the fastest arrangement that fits is taken.
            compile: whether the network goes through torch.compile.
        Raises: InputError for unknown models, folders that are not whole, and devices that are not there.
        """
        place = pick_device(device)
        kind = pick_dtype(dtype, place)
        budget, folder = parse_budget(memory), find_model(name)
        model = load_model(folder, "cpu", kind)
        most = 2 + sum(s in model.encoders for s in SIGNALS)  # passes, where identity and all are guided
        chosen = arrange(model, place.type, kind, budget, dtype == "auto", most)
        settle(model, chosen, place)
        pipeline = cls(model, str(name), check_files(folder))
        pipeline.arrangement, pipeline.compiled = chosen, compile
        if compile:
            model.network.compile()
        return pipeline

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model folder that `from_pretrained` reads."""
        save_model(self.model, Path(folder))

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of the progress bar: `disable=True` hides it, `desc` names it, `leave=True` keeps it."""
        for name in options:
            one_of(name, ("disable", "desc", "leave"), "option of the progress bar")
        self._progress = options

    def prepare(
        self,
        portrait: str | Path | np.ndarray,
        audio: str | Path | Sound | None = None,
        expression: str | Path | Iterable[np.ndarray] | None = None,
        text: str | Path | Script | None = None,
        gates: Gates | Mapping[str, Any] | None = None,
        regions: Mapping[str, str | Path] | None = None,
        masks: str = "paper",
        guidance: Mapping[str, float] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        windows: str | None = None,
        reuse: int = 1,
        steady: bool = False,
        seed: int = 0,
        fps: str | float | Fraction = 25,
        interpolate: int = 1,
        interpolator: str | Path = "linear",
        duration: str | float | Fraction | None = None,
        crop: str = "face",
        face_model: str | Path | None = None,
        face_index: int | None = None,
    ) -> Request:
        """Check every input; the result's `plan` tells what it costs. Arguments as `__call__`.

        A driving video's pictures are read when the first frames are made.
        """
        for name in regions or {}:
            one_of(name, SIGNALS, "signal")
        if one_of(masks, MASKS, "rule of masks") == "released":
            regions = {**dict.fromkeys(SIGNALS, "frame"), **(regions or {})}
        for name in guidance or {}:
            one_of(name, (*SIGNALS, "identity"), "signal")
        guidance = {**self.model.config.sampling.guidance, **(guidance or {})}
        for name, scale in guidance.items():
            if not 0 <= scale <= 100:
                raise InputError(f"guidance {name}={scale:g}: give a scale from 0 to 100; 1 is none")
        steps = self.model.config.sampling.steps if steps is None else steps
        if not 1 <= steps <= 1000:
            raise InputError(f"steps {steps}: give a number from 1 to 1000")
        if not 0 <= seed < 2**63:
            raise InputError(f"seed {seed}: give a number from 0 to 2^63 - 1")
        if sampler is not None:
            one_of(sampler, SAMPLERS, "sampler")
        settings = self.model.config.sampling
        windows = one_of(windows or settings.windows, WINDOWS, "kind of windows")
        if windows == "shifted" and (sampler or settings.sampler) != "euler":
            raise InputError(f"sampler {sampler or settings.sampler}: shifted windows take the sampler euler")
        if not 1 <= reuse <= MOST_REUSED:
            raise InputError(f"reuse {reuse}: give a number from 1 (none) to {MOST_REUSED}")
        if reuse > 1 and (windows == "shifted" or not self.arrangement.together):
            raise InputError(
                f"reuse {reuse}: needs overlapping windows, and guidance in one batch; leave it out"
            )
        one_of(crop, ("face", "none"), "crop")
        if not 1 <= interpolate <= MOST_BETWEEN:
            raise InputError(f"interpolate {interpolate}: give a number from 1 (none) to {MOST_BETWEEN}")
        between = load_between(interpolator)
        inputs = gather(
            self.model,
            portrait,
            audio,
            expression,
            text,
            gates if isinstance(gates, Gates) or gates is None else Gates(gates),
            regions,
            parse_rate(fps) / interpolate,
            None if duration is None else parse_seconds(str(duration)),
            crop,
            None if face_model is None else Path(face_model),
            face_index,
        )
        return Request(
            inputs,
            seed,
            steps,
            sampler,
            guidance,
            windows,
            interpolate,
            between,
            self.arrangement,
            reuse,
            steady,
        )

    def stream(
        self, request: Request, callback: Callable[[int, int], None] | None = None
    ) -> Iterator[np.ndarray]:
        """Generated frames (h, w, 3) uint8 of a prepared clip, in order, as their window is done.

        Frames between them are `interpolate.interpolated`'s.

        callback: told (window, step) after every denoiser call.
        """
        inputs = request.inputs
        pieces = generate(
            self.model,
            inputs.conditions,
            inputs.frames,
            request.seed,
            request.steps,
            request.sampler,
            request.guidance,
            request.windows,
            callback,
            self.arrangement.together,
            self.arrangement.decode,
            request.reuse,
        )
        hold = Steady(float(inputs.fps)) if request.steady else None
        for piece in pieces:
            yield from to_uint8(piece if hold is None else hold(piece))

    @torch.no_grad()
    def __call__(
        self,
        portrait: str | Path | np.ndarray,
        callback_on_step_end: Callable[[TalkingHeadPipeline, int, int, dict[str, Any]], Any] | None = None,
        **options: Any,
    ) -> TalkingHeadOutput:
        """Make a clip.

        Args:
            portrait: file or RGB array (h, w, 3) uint8.
            audio: file with sound, or a `Sound`. expression: driving video, or its frames at
                `fps` / `interpolate`.
            text: `"base | 0-1.2: smiles | ..."`, a YAML file or a `Script`. At least one of the three.
            gates: how far each signal is open, [0, 1] or a schedule in seconds; all open by default.
            regions: where a signal acts: mouth, upper, face, frame, or a mask picture.
            masks: paper, or released: every signal acts everywhere, as in ACTalker's released script.
            guidance: scale of each signal, and of `identity`, 1 = none; default: the model's own.
            steps, sampler, seed: of the sampling.
            windows: of long clips: overlapping, or shifted (they move on at every step).
            reuse: denoiser calls for which the outputs of attention are kept: faster, and a little different.
            steady: whether colour and exposure are held where the clip begins; for very long clips.
            fps: exact rate of the video.
            interpolate: frames of the video for each generated one. interpolator: what makes those between,
                linear or a TorchScript file (`load_between`).
            duration: seconds; default the speech's, else the driving video's, else the script's.
            crop: `face` (the canonical square around the face) or `none` (the centred square).
            face_model: MediaPipe's face_landmarker.task. face_index: which face, largest first.
            callback_on_step_end: as in diffusers: (pipeline, step, window, {}) after every step.
        Raises: InputError, with what to do, for inputs that cannot be used.
        """
        request = self.prepare(portrait, **options)
        frames: list[np.ndarray] = []
        with progress(request.plan, **self._progress) as tick:

            def told(window: int, step: int) -> None:
                tick()
                if callback_on_step_end is not None:
                    callback_on_step_end(self, step, window, {})

            frames.extend(interpolated(self.stream(request, told), request.interpolate, request.between))
        inputs = request.inputs
        sound = None
        if inputs.sound is not None:
            sound = inputs.sound.cut(Fraction(0), min(inputs.sound.duration, inputs.frames / inputs.fps))
        return TalkingHeadOutput(np.stack(frames), request.fps, sound)


def to_uint8(video: Tensor) -> np.ndarray:
    """(f, 3, h, w) in [-1, 1] to (f, h, w, 3) uint8."""
    return (
        ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    )


def pick_device(name: str) -> torch.device:
    """auto: CUDA, else Apple's GPU, else the CPU. Raises: InputError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    one_of(name, ("auto", *there), "device")
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        have = ", ".join(device for device, found in there.items() if found)
        raise InputError(f"device '{name}' is not there; use one of: {have}")
    return torch.device(name)


def pick_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """auto: bfloat16 on CUDA, else float32. Raises: InputError for float16 on a CPU: 100 times slower."""
    if isinstance(name, torch.dtype):
        return name
    one_of(name, ("auto", *DTYPES), "dtype")
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type == "cpu":
        raise InputError("dtype float16 on the CPU is unusably slow; use float32 or bfloat16")
    return DTYPES[name]
