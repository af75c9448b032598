"""`actalker import-released DIR --svd SVD --out FOLDER`: converts ACTalker's files to a model folder."""

from __future__ import annotations

from collections.abc import Sequence

from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Run `actalker import-released`: write a model folder of ACTalker's files; print notes, and the path.

    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser("import-released", "ACTalker's released files to a model folder of this program.")
    p.add_argument("folder", type=str, help="with unet-N.pth, adapter_module-N.pth and the other four")
    p.add_argument("--svd", type=str, required=True, help="SVD-XT's folder, as diffusers lays it out")
    p.add_argument("--out", type=str, required=True, help="the model folder")
    p.add_argument("--motion", type=str | None, default=None, help="the motion checkpoint, MX31c_32k.ckpt")
    p.add_argument("--arcface", type=str | None, default=None, help="insightface's r50 backbone")
    p.add_argument("--whisper", type=str, default="openai/whisper-tiny", help="folder or hub id")
    p.add_argument("--step", type=int | None, default=None, help="N, of several; default: the last")
    p.add_argument("--size", type=int, default=576, help="side of the pictures, pixels")
    options = parse(p, argv)
    if options is None:
        return 0
    from ..released.parts import check_sources

    check_sources(options.folder, options.svd, options.out, options.step, options.size)
    from ..released.importing import import_released

    done = import_released(
        options.folder,
        options.svd,
        options.out,
        motion=options.motion,
        arcface=options.arcface,
        whisper=options.whisper,
        step=options.step,
        size=options.size,
    )
    for note in done.notes:
        print(f"note: {note}")
    print(done.folder)
    return 0
