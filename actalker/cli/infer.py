"""`actalker infer`: a portrait and any mix of speech, facial motion and a script to a video."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from ..errors import InputError
from ..provenance import check_readable
from .options import new_parser, pairs, parse


def parser() -> ArgumentParser:
    """The options of `infer`."""
    p = new_parser("infer", "A portrait and any mix of speech, facial motion and a script to a video.")
    p.add_argument("--portrait", type=str, required=True, help="picture with a face")
    p.add_argument("--audio", type=str | None, default=None, help="speech: any file with sound")
    p.add_argument(
        "--audio-start",
        type=str | float,
        default="0",
        help="seconds of the speech that are left out at its beginning, 90.5 or 1:30.5",
    )
    p.add_argument(
        "--expression",
        type=str | None,
        default=None,
        help="driving video of a face; for models of heads also a take of Live Link Face, .csv",
    )
    p.add_argument(
        "--expression-start",
        type=str | float,
        default="0",
        help="seconds of the driving video that are left out at its beginning; its motion is relative to the "
        "first face after them",
    )
    p.add_argument(
        "--text",
        type=str | None,
        default=None,
        help='script: "a woman speaks | 0-1.2: smiles | 1.2-2.5: nods", or a YAML file',
    )
    p.add_argument(
        "--out", type=str, required=True, help="the video, .mp4; its settings go beside it as .json"
    )
    p.add_argument("--model", type=str, default="tiny", help="tiny, direct, a model folder or a hub id")
    p.add_argument(
        "--gate",
        nargs="+",
        action="extend",
        type=str,
        metavar="NAME=VALUE",
        help="how far a signal is open: 0.5, or a schedule such as 0@0-1.2,1@1.2- (repeatable)",
    )
    p.add_argument(
        "--region",
        nargs="+",
        action="extend",
        type=str,
        metavar="NAME=REGION",
        help="where a signal acts: mouth, upper, face, frame, one of the first three with -soft, "
        "which keeps to the landmarks, or a mask picture (repeatable)",
    )
    p.add_argument(
        "--masks",
        type=str,
        default="paper",
        help="paper, or released: every signal acts everywhere, as in ACTalker's released script",
    )
    p.add_argument(
        "--guidance",
        nargs="+",
        action="extend",
        type=str,
        metavar="NAME=SCALE",
        help="push a signal's effect; 1 is none (repeatable)",
    )
    p.add_argument(
        "--steps", type=int | None, default=None, help="denoiser calls a window; the model's own if not given"
    )
    p.add_argument(
        "--sampler",
        type=str | None,
        default=None,
        help="euler, dpm2 or consistency; the model's own if not given",
    )
    p.add_argument(
        "--windows",
        type=str | None,
        default=None,
        help="of long clips: overlapping or shifted; the model's own if not given",
    )
    p.add_argument("--seed", type=int, default=0, help="same seed, same machine, same video")
    p.add_argument("--fps", type=str | float, default="25", help="frames a second: 25, 29.97, 30000/1001")
    p.add_argument(
        "--interpolate", type=int, default=1, help="frames of the video for each generated one, 1 to 4"
    )
    p.add_argument(
        "--interpolator",
        type=str,
        default="linear",
        help="what makes the frames between: linear, or a TorchScript file",
    )
    p.add_argument(
        "--duration",
        type=str | float | None,
        default=None,
        help="seconds; else as long as the speech, else the driving video, else the script",
    )
    p.add_argument(
        "--crop", type=str, default="face", help="face: cut the square around it; none: the middle square"
    )
    p.add_argument(
        "--view",
        type=str | None,
        default=None,
        help="of models of heads: photo, the whole photograph, or face, the square around the face; photo if "
        "not given",
    )
    p.add_argument(
        "--size",
        type=int | str | None,
        default=None,
        help="of models of heads: pixels of the frames' longer side at most, or own, the photograph's own; "
        "1280 if not given",
    )
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument(
        "--face-index", type=int | None, default=None, help="which face of several, 0 is the largest"
    )
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    p.add_argument("--dtype", type=str, default="auto", help="auto, float32, bfloat16 or float16")
    p.add_argument(
        "--memory",
        type=str,
        default="max",
        help="what may be used, 8GB for example: the fastest way to run the model that fits",
    )
    p.add_argument(
        "--reuse",
        type=int,
        default=1,
        help="denoiser calls for which outputs of attention are kept, 1 to 8; faster, a little different",
    )
    p.add_argument("--steady", action="store_true", help="hold colour and exposure where the clip begins")
    p.add_argument(
        "--liveliness",
        type=float,
        default=0.5,
        help="of models of heads, 0 to 1: how much a face blinks and moves of itself without a driving video",
    )
    p.add_argument("--compile", action="store_true", help="torch.compile: a slow start, then faster")
    p.add_argument(
        "--preview", type=str | None, default=None, help="PNG with face, regions, gates and eight frames"
    )
    p.add_argument(
        "--motion-out",
        type=str | None,
        default=None,
        help="the head's motion as a take of Live Link Face, .csv; of models of heads",
    )
    p.add_argument(
        "--mark", action="store_true", help="a small mark in the picture says that it is generated"
    )
    p.add_argument("--overwrite", action="store_true", help="replace files that exist")
    p.add_argument("--quiet", action="store_true", help="no plan and no progress bar")
    return p


def run(argv: Sequence[str]) -> int:
    """Generate one video. Prints the plan, then a progress bar, then the path."""
    options = parse(parser(), argv)
    if options is None:
        return 0
    settings = {k: v for k, v in options.as_dict().items() if k not in ("config", "overwrite", "quiet")}
    out = _output("--out", options.out, ".mp4")
    preview_to = None if options.preview is None else _output("--preview", options.preview, ".png")
    motion_to = None if options.motion_out is None else _output("--motion-out", options.motion_out, ".csv")
    for path, what in (
        (options.portrait, "picture"),
        (options.audio, "sound"),
        (options.expression, "video"),
    ):
        if path is not None:
            check_readable(path, what)  # a wrong name is told before anything is loaded
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    from ..pipeline.outputs import check_outputs

    masks = pairs(options.region, "region", "audio=mouth").values()
    read = [options.portrait, options.audio, options.expression, options.text, options.face_model, *masks]
    read.append(options.interpolator)
    check_outputs(out, [preview_to, motion_to], options.overwrite, [*read, *map(str, options.config or [])])
    pipeline, request = prepare(settings)
    from ..pipeline.write import write_clip

    if not options.quiet:
        print(f"plan: {request.plan}")
        print(f"face: {request.inputs.portrait.place()}")
        if settings["memory"] != "max":
            print(f"memory: {pipeline.arrangement}")
    from ..pipeline.progress import progress

    with progress(request.plan, disable=options.quiet) as tick:
        write_clip(
            pipeline,
            request,
            out,
            settings,
            preview_to,
            motion_to,
            options.mark,
            options.overwrite,
            lambda window, step: tick(),
        )
    print(out)
    return 0


def prepare(settings: dict[str, Any]) -> tuple[Any, Any]:
    """The pipeline and the checked request of the options."""
    from ..control.gates import Gates
    from ..pipeline.find import check_name
    from ..signals.signal import SIGNALS, check_driven
    from ..timeline import parse_rate, parse_seconds

    # what is wrong here is told before torch is imported
    check_driven(name for name in SIGNALS if settings[name] is not None)
    parse_rate(settings["fps"])
    if settings["duration"] is not None:
        parse_seconds(settings["duration"])
    check_name(settings["model"])
    gates = Gates.parse(settings["gate"] or [], SIGNALS)
    guidance = {
        name: _number(f"--guidance {name}", value)
        for name, value in pairs(settings["guidance"], "guidance", "audio=2").items()
    }
    regions = pairs(settings["region"], "region", "audio=mouth")
    from ..pipeline.talking_head import TalkingHeadPipeline

    pipeline = TalkingHeadPipeline.from_pretrained(
        settings["model"], settings["device"], settings["dtype"], settings["memory"], settings["compile"]
    )
    request = pipeline.prepare(
        settings["portrait"],
        audio=settings["audio"],
        expression=settings["expression"],
        text=settings["text"],
        gates=gates,
        regions=regions,
        masks=settings["masks"],
        guidance=guidance,
        steps=settings["steps"],
        sampler=settings["sampler"],
        windows=settings["windows"],
        reuse=settings["reuse"],
        steady=settings["steady"],
        liveliness=settings["liveliness"],
        seed=settings["seed"],
        fps=settings["fps"],
        interpolate=settings["interpolate"],
        interpolator=settings["interpolator"],
        duration=settings["duration"],
        crop=settings["crop"],
        view=settings["view"],
        size=settings["size"],
        face_model=settings["face_model"],
        face_index=settings["face_index"],
        audio_start=settings["audio_start"],
        expression_start=settings["expression_start"],
    )
    return pipeline, request


def _output(option: str, path: str, suffix: str) -> Path:
    if Path(path).suffix.lower() != suffix:
        raise InputError(
            f"{option} {path!r}: is written as {suffix[1:].upper()}; give a name that ends in {suffix}"
        )
    return Path(path)


def _number(where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}={text}: give a number") from None
