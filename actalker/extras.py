"""Late imports: optional packages, with the line that installs them, and the public names of folders."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .errors import InputError


def need(extra: str, package: str) -> ModuleType:
    """Import a package that belongs to an extra of this one.

    Args:
        extra: the name after `actalker` in square brackets, for example `face`.
        package: the module to import, for example `mediapipe`.
    Raises: InputError with the line that installs it, or with the reason why it does not import.
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


def late(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package (PEP 562), which imports its public names when they are first used.

    So a module of the package that needs no torch can be imported without torch.
    names: public name -> module of the package that defines it.
    """

    def get(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(f".{names[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
