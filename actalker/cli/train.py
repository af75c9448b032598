"""`actalker train fit --config FILE`: trains by Lightning's command line, with our module and data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..errors import InputError
from ..extras import need
from .options import explain
from .train_words import SUBCOMMANDS, check_words, usage


def run(argv: Sequence[str]) -> int:
    """Run `actalker train`: train, validate, test or predict; `actalker train fit --help` lists the options.

    argv: the words after the command's name. Returns the exit code.
    """
    if argv and argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    check_words(argv)
    need("train", "lightning")
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from ..training.command import WrongOptions, train
    from ..training.interrupt import Interrupted

    try:
        train(list(argv))
    except WrongOptions as error:
        words = explain(error.message, error.options, dashes=False)
        place = f"{argv[0]} --help" if argv[0] in SUBCOMMANDS else "--help"
        raise InputError(f"{words}; see actalker train {place}") from None
    except InputError as error:
        raise InputError(_without_worker(str(error))) from None
    except MisconfigurationException as error:
        raise InputError(f"{' '.join(str(error).split())[:300]}") from None
    except Interrupted as end:
        from lightning.pytorch.utilities import rank_zero_only

        if rank_zero_only.rank:
            return 0  # the first process prints it
        print(end, file=sys.stderr)
        return 128 + end.number
    except SystemExit as stop:  # LightningCLI ends the process itself after --help, Lightning after Ctrl-C
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        return int(stop.code or 0) if not isinstance(stop.code, str) else 2
    return 0


def _without_worker(text: str) -> str:
    """The message of a data worker's error, without the traceback that torch adds to it."""
    if not text.startswith("Caught InputError in DataLoader worker"):
        return text
    return text.strip().rpartition("InputError: ")[2]
