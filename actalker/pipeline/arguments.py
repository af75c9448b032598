"""Checks of argument names: the error for an unknown one says what to give instead.

That is the nearest name, or for an argument of diffusers what takes its place here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import InputError, one_of
from ..signals.signal import SIGNALS
from .options import RunOptions

P = ParamSpec("P")
R = TypeVar("R")

CALL = {  # arguments of diffusers' pipelines, and what to give instead
    "image": "it is called portrait",
    "prompt": "it is called text, a script: 'a woman talks | 0-1.2: smiles'",
    "negative_prompt": "there is none; guidance={'text': 2.0} pushes the script",
    "height": "models of heads take size, the longer side; others have one, pipe.model.config.size",
    "width": "models of heads take size, the longer side; others have one, pipe.model.config.size",
    "num_frames": "give duration, in seconds",
    "sigmas": "noise levels are the model's; give steps, or sampler",
    "timesteps": "noise levels are the model's; give steps, or sampler",
    "guidance_scale": "each signal has its own: guidance={'audio': 2.0}",
    "min_guidance_scale": "each signal has its own: guidance={'audio': 2.0}",
    "max_guidance_scale": "each signal has its own: guidance={'audio': 2.0}",
    "motion_bucket_id": "motion comes from the signals; gates={'expression': 0.5} lessens it",
    "noise_aug_strength": "the portrait is taken without noise; leave it out",
    "decode_chunk_size": "give memory='8GB' to from_pretrained",
    "num_videos_per_prompt": "one clip is made a call; call again with another seed",
}
LOAD = {
    "max_memory": "give memory='8GB'",
    "offload_folder": "weights wait in the main memory, not on disk; give memory='8GB'",
    "offload_state_dict": "leave it out; weights are read straight from their files",
    "low_cpu_mem_usage": "leave it out; weights are read straight from their files",
    "disable_mmap": "leave it out; weights are read straight from their files",
    "use_flashpack": "weights are safetensors; leave it out",
    "use_onnx": "weights are safetensors; leave it out",
    "provider": "there is no ONNX; leave it out",
    "sess_options": "there is no ONNX; leave it out",
    "provider_options": "there is no ONNX; leave it out",
    "quantization_config": "quantise pipe.model.network after loading",
    "custom_pipeline": "this class reads model folders itself; leave it out",
    "custom_revision": "this class reads model folders itself; leave it out",
    "trust_remote_code": "no code of a model folder is run here; leave it out",
    "load_connected_pipeline": "no pipelines are connected; leave it out",
    "output_loading_info": "weights that are missing or unknown are an error; leave it out",
    "mirror": "set HF_ENDPOINT",
    "proxies": "set HTTPS_PROXY",
    "name": "it is called pretrained_model_name_or_path, and comes first",
}
SAVE = {
    "use_flashpack": "weights are safetensors; leave it out",
    "push_to_hub": "save, then call push_to_hub(REPOSITORY) of the pipeline",
    "folder": "it is called save_directory, and comes first",
}


ATTRIBUTES = {  # attributes of diffusers' pipelines, and where they are here
    "unet": "it is pipe.model.network",
    "transformer": "it is pipe.model.network",
    "vae": "it is pipe.model.codec",
    "image_encoder": "it is pipe.model.encoders['identity']",
    "text_encoder": "it is pipe.model.encoders['text']",
    "tokenizer": "it is part of pipe.model.encoders['text']",
    "feature_extractor": "pictures are prepared by actalker.pipeline.inputs",
    "vae_scale_factor": "it is pipe.model.codec.stride[1]; [0] is in time",
    "video_processor": "pictures are prepared by actalker.pipeline.inputs",
    "enable_vae_slicing": "give memory='8GB' to from_pretrained: frames are decoded one by one",
    "disable_vae_slicing": "frames are decoded as pipe.arrangement says",
    "enable_vae_tiling": "give memory='8GB' to from_pretrained: frames are decoded one by one",
    "disable_vae_tiling": "frames are decoded as pipe.arrangement says",
    "load_lora_weights": "peft.inject_adapter_in_model puts adapters into pipe.model.network",
    "scheduler": "a call chooses a sampler, as sampler='dpm2'; noise levels are pipe.model.config.sampling's",
    "eval": "a pipeline's model is ready to run; training takes pipe.model",
}


class UnknownArgument(InputError, TypeError):
    """An argument that the function does not take. It is a TypeError too, as Python raises."""


def named(elsewhere: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that an unknown keyword argument raises UnknownArgument with a suggestion.

    elsewhere: argument names of other programs -> what to give instead.
    The function's signature stays as it is.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        known = [name for name in signature.parameters if name not in ("self", "cls")]

        @wraps(function)
        def checked(*args: P.args, **options: P.kwargs) -> R:
            names = [*known, *_signal_arguments()] if hasattr(function, "run_options") else known
            messages = [_message(name, names, elsewhere) for name in options if name not in names]
            if messages:
                raise UnknownArgument("; ".join(messages))
            return function(*args, **options)

        return checked

    return wrap


def run_options(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its signature lists the options of a run in place of `**changes`.

    They are the fields of `RunOptions`, and a `NAME_start` for every signal that has one.
    """
    signature = inspect.signature(function)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shown = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    names = {p.name for p in shown}
    options = [(f.name, _default(f), f.type) for f in fields(RunOptions)]
    options += [(f"{name}_start", 0, "str | float | Fraction") for name, s in SIGNALS.items() if s.start]
    more = [
        inspect.Parameter(name, keyword, default=default, annotation=kind)
        for name, default, kind in options
        if name not in names
    ]
    # `inspect.signature` reads the first, `named` the second
    vars(function).update(__signature__=signature.replace(parameters=[*shown, *more]), run_options=True)
    return function


def _default(field: Field) -> object:
    return None if field.default is MISSING else field.default


def _signal_arguments() -> list[str]:
    """Names of the arguments for all signals of the table, those that a user has added among them."""
    return [*SIGNALS, *(f"{name}_start" for name, signal in SIGNALS.items() if signal.start)]


def _message(name: str, known: list[str], elsewhere: Mapping[str, str]) -> str:
    """What is wrong with an unknown argument, and what to give instead."""
    if name in elsewhere:
        return f"argument '{name}': {elsewhere[name]}"
    try:
        one_of(name, known, "argument")
    except InputError as error:
        return str(error)
    raise AssertionError
