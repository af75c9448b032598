"""`actalker check-released FILE`: compares our form of the released network with the outputs in a file."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..provenance import check_readable
from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Run `actalker check-released`: compare our form of ACTalker's released network with its own outputs.

    Prints the largest error of each mode (which signals are open, under which masks), relative to the largest
    value. argv: the words after the command's name.
    Returns the exit code, 1 if an error is above the tolerance.
    """
    p = new_parser(
        "check-released", "Compares our form of ACTalker's released network with a file's outputs."
    )
    p.add_argument("file", type=str, help="safetensors with weights, inputs, outputs, and unet_config")
    p.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest error, relative to the largest value"
    )
    options = parse(p, argv)
    if options is None:
        return 0
    if not options.tolerance > 0:
        raise InputError(f"--tolerance {options.tolerance:g}: give a number above 0")
    check_readable(options.file, "safetensors file")  # before torch is imported
    from ..released.check import check_released

    worst = 0.0
    for check in check_released(options.file):
        print(f"{check.mode:14s} {check.error:.2e}")
        worst = max(worst, check.error if check.error == check.error else float("inf"))
    return int(worst > options.tolerance)
