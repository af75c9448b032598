"""`actalker infer`: makes a video of a portrait and any mix of speech, facial motion and a script."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from ..errors import InputError
from ..provenance import check_readable
from ..signals.signal import SIGNALS, check_driven
from .like import Like, like_of
from .options import new_parser, pairs, parse
from .quick import import_quickly
from .run_options import add_run_options, add_signals, run_options

if TYPE_CHECKING:
    from ..pipeline.request import Request
    from ..pipeline.talking_head import TalkingHeadPipeline


def parser() -> ArgumentParser:
    """The options of `infer`."""
    p = new_parser("infer", "A portrait and any mix of speech, facial motion and a script to a video.")
    p.add_argument("--portrait", type=str, required=True, help="picture with a face")
    add_signals(p)
    p.add_argument(
        "--out", type=str, required=True, help="the video, .mp4; its settings go beside it as .json"
    )
    p.add_argument("--model", type=str, default="tiny", help="tiny, direct, a model folder or a hub id")
    p.add_argument(
        "--like",
        type=str | None,
        default=None,
        help="the .json beside another clip: its settings, but for those that are given here",
    )
    add_run_options(p)
    p.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    p.add_argument("--dtype", type=str, default="auto", help="auto, float32, bfloat16 or float16")
    p.add_argument(
        "--memory",
        type=str,
        default="max",
        help="what may be used, 8GB for example: the fastest way to run the model that fits",
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
    """Run `actalker infer`: generate one video; print the plan, then a progress bar, then the path.

    argv: the words after the command's name. Returns the exit code.
    """
    reader = parser()
    path = like_of(argv)
    like = None if path is None else Like(path)
    if like is not None:
        like.set_defaults(reader)
    options = parse(reader, argv)
    if options is None:
        return 0
    if options.like != path:
        raise InputError(f"--like {options.like}: give it on the command line, in full, not in a config file")
    settings = {
        k: v for k, v in options.as_dict().items() if k not in ("config", "overwrite", "quiet", "like")
    }
    if like is not None:
        settings = like.joined(settings)
    out = _output("--out", options.out, ".mp4")
    preview_to = None if options.preview is None else _output("--preview", options.preview, ".png")
    motion_to = None if options.motion_out is None else _output("--motion-out", options.motion_out, ".csv")
    sources = {name: settings[name] for name in SIGNALS}
    check_readable(options.portrait, "picture")  # before anything is loaded
    for name, source in sources.items():
        if source is not None and SIGNALS[name].file:
            check_readable(source, SIGNALS[name].file)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    from ..pipeline.output.files import check_outputs

    masks = pairs(settings["region"], "region", "audio=mouth").values()
    read = [options.portrait, *sources.values(), options.face_model, *masks, options.interpolator]
    check_outputs(out, [preview_to, motion_to], options.overwrite, [*read, *map(str, options.config or [])])
    pipeline, request = prepare(settings, like)
    from ..pipeline.output.write import write_clip
    from .progress import progress

    if not options.quiet:
        print(f"plan: {request.plan}")
        print(f"face: {request.inputs.portrait.place()}")
        if settings["memory"] != "max":
            print(f"memory: {pipeline.arrangement}")
    with progress(request.plan, disable=options.quiet) as tick:
        write_clip(
            pipeline,
            request,
            out,
            settings,
            preview_to=preview_to,
            motion_to=motion_to,
            mark=options.mark,
            overwrite=options.overwrite,
            callback=lambda window, step: tick(),
        )
    print(out)
    return 0


def prepare(settings: Mapping[str, Any], like: Like | None = None) -> tuple[TalkingHeadPipeline, Request]:
    """The pipeline and the checked request of a command line's settings.

    like: the earlier clip from which they come. Raises: InputError for what cannot be used.
    """
    from ..pipeline.model.find import check_name

    # mistakes in these are reported before torch is imported
    check_driven(name for name in SIGNALS if settings[name] is not None)
    check_name(settings["model"])
    options = run_options(settings)
    if not settings["compile"]:
        import_quickly("actalker.pipeline.talking_head")
    from ..pipeline.talking_head import TalkingHeadPipeline

    placement = (settings["device"], settings["dtype"], settings["memory"], settings["compile"])
    pipeline = TalkingHeadPipeline.from_pretrained(settings["model"], *placement)
    if like is not None:
        like.check(settings, pipeline.hashes)
    values = {name: settings[name] for name in SIGNALS}
    return pipeline, pipeline.prepare(settings["portrait"], **values, options=options)


def _output(option: str, path: str, suffix: str) -> Path:
    """The path of an output. Raises: InputError where it does not end in the suffix."""
    if Path(path).suffix.lower() != suffix:
        raise InputError(
            f"{option} {path!r}: is written as {suffix[1:].upper()}; give a name that ends in {suffix}"
        )
    return Path(path)
