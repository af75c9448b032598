"""`actalker face`: draws a portrait with another expression, pose or gaze, or a sheet of twenty of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jsonargparse import ArgumentParser, Namespace

from ..errors import InputError
from ..provenance import check_readable, check_writable, made_by
from .options import new_parser, parse
from .quick import import_quickly

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("actalker")
SIZE = 256  # side of the square crop around the face; a head model draws at any size


def parser() -> ArgumentParser:
    """The options of `face`."""
    p = new_parser("face", "A portrait with another expression or turned; without either a sheet of twenty.")
    p.add_argument("portrait", type=str, help="picture with a face")
    p.add_argument("--out", type=str, required=True, help="the picture, .png")
    for option, metavar, text in (
        (
            "--set",
            "NAME=VALUE",
            "expressions by ARKit's names: jawOpen=0.5,mouthSmile=0.3; 0 is the portrait's own",
        ),
        ("--pose", "NAME=VALUE", "yaw, pitch, roll in degrees; x, y, z in cm: yaw=20,pitch=-5"),
        ("--gaze", "NAME=VALUE", "degrees that the eyes turn: right=10,down=-5"),
    ):
        p.add_argument(option, nargs="+", action="extend", type=str, metavar=metavar, help=text)
    p.add_argument(
        "--view",
        type=str,
        default="photo",
        help="photo: the whole photograph; face: the square around the face",
    )
    p.add_argument(
        "--size",
        type=int | str | None,
        default=None,
        help="pixels of the longer side at most, or own; else 1280",
    )
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument(
        "--face-index", type=int | None, default=None, help="which face of several, 0 is the largest"
    )
    p.add_argument(
        "--mark", action="store_true", help="a small mark in the picture says that it is generated"
    )
    p.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    return p


def run(argv: Sequence[str]) -> int:
    """Run `actalker face`: draw a portrait with another expression or pose, or a sheet; print the path.

    argv: the words after the command's name. Returns the exit code.
    """
    options = parse(parser(), argv)
    if options is None:
        return 0
    out = Path(options.out)
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {options.out!r}: is written as PNG; give a name that ends in .png")
    check_readable(options.portrait, "picture")
    check_writable(out, options.overwrite)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    import_quickly("actalker.pipeline.looks")
    from ..media.image import write_png
    from ..pipeline.output.mark import Mark

    picture = draw(options)
    marked = Mark(picture.shape[:2])(picture) if options.mark else picture
    write_png(out, marked, options.overwrite, made_by())
    print(out)
    return 0


def draw(options: Namespace) -> np.ndarray:
    """The picture of the options, (h, w, 3) uint8; prints what is known of the face.

    Raises: InputError for values that cannot be used, and pictures without a face.
    """
    from ..codecs.codec import VIEWS
    from ..codecs.drawn import DrawnPortrait
    from ..codecs.face_motion import FaceMotion
    from ..errors import one_of
    from ..pipeline.looks import Look, look, parse_values, sheet
    from ..pipeline.options import RunOptions
    from ..pipeline.portrait import read_portrait

    asked = Look(
        parse_values(options.set or [], "set", "jawOpen=0.5"),
        parse_values(options.pose or [], "pose", "yaw=20"),
        parse_values(options.gaze or [], "gaze", "right=10"),
    )
    whole = not (options.set or options.pose or options.gaze)
    view, size = one_of(options.view, VIEWS, "view"), RunOptions(size=options.size).limit
    portrait = read_portrait(
        options.portrait,
        SIZE,
        face_model=None if options.face_model is None else Path(options.face_model),
        face_index=options.face_index,
        codec=FaceMotion(),
        view="face" if whole else view,
        limit=SIZE if whole else size,
    )
    print(f"face: {portrait.place()}")
    bound = cast(DrawnPortrait, portrait.bound)  # of the codec above
    for fact in bound.facts:
        print(f"  {fact}")
    picture = sheet(bound) if whole else look(bound, asked)
    for note in bound.notes if not whole else ():
        log.warning(note)
    return picture
