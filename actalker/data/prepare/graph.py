"""The preparation as one list of stages, made from settings; a change of settings is a change of hashes."""

from __future__ import annotations

from dataclasses import replace
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


def settled(
    config: PrepareConfig,
    finder: str,
    model: Path | None,
    syncnet: Path | None,
    repair: str | None,
    arcface: Path | None,
    latents: str | None,
    device: str,
    motion: bool = False,
) -> PrepareConfig:
    """The settings with everything found out that depends on this machine: finder, hashes of model files.

    repair: what becomes of a clip whose lips and sound are apart, one of `SYNC`; None: reject. motion:
    whether the motion of heads is wanted.

    Raises: InputError for settings that cannot work, before any clip is touched.
    """
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
    need("data", "scenedetect")
    name, path = choose_finder(finder, model)
    used = path if name == "landmarker" else None
    look = FinderConfig(name, *(None, None) if used is None else (str(used.absolute()), file_hash(used)))
    sync = None
    if repair is not None:
        one_of(repair, SYNC, "--sync")
        if syncnet is None:
            raise InputError(f"--sync {repair}: needs SyncNet's weights; give --syncnet syncnet_v2.model")
    if syncnet is not None:
        if parse_rate(config.render.fps) != 25:
            raise InputError(f"--render.fps {config.render.fps}: SyncNet knows 25 frames a second only")
        from ...signals.syncnet import load_syncnet  # PyTorch

        load_syncnet(syncnet)
        sync = SyncConfig(
            str(syncnet.absolute()), file_hash(syncnet), repair=repair == "repair", judged=repair != "keep"
        )
    identity = None
    if not 0 < config.people.similarity <= 1:
        raise InputError(f"--people.similarity {config.people.similarity:g}: give a number above 0, to 1")
    if arcface is not None:
        from ...signals.resnet import load_identity

        load_identity(arcface)
        identity = IdentityConfig(str(arcface.absolute()), file_hash(arcface))
    encoded = None
    if latents is not None:
        from ...pipeline.model.find import find_model

        folder = find_model(latents)
        settings = folder / "config.json"
        if settings.is_file() and '"FaceMotion"' in settings.read_text(errors="replace"):
            raise InputError(
                f"--latents {latents}: its latents are motion, not pictures; give a model of pictures"
            )
        encoded = LatentsConfig(str(folder), folder_hash(folder), device)
    followed = _settled_motion(model, config.render.fps) if motion else None
    return replace(config, look=look, sync=sync, identity=identity, latents=encoded, motion=followed)


def _settled_motion(model: Path | None, fps: str) -> MotionConfig:
    from ...faces.find import face_model
    from ...faces.landmarker import landmarker_refuses

    path = face_model(model)
    if (reason := landmarker_refuses(path)) is not None:
        raise InputError(f"--motion: a head is followed by MediaPipe's landmarks, but {reason}")
    return MotionConfig(str(path.absolute()), file_hash(path), fps)


def stages(config: PrepareConfig) -> list[Stage]:
    """The stages in order. Each names those it builds on; limits judge and are in no hash."""
    listed = [
        Stage("probe", 2, measure_probe, reads=file_state, judge=lambda v: judge_probe(v, config.probe)),
        Stage("bars", 1, measure_bars, needs=("probe",), reads=cut_reads),
        Stage(
            "cut",
            2,
            measure_cut,
            config.cut,
            needs=("probe", "bars"),
            reads=cut_reads,
            judge=lambda v: judge_cut(v, config.cut_limits),
        ),
        Stage(
            "shots",
            2,
            measure_shots,
            config.shots,
            needs=("probe", "cut"),
            judge=lambda v: judge_shots(v, config.shots_limits),
        ),
        Stage(
            "track",
            2,
            measure_track,
            (config.track, config.look),
            needs=("probe", "cut"),
            judge=lambda v: judge_track(v, config.track_limits),
        ),
        Stage("render", 3, measure_render, config.render, needs=("probe", "cut", "track")),
        Stage(
            "quality", 1, measure_quality, needs=("render",), judge=lambda v: judge_quality(v, config.quality)
        ),
        Stage("features", 1, measure_features, config.look, needs=("render",), judge=judge_features),
        Stage("captions", 2, measure_captions, needs=("cut",), reads=caption_reads),
    ]
    if config.sync is not None:
        judged = config.sync.judged
        listed.append(
            Stage(
                "sync",
                2,
                measure_sync,
                config.sync,
                needs=("probe", "cut", "render", "features"),
                judge=lambda v: judge_sync(v, config.sync_limits) if judged else None,
            )
        )
    if config.identity is not None:
        listed.append(Stage("identity", 1, measure_identity, config.identity, needs=("render", "features")))
    if config.motion is not None:
        listed.append(
            Stage(
                "motion",
                1,
                measure_motion,
                config.motion,
                needs=("probe", "cut", "track"),
                judge=lambda v: judge_motion(v, config.motion_limits),
            )
        )
    if config.pixels.size:
        listed.append(Stage("pixels", 1, measure_pixels, config.pixels, needs=("render",)))
    if config.latents is not None:
        pool: Literal["cpu", "gpu"] = "gpu" if config.latents.device != "cpu" else "cpu"
        listed.append(Stage("latents", 1, measure_latents, config.latents, needs=("render",), pool=pool))
    return listed
