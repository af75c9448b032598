"""The scan's kernels in C++ (`scan_native.cpp`), compiled for this machine, and a floor of their time."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

LANES, CHUNK = 16, 64


def compiled() -> ctypes.CDLL | None:
    """Compiles and loads the library; None where there is no C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        return None
    target = Path(tempfile.mkdtemp()) / "scan_native.so"
    options = ("-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
    source = Path(__file__).with_name("scan_native.cpp")
    subprocess.run([compiler, *options, "-o", str(target), str(source)], check=True)
    library = ctypes.CDLL(str(target))
    for name in ("scan_forward", "scan_backward", "exponentials", "traffic"):
        getattr(library, name).restype = None
    return library


def call(function: Callable[..., object], *arguments: int | Tensor | None) -> None:
    """Calls a function of the library: numbers are passed as long, tensors as addresses, None as 0."""
    function(
        *(
            ctypes.c_long(x) if isinstance(x, int) else ctypes.c_void_p(0 if x is None else x.data_ptr())
            for x in arguments
        )
    )


def in_blocks(t: Tensor) -> Tensor:
    """Turns a table (d, n) into blocks of 16 channels, (d / 16, n, 16)."""
    return t.unflatten(0, (-1, LANES)).transpose(1, 2).contiguous()


def native_forward(
    library: ctypes.CDLL, arguments: list[Tensor], keep: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The scan of arguments as `scan.inputs` makes them: y (1, l, d).

    With `keep` it also returns the states before every chunk, which the backward pass needs.
    """
    u, delta, A, B, C, D, bias = (t.detach() for t in arguments)
    _, l, d = u.shape
    n = A.shape[1]
    y, rate = torch.empty_like(u), in_blocks(A * math.log2(math.e))
    states = torch.empty(-(-l // CHUNK), d // LANES, n, LANES) if keep else None
    call(library.scan_forward, *(l, d, n), *(u, delta, rate, B, C, D, bias), *(y, states))
    return y, states


def native_both(library: ctypes.CDLL, arguments: list[Tensor]) -> list[Tensor]:
    """Scans forwards and backwards: the gradients of all arguments, for gradients of y that are 1."""
    y, states = native_forward(library, arguments, keep=True)
    u, delta, A, B, C, D, bias = (t.detach() for t in arguments)
    _, l, d = u.shape
    n = A.shape[1]
    rate, dA = in_blocks(A * math.log2(math.e)), torch.zeros(d // LANES, n, LANES)
    du, ddelta = torch.empty_like(u), torch.empty_like(u)
    dB, dC, dD, dbias = (torch.zeros_like(t) for t in (B, C, D, bias))
    dy = torch.ones_like(y)
    inputs = (u, delta, rate, B, C, D, bias, states, dy)
    call(library.scan_backward, *(l, d, n), *inputs, *(du, ddelta, dA, dB, dC, dD, dbias))
    return [du, ddelta, dA.transpose(1, 2).reshape(d, n), dB, dC, dD, dbias]


def floor(library: ctypes.CDLL, l: int, d: int, n: int) -> Callable[[], object]:
    """A call that does the least a scan must: an exponential a state; of (l, d), two reads and one write."""
    x = torch.linspace(-8, 0, 1024)
    u, delta, y = (torch.zeros(l, d) for _ in range(3))

    def run() -> None:
        call(library.exponentials, l * d * n, x.clone())
        call(library.traffic, l * d, u, delta, y)

    return run
