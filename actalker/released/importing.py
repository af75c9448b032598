"""The import of ACTalker's released files into a model folder of this program.

The release is six plain state dicts beside an SVD-XT folder, an ArcFace and a motion checkpoint (names and
layouts: docs/released.md). Reading a file runs nothing that it contains; weights are written as safetensors
in the precision in which they come.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin
from torch import Tensor, nn

from ..backbones.attach import cross_attentions
from ..backbones.released import ReleasedUNet
from ..codecs.autoencoder import TemporalAutoencoder
from ..diffusion.precondition import PreconditionConfig
from ..errors import InputError
from ..pipeline.model.folder import CONFIG, write_index
from ..pipeline.model.model import ModelConfig, SamplingConfig
from ..pipeline.model.parts import DIFFUSERS, write_weights
from ..provenance import check_readable
from ..signals.released import (
    LAYERS,
    MOTION,
    SPEECH,
    STEPS,
    ReleasedAudio,
    ReleasedAudioConfig,
    ReleasedIdentity,
    ReleasedIdentityConfig,
    ReleasedMotion,
    ReleasedMotionConfig,
)
from ..signals.resnet import depths_of
from ..weights import (
    Weights,
    find_weights,
    misfit,
    read_safetensors,
    read_tensors,
    read_torch,
    undrawn,
    with_counters,
)
from .parts import check_sources

EXPRESSION, POSE = "expression_model.resnet50.", "head_pose_net."  # networks in the motion checkpoint
SCALE = 0.18215  # of SVD's latents
KINDS: dict[str, Callable[[Any], nn.Module]] = {
    SPEECH: ReleasedAudio,
    MOTION: ReleasedMotion,
    "identity": ReleasedIdentity,
}


@dataclass
class Import:
    """The folder that was written, and what was odd on the way. notes: lines for the user."""

    folder: Path
    notes: list[str] = field(default_factory=list)


def import_released(
    source: str | Path,
    svd: str | Path,
    out: str | Path,
    motion: str | Path | None = None,
    arcface: str | Path | None = None,
    whisper: str = "openai/whisper-tiny",
    step: int | None = None,
    size: int = 576,
) -> Import:
    """Write the model folder `out`.

    Args:
        source: folder with the six files, such as `unet-136000.pth`.
        svd: SVD-XT's folder in diffusers' layout; its `unet/config.json` and its `vae` are read.
        motion: the motion checkpoint (`MX31c_32k.ckpt`); without one the model reads no driving video.
        arcface: insightface's r50 backbone; without one the network is not told who it is.
        whisper: folder or hub id of the Whisper that the model will hear speech by.
        step: which of several checkpoints in `source`; the last one if not given.
        size: side of the model's pictures, pixels, a multiple of 64.
    Raises: InputError that names the file and the weight, for all that is missing, unknown or of another
        shape. Nothing is left behind.
    """
    svd, out = Path(svd), Path(out).resolve()
    files = check_sources(source, svd, out, step, size)
    done, work = Import(out), out.with_name(out.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    try:
        for name in ("denoiser", "codec", "encoders"):
            (work / name).mkdir(parents=True)
        denoiser = _denoiser(files, svd / "unet", work / "denoiser", done.notes)
        codec = _codec(svd / "vae", work / "codec")
        encoders = _encoders(files, motion, arcface, whisper, folder=work / "encoders", notes=done.notes)
        config = model_config(denoiser, codec, encoders, size)
        (work / CONFIG).write_text(json.dumps(config.as_dict(), indent=2) + "\n")
        write_index(work)
        work.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


def model_config(
    denoiser: dict[str, Any], codec: dict[str, Any], encoders: dict[str, dict[str, Any]], size: int
) -> ModelConfig:
    """The settings of the release: SVD's noise levels, 25 steps, shifted windows, nested guidance."""
    return ModelConfig(
        size=size,
        fps=25,
        window=int(denoiser.get("num_frames", 25)),
        overlap=0,
        micro=(12.5, 12.0, 20.0),
        denoiser="ReleasedUNet",
        denoiser_args=denoiser,
        codec="TemporalAutoencoder",
        codec_args=codec,
        audio=encoders[SPEECH],
        expression=encoders[MOTION],
        text={"kind": "none"},
        identity=encoders["identity"],
        precondition=PreconditionConfig(sigma_data=1.0, prediction="v"),
        sampling=SamplingConfig(
            steps=25,
            sigma_min=0.002,
            sigma_max=700.0,
            windows="shifted",
            guidance={"identity": 2.0, SPEECH: 7.5, MOTION: 3.0},
        ),
    )


def fitted(weights: Weights, build: Callable[[], nn.Module], name: str) -> Weights:
    """The weights, if their names and shapes are those of the module that `build` makes.

    Raises: InputError that names the first that is missing, unknown or of another shape.
    """
    state = undrawn(build).state_dict()
    weights = with_counters(state, weights)
    if wrong := misfit(state, weights):
        raise InputError(f"{name}: {wrong}")
    return weights


