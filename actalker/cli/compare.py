"""`actalker compare A B`: two runs of `evaluate` over the same clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..provenance import check_readable
from .options import new_parser, parse


def run(argv: Sequence[str]) -> int:
    """Print the paired differences of two runs of `evaluate`."""
    p = new_parser("compare", "Paired differences of two runs of evaluate over the same clips.")
    p.add_argument("one", type=str, help="metrics.json of the first")
    p.add_argument("other", type=str, help="metrics.json of the second")
    p.add_argument("--force", action="store_true", help="also where the protocols differ")
    options = parse(p, argv)
    if options is None:
        return 0
    from ..evaluation.evaluate import compare

    found = compare(_read(options.one), _read(options.other), options.force)
    print("| metric | second less first | 95 % interval | clips | p |\n|---|---|---|---|---|")
    for row in found:
        p_value = "" if row.p is None else f"{row.p:.3g}"
        print(
            f"| {row.metric} | {row.value:.4g} | {row.low:.4g} to {row.high:.4g} | {row.count} | {p_value} |"
        )
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        held = json.loads(check_readable(path, "metrics.json").read_text(encoding="utf-8"))
        rows = held["rows"]
        assert all({"metric", "hash", "protocol", "clips"} <= set(row) for row in rows)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InputError(f"{path}: is no metrics.json of actalker evaluate") from None
    return held
