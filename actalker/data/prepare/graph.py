"""The preparation as one list of stages, made from settings; a change of settings is a change of hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import InputError, one_of
from ...extras import need
from ...faces.find import choose_finder
from ...provenance import file_hash, folder_hash
from ...timeline import parse_rate
from .bars import measure_bars
from .captions import caption_reads, measure_captions
from .cut import cut_reads, judge_cut, judge_shots, measure_cut, measure_render, measure_shots
from .faces import judge_track, measure_track
from .features import judge_features, measure_features, measure_latents, measure_pixels
from .motion import judge_motion, measure_motion
from .people import measure_identity
from .probe import file_state, judge_probe, measure_probe
from .quality import judge_quality, judge_sync, measure_quality, measure_sync
from .settings import FinderConfig, IdentityConfig, LatentsConfig, MotionConfig, PrepareConfig, SyncConfig
from .stages import Stage

SYNC = ("repair", "reject", "keep")


@dataclass(frozen=True)
class ModelChoices:
    """The models that stages use, as the command line names them; None: stages without that model."""

    finder: str = "auto"
    """The face finder: landmarker, alignment, cascade, or auto."""

    face_model: Path | None = None
    """Another face_landmarker.task than the one that comes along."""

    syncnet: Path | None = None
    """SyncNet's weight file."""

    sync: str | None = None
    """What becomes of a clip whose lips and sound are apart, one of `SYNC`; None: reject."""

    arcface: Path | None = None
    """ArcFace's weight file."""

    latents: str | None = None
    """The model whose codec encodes the clips: a folder or a name."""

    device: str = "cpu"
    """The device of that codec."""

    motion: bool = False
    """Whether the motion of heads is tracked."""


def settled(config: PrepareConfig, models: ModelChoices) -> PrepareConfig:
    """The settings completed by what depends on this machine: the face finder and the hashes of model files.

    Raises: InputError for settings that cannot work, before any clip is touched.
    """
    _check(config)
    need("data", "scenedetect")
    name, path = choose_finder(models.finder, models.face_model)
    look = FinderConfig(name)
    if path is not None and name == "landmarker":
        look = FinderConfig(name, str(path.absolute()), file_hash(path))
    return replace(
        config,
        look=look,
        sync=_sync(config, models.syncnet, models.sync),
        identity=_identity(config, models.arcface),
        latents=None if models.latents is None else _latents(models.latents, models.device),
        motion=_motion(models.face_model, config.render.fps) if models.motion else None,
    )


def _check(config: PrepareConfig) -> None:
    """Raises: InputError for a setting outside its range."""
    if config.probe.sound not in ("required", "optional"):
        raise InputError(f"--probe.sound {config.probe.sound}: give required or optional")
    for rate in (config.track.fps, config.render.fps):
        parse_rate(rate)
    size = config.render.size
    if not 64 <= size <= 2048 or size % 8:
        raise InputError(f"--render.size {size}: give a multiple of 8 from 64 to 2048")
    if config.pixels.size and not 16 <= config.pixels.size <= size:
        raise InputError(
            f"--pixels.size {config.pixels.size}: give 16 to --render.size {size}, or 0 for none"
        )


def _sync(config: PrepareConfig, syncnet: Path | None, sync: str | None) -> SyncConfig | None:
    """Settings of stage `sync`, after a look into SyncNet's weights."""
    if sync is not None:
        one_of(sync, SYNC, "--sync")
        if syncnet is None:
            raise InputError(f"--sync {sync}: needs SyncNet's weights; give --syncnet syncnet_v2.model")
    if syncnet is None:
        return None
    if parse_rate(config.render.fps) != 25:
        raise InputError(f"--render.fps {config.render.fps}: SyncNet knows 25 frames a second only")
    from ...signals.syncnet import load_syncnet  # PyTorch

    load_syncnet(syncnet)
    path, digest = str(syncnet.absolute()), file_hash(syncnet)
    return SyncConfig(path, digest, repair=sync == "repair", judged=sync != "keep")


