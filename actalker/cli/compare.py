"""`actalker compare A B`: compares two runs of `evaluate` over the same clips."""

from __future__ import annotations

from collections.abc import Sequence

from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Run `actalker compare`: print the differences, clip by clip, of two runs of `actalker evaluate`.

    argv: the words after the command's name. Returns the exit code.
    """
    p = new_parser("compare", "Paired differences of two runs of evaluate over the same clips.")
    p.add_argument("one", type=str, help="metrics.json of the first")
    p.add_argument("other", type=str, help="metrics.json of the second")
    p.add_argument("--force", action="store_true", help="also where the protocols differ")
    options = parse(p, argv)
    if options is None:
        return 0
    from ..evaluation.compare import compare, markdown, read_run

    print(markdown(compare(read_run(options.one), read_run(options.other), options.force)), end="")
    return 0
