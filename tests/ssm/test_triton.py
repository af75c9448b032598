"""The Triton kernels against the paper's loop: by Triton's interpreter here, for real on a GPU."""

from __future__ import annotations

import os

import pytest
import torch
from references.scan import scan_loop

from actalker.ssm import selective_scan
from actalker.ssm.backends import ScanCall
from actalker.ssm.selective import triton as adapter
from actalker.ssm.selective.layouts import call_by_groups

triton = pytest.importorskip("triton", reason="the kernels need triton: pip install triton")
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias", "state")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # kernels run step by step on the CPU


def make(b, l, d, n, g, s, step, full, dtype=torch.float64) -> dict:
    make = torch.Generator().manual_seed(l)
    normal = lambda *shape: torch.randn(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    given = {
        "u": normal(b, l, d),
        "delta": normal(b, l, d) + torch.log(torch.tensor(step)),
        "A": -normal(d, n).abs(),
        "B": normal(b, l, g, n),
        "C": normal(b, l, g, n),
    }
    if full:
        given |= {
            "D": normal(d),
            "delta_bias": normal(d) * 0.1,
            "state": normal(s, d, n),
        }
    return {name: t.to(dtype).requires_grad_() for name, t in given.items()}


CASES = {  # b, l, d, n, groups, step, everything optional, lengths, reverse
    "plain": (2, 5, 6, 3, 1, 0.1, False, None, False),
    "all": (2, 37, 8, 4, 2, 0.1, True, None, True),
    "pack": (1, 70, 10, 2, 2, 0.01, True, [33, 0, 1, 36], True),
    "long steps": (1, 9, 5, 5, 1, 10.0, True, [4, 5], False),
    "blocks": (1, 4, 72, 2, 2, 1e-3, True, None, False),
}


def results(y, final, inputs):
    make = torch.Generator().manual_seed(1)
    out = {"y": y} if final is None else {"y": y, "final": final}
    mixed = [
        (t * torch.randn(t.shape, generator=make, dtype=torch.float64).to(t)).sum() for t in out.values()
    ]
    grads = torch.autograd.grad(sum(mixed), list(inputs.values()), materialize_grads=True)
    return out | dict(zip(inputs, grads, strict=True))


def close(found, expected, tolerance):
    for name, t in expected.items():
        scale = t.detach().pow(2).mean().sqrt().item() + 1e-12
        assert found[name].isfinite().all(), name
        assert (found[name].detach().double().cpu() - t.detach()).abs().max() <= tolerance * scale, name


@pytest.mark.skipif(not INTERPRETED, reason="TRITON_INTERPRET is not 1")
@pytest.mark.parametrize("case", CASES)
def test_kernels_are_the_papers_recurrence(case):
    b, l, d, n, g, step, full, lengths, reverse = CASES[case]
    inputs = make(b, l, d, n, g, len(lengths) if lengths else b, step, full)
    options = {"lengths": lengths, "reverse": reverse}
    y, final = scan_loop(**inputs, delta_softplus=True, **options)
    expected = results(y, final if full else None, inputs)
    low = {k: t.detach().float().requires_grad_() for k, t in inputs.items()}
    five = [low[k] for k in NAMES[:5]]
    sizes = None if lengths is None else torch.tensor(lengths)
    rest = (low.get("D"), low.get("delta_bias"), True, sizes, reverse, low.get("state"))
    y, final = call_by_groups(adapter.scan_triton, ScanCall(*five, *rest))
    assert full or final is None
    close(results(y, final, low), expected, 1e-4)


@pytest.mark.skipif(not INTERPRETED, reason="TRITON_INTERPRET is not 1")
def test_the_trial_passes_here():
    adapter.trial.cache_clear()
    assert adapter.trial(torch.device("cpu")) is None


def test_on_a_cpu_the_backend_is_refused_with_a_reason():
    assert "need CUDA" in adapter.triton_refuses(torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(case, dtype):
    b, l, d, n, g, step, full, lengths, reverse = CASES[case]
    inputs = make(b, l, d, n, g, len(lengths) if lengths else b, step, full, dtype)
    exact = {k: t.detach().double().requires_grad_() for k, t in inputs.items()}
    options = {"lengths": lengths, "reverse": reverse, "delta_softplus": True}
    expected = scan_loop(**exact, **options)[0]
    cuda = {k: t.detach().cuda().requires_grad_() for k, t in inputs.items()}
    y, _ = selective_scan(**cuda, **options, backend="triton")
    close({"y": y}, {"y": expected}, 1e-4 if dtype == torch.float32 else 2e-2)
