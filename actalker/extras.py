"""Optional packages: imported where they are needed, or the line that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import InputError


def need(extra: str, package: str) -> ModuleType:
    """Import a package that belongs to an extra of this one.

    Args:
        extra: name after `actalker` in square brackets, for example `face`.
        package: what to import, for example `mediapipe`.
    Raises: InputError with the line that installs it, or with the reason why it is there but does not import.
    """
    install = f"pip install 'actalker[{extra}]'"
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        missing, root = error.name or package, package.partition(".")[0]
        if missing.partition(".")[0] == root:
            raise InputError(f"{root} is not installed; {install}") from None
        raise InputError(f"{package} needs {missing}, which is not installed; {install}") from None
    except (ImportError, OSError, RuntimeError) as error:  # a system library, or another torch's binary
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{package} is installed but does not import ({reason}); {install}") from None
