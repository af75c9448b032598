"""`TalkingHeadPipeline`: from a portrait and signals to frames and sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codecs.codec import VIEWS
from ..control.gates import Gates
from ..diffusion.sampling import Observer
from ..errors import InputError, kind_of, one_of, whole
from ..media.sound import Sound
from ..signals.script import Script
from ..timeline import parse_rate, parse_seconds
from .arguments import CALL, named
from .generate import generate
from .inputs import gather
from .interpolate import interpolated, load_between
from .objects import PictureInput, SoundInput, VideoInput, as_frames, as_picture, as_sound
from .request import Request, acting, by_signal, longest_side, sampling, share
from .result import OUTPUT_TYPES, TalkingHeadOutput, as_output_type, to_float, to_uint8
from .steady import Steady
from .steps import StepCallback, Steps
from .stored import StoredPipeline

log = logging.getLogger("actalker")
MOST_BETWEEN = 4


class TalkingHeadPipeline(StoredPipeline):
    """A portrait and any mix of speech, facial motion and a script to a video.

    >>> pipe = TalkingHeadPipeline.from_pretrained("tiny")            # doctest: +SKIP
    >>> out = pipe(portrait="face.png", audio="speech.wav")           # doctest: +SKIP
    >>> len(out.frames), out.fps                                      # doctest: +SKIP
    """

    _callback_tensor_inputs = ["latents", "frames"]

    @named(CALL)
    def prepare(
        self,
        portrait: PictureInput,
        audio: SoundInput | None = None,
        expression: VideoInput | None = None,
        text: str | Path | Script | None = None,
        *,
        gates: Gates | Mapping[str, Any] | None = None,
        regions: Mapping[str, str | Path] | None = None,
        masks: str = "paper",
        guidance: Mapping[str, float] | None = None,
        steps: int | None = None,
        num_inference_steps: int | None = None,
        sampler: str | None = None,
        windows: str | None = None,
        reuse: int = 1,
        steady: bool = False,
        liveliness: float = 0.5,
        seed: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        fps: str | float | Fraction = 25,
        interpolate: int = 1,
        interpolator: str | Path = "linear",
        duration: str | float | Fraction | None = None,
        crop: str = "face",
        view: str | None = None,
        size: int | str | None = None,
        face_model: str | Path | None = None,
        face_index: int | None = None,
        audio_start: str | float | Fraction = 0,
        expression_start: str | float | Fraction = 0,
    ) -> Request:
        """Check every input; the result's `plan` tells what it costs. Arguments as `__call__`.

        A driving video's motion is read when the first frames are made.
        """
        if steps is not None and num_inference_steps not in (None, steps):
            raise InputError(
                f"steps {steps} and num_inference_steps {num_inference_steps}: give one of the two"
            )
        how = sampling(
            self.model.config.sampling,
            self.arrangement.together,
            guidance,
            num_inference_steps if steps is None else steps,
            sampler,
            windows,
            reuse,
            seed,
            generator,
        )
        one_of(crop, ("face", "none"), "crop")
        whole(interpolate, "interpolate", MOST_BETWEEN, hint=" (none)")
        if not isinstance(text, (str, Path, Script, type(None))):
            raise InputError(f"text: is {kind_of(text)}; give a script, or a YAML file's path")
        if face_index is not None and not hasattr(face_index, "__index__"):
            raise InputError(f"face_index {face_index!r}: give a whole number; 0 is the largest face")
        between = load_between(interpolator)
        inputs = gather(
            self.model,
            as_picture(portrait),
            None if audio is None else as_sound(audio),
            None if expression is None else as_frames(expression),
            text,
            gates if isinstance(gates, Gates) else Gates(by_signal(gates, "gates", 0.5)),
            acting(regions, masks),
            parse_rate(fps) / interpolate,
            None if duration is None else parse_seconds(str(duration)),
            crop,
            None if face_model is None else Path(face_model),
            face_index,
            parse_seconds(str(audio_start)),
            parse_seconds(str(expression_start)),
            None if view is None else one_of(view, VIEWS, "view"),
            longest_side(size),
            share(liveliness, "liveliness"),
            how["seed"],
        )
        return Request(
            inputs,
            **how,
            latents=latents,
            interpolate=interpolate,
            between=between,
            arrangement=self.arrangement,
            steady=steady,
            liveliness=float(liveliness),
        )

    def stream(
        self, request: Request, callback: Callable[[int, int], None] | None = None
    ) -> Iterator[np.ndarray]:
        """Generated frames (h, w, 3) uint8 of a prepared clip, in order, as their window is done.

        Frames between them are `interpolate.interpolated`'s.

        callback: told (window, step) after every denoiser call.
        """
        return self._frames(request, Steps(self, callback))

    def _frames(self, request: Request, observer: Observer) -> Iterator[np.ndarray]:
        hold = Steady(float(request.inputs.fps)) if request.steady else None
        for piece in self._pieces(request, observer, self.arrangement.decode):
            yield from to_uint8(piece if hold is None else hold(to_float(piece)))

    def _pieces(self, request: Request, observer: Observer, decode: int) -> Iterator[Tensor]:
        self._interrupt = False
        try:
            yield from generate(
                self.model,
                request.inputs.conditions,
                request.inputs.frames,
                request.seed,
                request.steps,
                request.sampler,
                request.guidance,
                request.windows,
                observer,
                self.arrangement.together,
                decode,
                request.reuse,
                request.latents,
                request.inputs.portrait.bound,
                request.told_latents,
            )
            for note in request.inputs.portrait.bound.notes:
                log.warning(note)
        finally:
            self.maybe_free_model_hooks()

    @torch.no_grad()
    @named(CALL)
    def __call__(
        self,
        portrait: PictureInput,
        audio: SoundInput | None = None,
        expression: VideoInput | None = None,
        text: str | Path | Script | None = None,
        *,
        gates: Gates | Mapping[str, Any] | None = None,
        regions: Mapping[str, str | Path] | None = None,
        masks: str = "paper",
        guidance: Mapping[str, float] | None = None,
        steps: int | None = None,
        num_inference_steps: int | None = None,
        sampler: str | None = None,
        windows: str | None = None,
        reuse: int = 1,
        steady: bool = False,
        liveliness: float = 0.5,
        seed: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        fps: str | float | Fraction = 25,
        interpolate: int = 1,
        interpolator: str | Path = "linear",
        duration: str | float | Fraction | None = None,
        crop: str = "face",
        view: str | None = None,
        size: int | str | None = None,
        face_model: str | Path | None = None,
        face_index: int | None = None,
        audio_start: str | float | Fraction = 0,
        expression_start: str | float | Fraction = 0,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> TalkingHeadOutput | tuple[Any, Fraction, Sound | None]:
        """Make a clip.

        Args:
            portrait: a file, or a PIL picture, an array or tensor; see `objects.as_picture`.
            audio: a file with sound, a `Sound`, or (array, rate); see `objects.as_sound`.
            expression: a driving video, or its frames at `fps` / `interpolate`; see `objects.as_frames`.
            Models
                of heads take a take too: a file of Live Link Face (.csv), or an absolute `HeadMotion`.
            text: `"base | 0-1.2: smiles | ..."`, a YAML file or a `Script`. At least one of the three.
            gates: how far each signal is open, [0, 1] or a schedule in seconds; all open by default.
            regions: where a signal acts: mouth, upper, face, frame, or a mask picture.
            masks: paper, or released: every signal acts everywhere, as in ACTalker's released script.
            guidance: scale of each signal, and of `identity`, 1 = none; default: the model's own.
            steps, sampler: of the sampling. num_inference_steps: diffusers' name for steps.
            seed: same seed, same clip; 0 if not given. generator: a seed is drawn from it instead.
            latents: unit noise (1, f, c, h, w) to start from, in place of the seed's.
            windows: of long clips: overlapping, or shifted (they move on at every step).
            reuse: denoiser calls for which the outputs of attention are kept: faster, and a little different.
            steady: whether colour and exposure are held where the clip begins; for very long clips.
            liveliness: of models of heads, 0 to 1: how much a face blinks and moves of itself where there is
                no driving video; the gate of expression scales it.
            fps: exact rate of the video.
            interpolate: frames of the video for each generated one. interpolator: what makes those between,
                linear or a TorchScript file (`load_between`).
            duration: seconds; default the speech's, else the driving video's, else the script's.
            crop: `face` (the canonical square around the face) or `none` (the centred square).
            view: of models of heads: photo, the whole photograph, or face, the square around the face.
            size: of models of heads: longest side of the frames, pixels, or own, the photograph's own;
            1280 if
                not given. A smaller photograph keeps its size.
            audio_start: seconds of the sound that are left out at its beginning, exact to the sample.
            expression_start: seconds of the driving video that are left out at its beginning.
            face_model: MediaPipe's face_landmarker.task. face_index: which face, largest first.
            output_type: kind of frames: pil, np (floats in [0, 1]), pt or latent; see `TalkingHeadOutput`.
            return_dict: False gives the tuple (frames, fps, sound).
            callback_on_step_end: as in diffusers: told (pipeline, step, timestep, tensors) after every step
                of every window; `latents` in the dictionary that it returns take the place of the window's.
            callback_on_step_end_tensor_inputs: tensors that it is told: latents (1, f, c, h, w), and frames
                (f,), their numbers in the clip.
        Raises: InputError, with what to do, for inputs that cannot be used.
        Where `pipe._interrupt = True` ends a call, it gives what there is: windows that are done, and the one
        at hand as it stands.
        """
        one_of(output_type, OUTPUT_TYPES, "output type")
        if output_type == "latent" and interpolate != 1:
            raise InputError(f"interpolate {interpolate}: makes frames between pictures, not between latents")
        for name in callback_on_step_end_tensor_inputs:
            one_of(name, self._callback_tensor_inputs, "tensor of the callback")
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise InputError("callback_on_step_end: give a function (pipeline, step, timestep, tensors)")
        request = self.prepare(
            portrait,
            audio,
            expression,
            text,
            gates=gates,
            regions=regions,
            masks=masks,
            guidance=guidance,
            steps=steps,
            num_inference_steps=num_inference_steps,
            sampler=sampler,
            windows=windows,
            reuse=reuse,
            steady=steady,
            liveliness=liveliness,
            seed=seed,
            generator=generator,
            latents=latents,
            fps=fps,
            interpolate=interpolate,
            interpolator=interpolator,
            duration=duration,
            crop=crop,
            view=view,
            size=size,
            face_model=face_model,
            face_index=face_index,
            audio_start=audio_start,
            expression_start=expression_start,
        )
        self._num_timesteps = request.steps
        frames: Any
        with self.progress_bar(total=request.plan.windows * request.plan.steps) as bar:
            told = Steps(
                self, lambda *_: bar.update(), callback_on_step_end, callback_on_step_end_tensor_inputs
            )
            if output_type == "latent":
                frames = torch.cat(list(self._pieces(request, told, 0)))
            else:
                made = interpolated(self._frames(request, told), request.interpolate, request.between)
                frames = as_output_type(list(made), output_type)
        sound = request.inputs.sound
        if sound is not None:
            sound = sound.cut(Fraction(0), min(sound.duration, len(frames) / request.fps))
        out = TalkingHeadOutput(frames, request.fps, sound)
        return out if return_dict else (out.frames, out.fps, out.sound)
