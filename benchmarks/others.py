"""The scans of other packages as they are published, called with the arguments of ours.

mamba-ssm cannot be imported without CUDA, but its two files in plain PyTorch can, from an unpacked source
archive.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

Scan = Callable[..., Tensor]


def mamba_file(folder: Path, file: str) -> ModuleType:
    """Imports one file of mamba-ssm's source tree, with empty modules instead of those that need CUDA."""
    names = (
        "causal_conv1d",
        "causal_conv1d.cpp_functions",
        "selective_scan_cuda",
        "mamba_ssm",
        "mamba_ssm.utils",
        "mamba_ssm.utils.torch",
        "mamba_ssm.ops",
        "mamba_ssm.ops.triton",
        "mamba_ssm.ops.triton.layer_norm",
        "mamba_ssm.ops.triton.ssd_combined",
    )
    spec = importlib.util.spec_from_file_location(Path(file).stem, folder / "mamba_ssm" / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # not for longer: transformers would take them for the real ones
    with unittest.mock.patch.dict(sys.modules, {name: _Anything(name) for name in names}):
        spec.loader.exec_module(module)
    return module


class _Anything(ModuleType):
    """A module that has every name: each is a function that returns its first argument."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: args[0] if args else None


def package_reference(folder: Path) -> Scan:
    """mamba-ssm's `selective_scan_ref`, which has channels first inside."""
    ref = mamba_file(folder, "ops/selective_scan_interface.py").selective_scan_ref

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor) -> Tensor:
        first = [t.transpose(1, 2) for t in (u, delta, B, C)]
        out = ref(*first[:2], A, *first[2:], D, delta_bias=bias, delta_softplus=True)
        return out.transpose(1, 2)

    return scan


def mambapy() -> Scan:
    """mambapy's parallel scan, as its block calls it."""
    from mambapy.pscan import pscan

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor) -> Tensor:
        delta = F.softplus(delta + bias)
        decay = torch.exp(delta[..., None] * A)
        drive = delta[..., None] * B[:, :, None] * u[..., None]
        return (pscan(decay, drive) @ C[..., None]).squeeze(3) + D * u

    return scan


def transformers_slow() -> Scan:
    """The scan of transformers' Mamba without CUDA packages, which has channels first inside."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor) -> Tensor:
        first = [t.transpose(1, 2) for t in (u, delta, B, C)]
        return mamba_selective_scan(
            *first[:2], A, *first[2:], D, delta_bias=bias, delta_softplus=True
        ).transpose(1, 2)

    return scan


def associative() -> Scan:
    """PyTorch's `associative_scan` over the same recurrence."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def join(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return a[0] * b[0], b[0] * a[1] + b[1]

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor) -> Tensor:
        delta = F.softplus(delta + bias)
        decay = torch.exp(delta[..., None] * A)
        drive = delta[..., None] * B[:, :, None] * u[..., None]
        h = associative_scan(join, (decay, drive), dim=1, combine_mode="generic")[1]
        return (h @ C[..., None]).squeeze(3) + D * u

    return scan


def ssd_minimal(folder: Path) -> Scan:
    """mamba-ssm's `ssd_minimal_discrete` with chunks of 64."""
    minimal = mamba_file(folder, "modules/ssd_minimal.py").ssd_minimal_discrete

    def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        heads = x.shape[2]
        B, C = (t[:, :, None].expand(-1, -1, heads, -1) for t in (B, C))
        return minimal(x * dt[..., None], A * dt, B, C, 64)[0]

    return scan