def settings_of(kind: type[ConfigMixin], folder: Path) -> dict[str, Any]:
    """The arguments of a class that the config.json in a folder of diffusers' layout gives.

    Raises: InputError for files that are no settings.
    """
    path = check_readable(folder / "config.json", "config")
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error})") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: holds no settings")
    known = kind._get_init_keys(kind)
    values = {key: value for key, value in settings.items() if key in known}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _denoiser(files: dict[str, Path], svd: Path, folder: Path, notes: list[str]) -> dict[str, Any]:
    """Write the network's weights; returns its settings."""
    guider = read_tensors(files["pose_guider"])
    pairs = sorted(int(key.split(".")[1]) for key in guider if re.fullmatch(r"blocks\.\d+\.weight", key))
    if "conv_in.weight" not in guider or not pairs:
        raise InputError(f"{files['pose_guider']}: has no conv_in and blocks")
    widths = [len(guider[name]) for name in ("conv_in.weight", *(f"blocks.{k}.weight" for k in pairs[1::2]))]
    config = {
        **settings_of(ReleasedUNet, svd),
        "guider_blocks": tuple(widths),
        "reference_scale": 1 / 0.18215,
    }
    weights = read_tensors(files["unet"])
    weights.update({f"guider.{key}": value for key, value in guider.items()})
    adapters = read_tensors(files["adapter_module"])
    network = undrawn(partial(ReleasedUNet, **config))
    places = {id(part): name for name, part in network.named_modules()}
    for k, (attention, _) in enumerate(cross_attentions(network)):
        for parameter in attention.processor.state_dict():
            adapter, place = f"{k}.{parameter}", f"{places[id(attention)]}.processor.{parameter}"
            value = adapters.pop(adapter, None)
            if value is not None and place in weights and not torch.equal(weights[place], value):
                notes.append(f"{place} differs from {adapter} of adapter_module; the network's own is taken")
            elif value is not None:
                weights.setdefault(place, value)
    if adapters:
        raise InputError(f"{files['adapter_module']}: {next(iter(adapters))} has no place")
    write_weights(fitted(weights, partial(ReleasedUNet, **config), str(files["unet"])), folder)
    network.save_config(folder)
    return config


def _codec(vae: Path, folder: Path) -> dict[str, Any]:
    """Write the codec's weights; returns its settings."""
    config = settings_of(TemporalAutoencoder, vae)
    paths = find_weights(vae, [DIFFUSERS])
    build = partial(TemporalAutoencoder, **config)
    weights = {name: value for path in paths for name, value in read_safetensors(path).items()}
    write_weights(fitted(weights, build, str(paths[0])), folder)
    undrawn(build).save_config(folder)
    return config


def _encoders(
    files: dict[str, Path],
    motion: str | Path | None,
    arcface: str | Path | None,
    whisper: str,
    folder: Path,
    notes: list[str],
) -> dict[str, dict[str, Any]]:
    """Write the encoders' weights; returns their settings by signal."""
    audio, who, moves = (read_tensors(files[k]) for k in ("audio_linear", "id_proj_model", "vasa_linear"))
    for part, part_weights, names in (
        ("audio_linear", audio, ("proj1.weight", "proj3.weight", "norm.weight")),
        ("id_proj_model", who, ("proj1.weight",)),
        ("vasa_linear", moves, ("proj1.weight",)),
    ):
        for name in names:
            if name not in part_weights or part_weights[name].ndim == 0:
                raise InputError(f"{files[part]}: {name} is missing")
    width, hidden = len(audio["norm.weight"]), len(audio["proj1.weight"])
    channels, spoken = (
        audio["proj1.weight"].shape[-1] // (STEPS * LAYERS),
        len(audio["proj3.weight"]) // width,
    )
    listed: dict[str, tuple[Any, dict[str, tuple[Path, Weights]]]] = {
        SPEECH: (
            ReleasedAudioConfig(whisper, channels, hidden, spoken, width),
            {"proj": (files["audio_linear"], audio)},
        )
    }
    if motion is None:
        notes.append("no --motion: the model reads no driving video")
    else:
        expression, pose = motion_networks(Path(motion))
        stem, features = pose["conv1.weight"].shape[-1], moves["proj1.weight"].shape[-1]
        listed[MOTION] = (
            ReleasedMotionConfig(depths_of(expression), stem, features, width),
            {
                "expression": (Path(motion), expression),
                "pose": (Path(motion), pose),
                "proj": (files["vasa_linear"], moves),
            },
        )
    nets = {"proj": (files["id_proj_model"], who)}
    if arcface is None:
        notes.append("no --arcface: the network is not told who it is")
    else:
        nets["net"] = (Path(arcface), read_tensors(Path(arcface)))
    depths = depths_of(nets["net"][1]) if "net" in nets else ()
    listed["identity"] = (ReleasedIdentityConfig(depths, len(who["proj1.weight"]), width), nets)
    weights: Weights = {}
    for signal, (config, parts) in listed.items():
        encoder = undrawn(partial(KINDS[signal], config))
        for part, (path, part_weights) in parts.items():
            checked = fitted(part_weights, partial(getattr, encoder, part), str(path))
            weights.update({f"{signal}.{part}.{key}": value for key, value in checked.items()})
    write_weights(weights, folder)
    settings = {signal: {"kind": "released", **vars(config)} for signal, (config, _) in listed.items()}
    return {MOTION: {"kind": "none"}, **settings}


def motion_networks(path: Path) -> tuple[Weights, Weights]:
    """The weights of the expression's and of the pose's network in the motion checkpoint.

    Raises: InputError where one is missing.
    """
    checkpoint, networks = read_torch(path), []
    for group, mark in (("generator", EXPRESSION), ("pose_model", POSE)):
        part = checkpoint.get(group) if isinstance(checkpoint, Mapping) else None
        weights = {
            key.split(mark, 1)[1]: value
            for key, value in (part.items() if isinstance(part, Mapping) else ())
            if isinstance(key, str) and mark in key and isinstance(value, Tensor)
        }
        if "conv1.weight" not in weights:
            raise InputError(f"{path}: holds no {group}[...{mark}*]; give the release's motion checkpoint")
        networks.append(weights)
    return networks[0], networks[1]