def _identity(config: PrepareConfig, arcface: Path | None) -> IdentityConfig | None:
    """Settings of stage `identity`, after a look into ArcFace's weights."""
    if not 0 < config.people.similarity <= 1:
        raise InputError(f"--people.similarity {config.people.similarity:g}: give a number above 0, to 1")
    if arcface is None:
        return None
    from ...signals.resnet import load_identity

    load_identity(arcface)
    return IdentityConfig(str(arcface.absolute()), file_hash(arcface))


def _latents(model: str, device: str) -> LatentsConfig:
    """Settings of stage `latents`. Raises: InputError for a model whose latents are motion."""
    from ...pipeline.model.find import find_model

    folder = find_model(model)
    settings = folder / "config.json"
    if settings.is_file() and '"FaceMotion"' in settings.read_text(errors="replace"):
        raise InputError(f"--latents {model}: its latents are motion, not pictures; give a model of pictures")
    return LatentsConfig(str(folder), folder_hash(folder), device)


def _motion(face_model: Path | None, fps: str) -> MotionConfig:
    """Settings of stage `motion`. Raises: InputError where MediaPipe's landmarks are not to be had."""
    from ...faces.find import face_model as landmarker_model
    from ...faces.landmarker import landmarker_refuses

    path = landmarker_model(face_model)
    if (reason := landmarker_refuses(path)) is not None:
        raise InputError(f"--motion: a head is followed by MediaPipe's landmarks, but {reason}")
    return MotionConfig(str(path.absolute()), file_hash(path), fps)


def stages(config: PrepareConfig) -> list[Stage]:
    """The stages in order. Each names those that it builds on; the limits judge and are in no hash."""
    return [*_picture_stages(config), *_clip_stages(config), *_model_stages(config)]


def _picture_stages(config: PrepareConfig) -> list[Stage]:
    """Stages that look at the source: which part of which picture is the clip."""
    cut = Stage("cut", 2, measure_cut, config.cut, needs=("probe", "bars"), reads=cut_reads)
    shots = Stage("shots", 2, measure_shots, config.shots, needs=("probe", "cut"))
    track = Stage("track", 2, measure_track, (config.track, config.look), needs=("probe", "cut"))
    return [
        Stage("probe", 2, measure_probe, reads=file_state, judge=lambda v: judge_probe(v, config.probe)),
        Stage("bars", 1, measure_bars, needs=("probe",), reads=cut_reads),
        replace(cut, judge=lambda v: judge_cut(v, config.cut_limits)),
        replace(shots, judge=lambda v: judge_shots(v, config.shots_limits)),
        replace(track, judge=lambda v: judge_track(v, config.track_limits)),
    ]


def _clip_stages(config: PrepareConfig) -> list[Stage]:
    """Stages that write the clip and measure what was written."""
    quality = Stage("quality", 1, measure_quality, needs=("render",))
    return [
        Stage("render", 3, measure_render, config.render, needs=("probe", "cut", "track")),
        replace(quality, judge=lambda v: judge_quality(v, config.quality)),
        Stage("features", 1, measure_features, config.look, needs=("render",), judge=judge_features),
        Stage("captions", 2, measure_captions, needs=("cut",), reads=caption_reads),
    ]


def _model_stages(config: PrepareConfig) -> list[Stage]:
    """Stages that only some preparations ask for."""
    optional = []
    if (sync := config.sync) is not None:
        needs = ("probe", "cut", "render", "features")
        stage = Stage("sync", 2, measure_sync, sync, needs)
        if sync.judged:
            stage = replace(stage, judge=lambda v: judge_sync(v, config.sync_limits))
        optional.append(stage)
    if config.identity is not None:
        optional.append(Stage("identity", 1, measure_identity, config.identity, needs=("render", "features")))
    if config.motion is not None:
        stage = Stage("motion", 1, measure_motion, config.motion, needs=("probe", "cut", "track"))
        optional.append(replace(stage, judge=lambda v: judge_motion(v, config.motion_limits)))
    if config.pixels.size:
        optional.append(Stage("pixels", 1, measure_pixels, config.pixels, needs=("render",)))
    if config.latents is not None:
        pool: Literal["cpu", "gpu"] = "gpu" if config.latents.device != "cpu" else "cpu"
        optional.append(Stage("latents", 1, measure_latents, config.latents, needs=("render",), pool=pool))
    return optional
