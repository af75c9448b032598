"""The CPU kernels: their arithmetic, threads, forks, and what happens without numba or without AVX-512."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from actalker.errors import InputError
from actalker.ssm import kernels, ordered_scan, selective_scan
from actalker.ssm.kernels import support, threads
from actalker.ssm.selective import numba as operators

numba = pytest.importorskip("numba", reason="the kernels need numba: pip install numba")


@pytest.fixture(scope="module")
def vector():
    """Apply a vector function to a float32 array in place."""
    from actalker.ssm.kernels import vector as v
    from actalker.ssm.kernels.arguments import LANES, SIZE

    def over(function):
        @numba.njit(error_model="numpy")
        def run(address, vectors):
            for i in range(vectors):
                v.store(address + i * SIZE, function(v.load(address + i * SIZE)))

        def apply(x):
            y = np.resize(x.astype(np.float32), -(-len(x) // LANES) * LANES)
            run(y.ctypes.data, len(y) // LANES)
            return y[: len(x)]

        return apply

    return {name: over(getattr(v, name)) for name in ("exp2", "softplus", "sigmoid")}


def test_exp2_is_exact_to_float32(vector):
    x = np.concatenate([np.linspace(-125.9, 127.9, 40_001), -np.logspace(-12, 0, 500)]).astype(np.float32)
    np.testing.assert_allclose(vector["exp2"](x), np.exp2(x.astype(np.float64)), rtol=2e-7)


def test_exp2_at_the_edges(vector):
    x = np.array([-0.0, 0.0, -1e30, -np.inf, 128.0, 1e30, np.inf, np.nan])
    y = vector["exp2"](x)
    assert y[0] == y[1] == 1
    assert (y[2:4] <= 2e-38).all() and (y[2:4] >= 0).all()
    assert np.isnan(y[7]) and not np.isfinite(y[4:7]).any()


def test_softplus_and_sigmoid_keep_their_digits_everywhere(vector):
    """The small end is where log(1 + e^x) as written has none left, and where step sizes live."""
    x = np.concatenate([np.linspace(-85, 85, 20_001), [0.0, -1e-6, 1e-6, 1e30]]).astype(np.float32)
    exact = x.astype(np.float64)
    truths = {"softplus": np.logaddexp(0, exact), "sigmoid": np.exp(-np.logaddexp(0, -exact))}
    allowed = 5e-7 + 1e-7 * np.minimum(np.abs(exact), 85)  # e^x knows x log2(e) as a float32 alone
    for name, truth in truths.items():
        assert (np.abs(vector[name](x) - truth) <= allowed * truth).all(), name


def inputs(b=2, l=130, d=64, n=16, g=1) -> list[torch.Tensor]:
    make = torch.Generator().manual_seed(0)
    shapes = (b, l, d), (b, l, d), (d, n), (b, l, g, n), (b, l, g, n), (d,), (d,)
    u, delta, A, B, C, D, bias = (torch.randn(*shape, generator=make) for shape in shapes)
    return [t.requires_grad_() for t in (u, delta - 3, -A.abs(), B, C, D, bias)]


def run(tensors: list[torch.Tensor], backend: str = "numba", **options) -> list[torch.Tensor]:
    y, _ = selective_scan(*tensors, True, backend=backend, **options)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), tensors)]


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("sizes", [{}, {"b": 1}, {"b": 1, "l": 211, "d": 48}, {"b": 3, "g": 4}])
def test_threads_change_no_bit_of_the_values(monkeypatch, two_threads, sizes):
    """One item alone is shared out by channels: then only sums over channels are added in another order."""
    monkeypatch.setattr(threads, "WORTH_THREADS", 0)
    tensors, lengths = inputs(**sizes), [17, 130, 64] if sizes.get("l") == 211 else None
    shared = run(tensors, lengths=lengths)
    again = run(tensors, lengths=lengths)
    assert all(torch.equal(x, y) for x, y in zip(shared, again, strict=True))
    torch.set_num_threads(1)
    alone = run(tensors, lengths=lengths)
    assert torch.equal(shared[0], alone[0])
    for x, y in zip(shared, alone, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_threads_change_no_bit_of_a_scan_in_several_orders(monkeypatch, two_threads):
    """Groups add to the same rows: one thread does them one after another."""
    monkeypatch.setattr(threads, "WORTH_THREADS", 0)
    make = torch.Generator().manual_seed(0)
    shapes = (60, 16), (60, 2, 16), (2, 16, 4), (60, 2, 4), (60, 2, 4), (2, 16), (2, 16)
    u, delta, A, *rest = (torch.randn(*shape, generator=make) for shape in shapes)
    order = torch.stack([torch.arange(60), torch.arange(60).view(3, 20).flip(1).flatten()])
    call = {"order": order, "lengths": torch.tensor([20, 20, 20]), "results": 60, "backend": "numba"}
    shared, _ = ordered_scan(u, delta, -A.abs(), *rest, **call)
    torch.set_num_threads(1)
    alone, _ = ordered_scan(u, delta, -A.abs(), *rest, **call)
    assert alone.abs().min() > 0 and torch.equal(shared, alone)


def small() -> list[torch.Tensor]:
    """Small enough for PyTorch not to use threads of its own, which hang in a fork."""
    return inputs(l=70, d=16, n=4)


def child(queue) -> None:
    queue.put(run(small())[0].sum().item())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_scans(monkeypatch, two_threads):
    """The workers of a DataLoader are forks: threads that the parent started do not exist there."""
    monkeypatch.setattr(threads, "WORTH_THREADS", 0)
    expected = run(small())[0].sum().item()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
    assert process.exitcode == 0 and queue.get() == expected


def test_operators_keep_pytorchs_rules():
    """Schema, shapes without data, gradients, tracing: what torch.compile and torch.export rely on."""
    u, delta, A, B, C, D, bias = inputs(b=1, l=79, d=32, n=3, g=2)
    begin, lengths = torch.rand(2, 32, 3), torch.tensor([70, 9])
    rows = [t.detach().unflatten(2, (2, 16)).requires_grad_() for t in (u, delta)]
    weights = [t.detach().unflatten(0, (2, 16)).requires_grad_() for t in (A, D, bias)]
    (u, delta), (A, D, bias) = rows, weights
    begin = begin.unflatten(1, (2, 16)).requires_grad_()
    call = (u, delta, A, B, C, D, bias, begin, None, lengths, True, False, 79, True)
    torch.library.opcheck(operators.scan_forward, call)
    delta = delta.detach().abs().requires_grad_()
    call = (u, delta, A, B, C, None, None, None, None, lengths, False, True, 79, True)
    torch.library.opcheck(operators.scan_forward, call)
    order = torch.stack([torch.randperm(79), torch.cat([torch.arange(60), torch.full((19,), 70)])])
    shared = u[:, :, :1].detach().requires_grad_()
    call = (shared, delta, A, B, C, D, None, begin, order, lengths, False, False, 60, True)
    torch.library.opcheck(operators.scan_forward, call)


def test_a_second_derivative_is_refused_and_not_wrong():
    tensors = inputs(l=5, d=16, n=2)
    (gradient,) = torch.autograd.grad(selective_scan(*tensors, True)[0].sum(), tensors[1], create_graph=True)
    with pytest.raises(RuntimeError, match="scan_backward"):
        gradient.square().sum().backward()


def test_float64_is_refused_by_name_and_left_to_another_by_auto():
    tensors = [t.double() for t in inputs(l=3)]
    with pytest.raises(InputError, match="float64.*'chunked' runs everywhere"):
        selective_scan(*tensors, backend="numba")
    assert selective_scan(*tensors)[0].dtype == torch.float64


@pytest.fixture
def no_numba(monkeypatch):
    """An environment where numba cannot be imported."""
    monkeypatch.setitem(sys.modules, "numba", None)
    for package, name in ((kernels, "matrix"), (kernels, "memory"), (kernels, "vector")):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    support.try_numba.cache_clear()
    yield
    support.try_numba.cache_clear()


def test_without_numba_auto_goes_on_and_the_name_says_what_to_install(no_numba):
    tensors = inputs(l=20)
    with pytest.raises(InputError, match="pip install numba"):
        selective_scan(*tensors, True, backend="numba")
    assert torch.equal(
        selective_scan(*tensors, True)[0], selective_scan(*tensors, True, backend="chunked")[0]
    )


@pytest.mark.slow
def test_the_same_numbers_on_a_cpu_without_avx():
    """Compiled in another process for the plainest CPU of this kind, where exp2 is put together from less."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__, "-k", "exp2 or softplus or threads"],
        env=os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout
