"""Trial calls of kernels from other packages: built for another PyTorch or GPU, they import and then fail."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

_F = TypeVar("_F", bound=Callable[..., object])

MAMBA_INSTALL = "install it beside a CUDA build of PyTorch: pip install --no-build-isolation 'actalker[cuda]'"


def constant(function: _F) -> _F:
    """Mark a function whose result a compiled graph may take as a constant.

    As `torch.compiler.assume_constant_result` does, which imports torch's whole compiler to set the mark.
    """
    function.__dict__["_dynamo_marked_constant"] = True
    return function


def why_no_kernels(package: str, error: Exception, remedy: str) -> str:
    """Return a message of one line that says why a module of kernels cannot be imported.

    package: name of the package that the kernels need. The message says that the package is not installed,
    that one of its own dependencies is not installed, or that its import failed with `error`.
    error: the exception of the import.
    remedy: what the user can do, the end of the message.
    """
    if importlib.util.find_spec(package) is None:
        return f"{package} is absent; {remedy}"
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"{package} needs {error.name.partition('.')[0]}, which is absent; {remedy}"
    return f"{package} does not import ({type(error).__name__}: {error}); {remedy}"


def package_refuses(u: Tensor) -> str | None:
    """Return a message that says why the `mamba-ssm` package cannot scan u, or None if it can."""
    if u.device.type != "cuda":
        return f"the input is on {u.device.type}, the package needs CUDA"
    if u.dtype == torch.float64:
        return "the package knows no float64"
    return None


def failure(name: str, run: Callable[[], Tensor], expected: Tensor, remedy: str) -> str | None:
    """Call `run` as a trial; return a message that says what is wrong with the kernels, or None.

    name: what the message calls the kernels. They are wrong if `run` raises an exception, or returns a tensor
    that differs from `expected` by more than 1 %.
    """
    try:
        y = run().cpu().float()
    except Exception as error:  # whatever a foreign binary raises
        return f"{name} fails ({type(error).__name__}: {error}); {remedy}"
    if y.shape != expected.shape or not torch.allclose(y, expected, rtol=1e-2):
        return f"{name} gives wrong numbers in a trial; {remedy}"
    return None


def eight_steps(states: int) -> Tensor:
    """y (8,) of a channel with u = B = C = 1, A = -1, steps of 0.1 and `states` equal states."""
    return states * 0.1 * torch.exp(-0.1 * torch.arange(8.0)).cumsum(0)
