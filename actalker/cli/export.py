"""`actalker export CHECKPOINT FOLDER`: converts a training checkpoint to a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..provenance import check_readable
from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Run `actalker export`: write the model folder of a training checkpoint, and print its path.

    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser("export", "A training checkpoint to a model folder that infer, Python and the hub read.")
    p.add_argument("checkpoint", type=str, help="a .ckpt of train.py")
    p.add_argument(
        "folder", type=str, help="the model folder; an existing one is replaced when the new one is whole"
    )
    p.add_argument(
        "--averaged", type=bool, default=True, help="the averaged weights (EMA), not the last ones"
    )
    p.add_argument(
        "--dtype", type=Literal["float32", "bfloat16"], default="float32", help="of the weights on disk"
    )
    options = parse(p, argv)
    if options is None:
        return 0
    check_readable(options.checkpoint, "training checkpoint")  # before torch is imported
    from ..training.export import export

    print(export(options.checkpoint, options.folder, options.averaged, options.dtype))
    return 0
