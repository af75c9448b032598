"""The adapter to the CUDA package: its layouts on any machine, its kernels where there are some."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from references.scan import scan_loop

from actalker.ssm import BACKENDS, selective_scan
from actalker.ssm.backends import ScanCall
from actalker.ssm.selective import mamba


def fwd(u, delta, A, B, C, D, z, bias, softplus):
    """The documented call of the compiled module: u, delta (b, d, l), B, C (b, g, n, l), all contiguous."""
    given = (u, delta, A, B, C, *(t for t in (D, bias) if t is not None))
    assert z is None and all(t.is_contiguous() for t in given)
    u, delta = (t.transpose(1, 2) for t in (u, delta))
    B, C = (t.permute(0, 3, 1, 2) for t in (B, C))
    y, _ = scan_loop(u, delta, A, B, C, D, bias, softplus)
    return y.transpose(1, 2).contiguous(), torch.empty(0)


def bwd(u, delta, A, B, C, D, z, bias, dy, states, out, dz, softplus, recompute):
    given = [t if t is None else t.detach().requires_grad_() for t in (u, delta, A, B, C, D, bias)]
    assert dy.is_contiguous() and z is out is dz is None and not recompute
    with torch.enable_grad():
        y, _ = fwd(*given[:6], None, given[6], softplus)
    found = iter(torch.autograd.grad(y, [t for t in given if t is not None], dy))
    return [torch.empty(0) if t is None else next(found) for t in given]


@pytest.fixture
def module(monkeypatch):
    """In the place of the compiled module: the paper's loop behind its documented signature."""
    module = SimpleNamespace(fwd=fwd, bwd=bwd)
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", module)
    mamba.trial.cache_clear()
    yield module
    mamba.trial.cache_clear()


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lengths": torch.tensor([3, 0, 4, 0, 7])},
        {"reverse": True},
        {"lengths": torch.tensor([3, 4, 0, 7]), "reverse": True},
    ],
)
def test_layouts_directions_and_lengths_arrive(module, options, weights):
    b, l, d, n, g = (1, 14, 6, 3, 2) if "lengths" in options else (2, 7, 6, 3, 2)
    shapes = (b, l, d), (b, l, d), (d, n), (b, l, g, n), (b, l, g, n), (d,), (d,)
    tensors = [torch.randn(*shape) for shape in shapes]
    tensors[2] = -tensors[2].abs()
    given = [t.requires_grad_() for t in tensors[: 7 if weights else 5]]
    mixture = torch.randn(b, l, d)
    padded = [*given, *[None] * (7 - len(given))]
    *five, D, bias = padded
    y, final = mamba.scan_mamba(ScanCall(*five, D, bias, delta_softplus=True, **options))
    assert final is None
    expected, _ = scan_loop(*padded, True, **options)
    torch.testing.assert_close(y, expected)
    found, truth = (torch.autograd.grad((z * mixture).sum(), given) for z in (y, expected))
    torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-5)


def test_a_module_is_taken_only_after_a_trial(module):
    here = torch.device("cpu")
    assert mamba.trial(here) is None
    for broken, reason in (
        (lambda *a: (torch.zeros(1, 4, 8),), "wrong numbers"),
        (lambda *a: 1 / 0, "ZeroDivisionError.*--no-build-isolation"),
    ):
        module.fwd = broken
        mamba.trial.cache_clear()
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(mamba.trial(here))


def test_without_the_package_the_reason_names_it_and_the_install():
    mamba.trial.cache_clear()
    if "selective_scan_cuda" in sys.modules:
        pytest.skip("the compiled module is here")
    reason = mamba.trial(torch.device("cpu"))
    assert "selective_scan_cuda" in reason and "pip install" in reason and "actalker[cuda]" in reason


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["mamba", "chunked"])
def test_scan_on_a_gpu_is_the_papers_recurrence(backend):
    if reason := BACKENDS[backend].refuses(torch.zeros(1, device="cuda")):
        pytest.skip(reason)
    make = torch.Generator().manual_seed(0)
    b, l, d, n, g = 1, 300, 48, 16, 3
    shapes = (b, l, d), (b, l, d), (d, n), (b, l, g, n), (b, l, g, n), (d,), (d,)
    tensors = [torch.randn(*shape, generator=make, dtype=torch.float64) for shape in shapes]
    tensors[1], tensors[2] = tensors[1] - 3, -tensors[2].abs()
    options = {"lengths": torch.tensor([89, 0, 211]), "reverse": True}
    slow = [t.clone().requires_grad_() for t in tensors]
    fast = [t.float().cuda().requires_grad_() for t in tensors]
    expected, _ = scan_loop(*slow, True, **options)
    y, _ = selective_scan(*fast, True, backend=backend, **options)
    truth = torch.autograd.grad(expected.square().sum(), slow)
    found = torch.autograd.grad(y.square().sum(), fast)
    for x, t in zip((y, *found), (expected, *truth), strict=True):
        assert (x.double().cpu() - t).norm() <= 1e-4 * t.norm()
