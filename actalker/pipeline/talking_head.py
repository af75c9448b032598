"""`TalkingHeadPipeline`: frames and sound from a portrait and driving signals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..diffusion.sampling import Observer
from ..errors import InputError, one_of
from ..media.sound import Sound
from ..signals.objects import PictureInput, SoundInput, VideoInput
from ..signals.script import Script
from ..signals.signal import SIGNALS
from .arguments import CALL, named, run_options
from .generate import generate
from .inputs import gather
from .model.memory import Arrangement
from .options import RunOptions
from .output.interpolate import interpolated, load_between
from .output.result import OUTPUT_TYPES, Frames, TalkingHeadOutput, as_output_type, to_float, to_uint8
from .output.steady import Steady
from .request import Request
from .sampling_plan import drawn_seed, sampling_plan
from .steps import StepCallback, Steps
from .stored import StoredPipeline

log = logging.getLogger("actalker")


class TalkingHeadPipeline(StoredPipeline):
    """Makes a video from a portrait and any mix of speech, facial motion and a script.

    >>> pipe = TalkingHeadPipeline.from_pretrained("tiny")            # doctest: +SKIP
    >>> out = pipe(portrait="face.png", audio="speech.wav")           # doctest: +SKIP
    >>> len(out.frames), out.fps                                      # doctest: +SKIP
    """

    _callback_tensor_inputs = ["latents", "frames"]

    @named(CALL)
    @run_options
    def prepare(
        self,
        portrait: PictureInput,
        audio: SoundInput | None = None,
        expression: VideoInput | None = None,
        text: str | Path | Script | None = None,
        *,
        options: RunOptions | None = None,
        num_inference_steps: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        **changes: object,
    ) -> Request:
        """Check and read the inputs of a clip; the result's `plan` says what the clip costs.

        Arguments as of `__call__`. The motion of a driving video is read later, with the first frames.
        Raises: InputError for inputs that cannot be used.
        """
        values: dict[str, object] = dict(audio=audio, expression=expression, text=text)
        values |= {name: changes.pop(name) for name in [*changes] if name in SIGNALS}
        chosen = _chosen(options or RunOptions(), changes, num_inference_steps, generator)
        sampling = sampling_plan(chosen, self.model.config.sampling, self.arrangement.together)
        between = load_between(chosen.interpolator)
        inputs = gather(self.model, portrait, values, chosen)
        return Request(
            inputs, chosen, sampling, latents=latents, between=between, arrangement=self.arrangement
        )

    def stream(
        self, request: Request, callback: Callable[[int, int], None] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the generated frames (h, w, 3) uint8 of a prepared clip in order, as each window is done.

        Frames between generated ones are not among them: `interpolate.interpolated` adds those.

        callback: called with (window, step) after every denoiser call.
        """
        return self._frames(request, Steps(self, callback))

    def _frames(self, request: Request, observer: Observer) -> Iterator[np.ndarray]:
        hold = Steady(float(request.inputs.fps)) if request.options.steady else None
        for piece in self._pieces(request, observer, self.arrangement):
            yield from to_uint8(piece if hold is None else hold(to_float(piece)))

    def _pieces(self, request: Request, observer: Observer, arrangement: Arrangement) -> Iterator[Tensor]:
        self._interrupt = False
        bound = request.inputs.portrait.bound
        try:
            yield from generate(
                self.model,
                request.inputs.conditions,
                request.inputs.frames,
                request.sampling,
                observer=observer,
                arrangement=arrangement,
                latents=request.latents,
                codec=bound,
                on_latents=request.on_latents,
            )
            for note in bound.notes:
                log.warning(note)
        finally:
            self.maybe_free_model_hooks()

    @torch.no_grad()
    @named(CALL)
    @run_options
    def __call__(
        self,
        portrait: PictureInput,
        audio: SoundInput | None = None,
        expression: VideoInput | None = None,
        text: str | Path | Script | None = None,
        *,
        options: RunOptions | None = None,
        num_inference_steps: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        **changes: object,
    ) -> TalkingHeadOutput | tuple[Frames, Fraction, Sound | None]:
        """Make a clip.

        Args:
            portrait: a file, or a PIL picture, an array or tensor; see `objects.as_picture`.
            audio: a file with sound, a `Sound`, or (array, rate); see `objects.as_sound`.
            expression: a driving video, or its frames at `fps` / `interpolate`; see `objects.as_frames`.
                Models of heads also accept a file of Live Link Face (.csv), or an absolute `HeadMotion`.
            text: `"base | 0-1.2: smiles | ..."`, a YAML file or a `Script`. At least one of the three.
            options: how the clip is made. Each field of `RunOptions` is an argument of its own as well, and
                replaces the value in options. So are `audio_start`, for `starts={"audio": ...}`, and the
                input of a signal that a user has added to the table.
            num_inference_steps: diffusers' name for steps.
            generator: the seed is drawn from it.
            latents: unit noise (1, f, c, h, w) that the clip starts from, in place of the seed's.
            output_type: kind of frames: pil, np (floats in [0, 1]), pt or latent; see `TalkingHeadOutput`.
            return_dict: False returns the tuple (frames, fps, sound).
            callback_on_step_end: as in diffusers, called with (pipeline, step, timestep, tensors) after every
                step of every window; `latents` in the dictionary that it returns replace the window's.
            callback_on_step_end_tensor_inputs: tensors that the callback gets: latents (1, f, c, h, w), and
                frames (f,), their numbers in the clip.
        Raises: InputError, with what to do, for inputs that cannot be used.
        Where `pipe._interrupt = True` ends a call, the windows that are done are returned, and the current
        one as it stands.
        """
        one_of(output_type, OUTPUT_TYPES, "output type")
        for name in callback_on_step_end_tensor_inputs:
            one_of(name, self._callback_tensor_inputs, "tensor of the callback")
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise InputError("callback_on_step_end: give a function (pipeline, step, timestep, tensors)")
        between = changes.get("interpolate", (options or RunOptions()).interpolate)
        if output_type == "latent" and between != 1:
            raise InputError(f"interpolate {between}: makes frames between pictures, not between latents")
        request = self.prepare(
            portrait,
            audio,
            expression,
            text,
            options=options,
            num_inference_steps=num_inference_steps,
            generator=generator,
            latents=latents,
            **changes,
        )
        self._num_timesteps = request.sampling.steps
        frames: Frames
        with self.progress_bar(total=request.plan.windows * request.plan.steps) as bar:
            observer = Steps(
                self, lambda *_: bar.update(), callback_on_step_end, callback_on_step_end_tensor_inputs
            )
            if output_type == "latent":
                frames = torch.cat(list(self._pieces(request, observer, replace(self.arrangement, decode=0))))
            else:
                pictures = self._frames(request, observer)
                every = interpolated(pictures, request.options.interpolate, request.between)
                frames = as_output_type(list(every), output_type)
        sound = request.inputs.sound
        if sound is not None:
            count = self.model.codec.frames_of(len(frames)) if output_type == "latent" else len(frames)
            sound = sound.cut(Fraction(0), min(sound.duration, count / request.fps))
        out = TalkingHeadOutput(frames, request.fps, sound)
        return out if return_dict else (out.frames, out.fps, out.sound)


def _chosen(
    options: RunOptions,
    arguments: Mapping[str, object],
    num_inference_steps: int | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> RunOptions:
    """The options with a call's arguments in their place: fields, and `NAME_start` of signals.

    Raises: InputError for wrong values, and for two arguments that set the same field.
    """
    changes: dict[str, Any] = dict(arguments)
    steps = changes.get("steps")
    if num_inference_steps is not None:
        if steps not in (None, num_inference_steps):
            raise InputError(
                f"steps {steps} and num_inference_steps {num_inference_steps}: give one of the two"
            )
        changes["steps"] = num_inference_steps
    seed = changes.pop("seed", None)
    if seed is not None or generator is not None:
        changes["seed"] = drawn_seed(seed, generator)
    starts = {name: changes.pop(f"{name}_start") for name in SIGNALS if f"{name}_start" in changes}
    if starts:
        changes["starts"] = {**options.starts, **starts}
    return replace(options, **changes)
