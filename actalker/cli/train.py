"""`actalker train fit --config FILE`: Lightning's command line over our module and data."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..extras import need
from .options import explain


def run(argv: Sequence[str]) -> int:
    """Train, or validate. Everything is an option: `actalker train fit --help`."""
    need("train", "lightning")
    if not argv:
        raise InputError("say what to do: actalker train fit --config FILE")
    from ..training.command import WrongOptions, train

    try:
        train(list(argv))
    except WrongOptions as error:
        words = explain(error.message, error.options, dashes=False)
        raise InputError(f"{words}; see actalker train {argv[0]} --help") from None
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: no such file; give --config FILE") from None
    except SystemExit as stop:  # LightningCLI ends the process itself after --help
        return int(stop.code or 0) if not isinstance(stop.code, str) else 2
    return 0
