"""`actalker track VIDEO --out TAKE.csv`: writes the motion of the head in a video as Live Link Face does."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..provenance import check_writable
from .options import new_parser, parse

log = logging.getLogger("actalker")
LARGEST = 1920  # pixels of a frame's longer side at most
DOUBTFUL = 0.5  # confidence, below which a frame is reported


def run(argv: Sequence[str]) -> int:
    """Run `actalker track`: write the motion of the head in a video as a CSV file, as Live Link Face does.

    Prints its length in frames and seconds, and its path.
    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser("track", "Writes the motion of the head in a video as a take of Live Link Face.")
    p.add_argument("video", type=str, help="video of a face; the largest is followed")
    p.add_argument("--out", type=str, required=True, help="the take, .csv")
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    options = parse(p, argv)
    if options is None:
        return 0
    out = Path(options.out)
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {options.out!r}: is written as CSV; give a name that ends in .csv")
    check_writable(out, options.overwrite)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    from rich.progress import track as shown

    from ..heads.take import write_take
    from ..heads.track import track
    from ..media.video import probe, timed_frames
    from ..provenance import whole_file

    total = probe(options.video).frames

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        timed = timed_frames(options.video, LARGEST)
        for start, picture in shown(timed, "tracking", total, disable=not sys.stderr.isatty()):
            yield float(start), picture

    model = None if options.face_model is None else Path(options.face_model)
    motion, _ = track(frames(), options.video, model)
    with whole_file(out, options.overwrite) as work:
        write_take(work, motion)
    gone = int((motion.confidence == 0).sum())
    doubtful = int(((motion.confidence > 0) & (motion.confidence < DOUBTFUL)).sum())
    cuts = int(motion.shot[-1])
    if gone:
        log.warning("%s: no face in %d of %d frames; their rows are empty", options.video, gone, len(motion))
    if doubtful:
        log.warning("%s: the head is not sure in %d frames", options.video, doubtful)
    if cuts:
        log.warning("%s: %d cuts; the head's place and turn jump there", options.video, cuts)
    print(f"{len(motion)} frames, {motion.times[-1] - motion.times[0]:.2f} s")
    print(out)
    return 0
