"""The scan with one decay a head: every backend against the general scan's loop in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from references.scan import scan_loop

from actalker.errors import InputError
from actalker.ssm import SSD_BACKENDS, ssd_scan

HERE = [name for name, backend in SSD_BACKENDS.items() if backend.refuses(torch.zeros(1)) is None]
PER_STEP = ("x", "dt", "B", "C")


def make(b=2, l=9, h=2, p=5, n=3, g=1, step=0.1, decay=1.0, seed=0, raw=False) -> dict:
    """Inputs whose steps are around `step` and whose states decay by exp(-step decay) a step and slower."""
    make = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    uniform = lambda *shape: torch.rand(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    dt = step * (0.5 + uniform(b, l, h))
    tensors = {
        "x": normal(b, l, h, p),
        "dt": dt if raw else dt + torch.log(-torch.expm1(-dt)),
        "A": -decay * uniform(h),
        "B": normal(b, l, g, n),
        "C": normal(b, l, g, n),
        "D": normal(h),
        "dt_bias": 0.01 * step * uniform(h),
    }
    return {name: t.requires_grad_() for name, t in tensors.items()} | {"dt_softplus": not raw}


def truth(x, dt, A, B, C, D=None, dt_bias=None, dt_softplus=False, state=None, **options):
    """Every channel of a head as a channel of the general scan, with its head's numbers."""
    p = x.shape[3]
    D, dt_bias = (None if t is None else t.repeat_interleave(p) for t in (D, dt_bias))
    y, final = scan_loop(
        x.flatten(2),
        dt.repeat_interleave(p, 2),
        A.repeat_interleave(p)[:, None].expand(-1, B.shape[3]),
        B,
        C,
        D,
        dt_bias,
        dt_softplus,
        state=None if state is None else state.flatten(1, 2),
        **options,
    )
    return y.view(x.shape), final.view(len(final), *x.shape[2:], -1)


def results(scan, inputs: dict, streams: bool, **options) -> dict[str, torch.Tensor]:
    if scan is not truth:
        options["return_state"] = streams
    y, final = scan(**inputs, **options)
    assert streams or scan is truth or final is None
    out = (y, final) if streams else (y,)
    make = torch.Generator().manual_seed(1)
    mixed = [(y * torch.randn(y.shape, generator=make, dtype=torch.float64).to(y.dtype)).sum() for y in out]
    given = {name: t for name, t in inputs.items() if torch.is_tensor(t)}
    grads = torch.autograd.grad(sum(mixed), given.values(), materialize_grads=scan is truth)
    values = dict(zip(("y", "final"), (y.detach() for y in out), strict=False))
    return values | dict(zip(given, grads, strict=True))


def single(inputs: dict) -> dict:
    return {k: t.detach().float().requires_grad_() if torch.is_tensor(t) else t for k, t in inputs.items()}


@st.composite
def calls(draw):
    b, g, e = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    p, n = draw(st.sampled_from([1, 7, 16, 32, 64, 80])), draw(st.integers(1, 20))
    l = draw(st.one_of(st.integers(0, 9), st.sampled_from([31, 32, 33, 64, 65, 70])))
    lengths = None
    if draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, l), max_size=4)))
        b, lengths = 1, [stop - start for start, stop in zip([0, *cuts], [*cuts, l], strict=True)]
    step, decay = 10.0 ** draw(st.floats(-4, 1)), 10.0 ** draw(st.floats(-3, 1.2))
    sizes = {"b": b, "l": l, "h": g * e, "p": p, "n": n, "g": g}
    inputs = make(**sizes, step=step, decay=decay, seed=draw(st.integers(0, 999)), raw=draw(st.booleans()))
    for name in ("D", "dt_bias"):
        if draw(st.booleans()):
            del inputs[name]
    streams = draw(st.booleans())
    if draw(st.booleans()):
        sequences = b if lengths is None else len(lengths)
        inputs["state"] = torch.randn(sequences, g * e, p, n, dtype=torch.float64, requires_grad=True)
    return inputs, streams, {"lengths": lengths, "reverse": draw(st.booleans())}


@pytest.mark.parametrize("backend", HERE)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls())
@example(call=(make(b=1, l=70, h=4, p=64, n=16, g=2), False, {"lengths": [33, 0, 37], "reverse": True}))
def test_scan_of_heads_is_the_general_scan(backend, call):
    inputs, streams, options = call
    expected = results(truth, inputs, streams, **options)
    found = results(ssd_scan, single(inputs), streams, backend=backend, **options)
    for name, t in expected.items():
        assert found[name].shape == t.shape and found[name].isfinite().all(), name
        if t.numel():
            scale = t.pow(2).mean().sqrt().item() + 1e-12
            assert (found[name].double() - t).abs().max().item() <= 2e-4 * scale, name


@pytest.mark.parametrize("backend", HERE)
def test_any_step_size_keeps_its_digits(backend):
    """A step of 10,000 among small ones: sums of rates across it would have none left."""
    inputs = make(b=1, l=40, step=1.0, decay=4.0, raw=True)
    sizes = torch.tensor([1e-4, 1.0, 1e4, 1e-2, 0.1], dtype=torch.float64)
    inputs["dt"] = sizes[torch.arange(40) % 5][None, :, None].expand(1, 40, 2).clone().requires_grad_()
    expected = results(truth, inputs, False)
    found = results(ssd_scan, single(inputs), False, backend=backend)
    for name, t in expected.items():
        assert (found[name].double() - t).abs().max() <= 1e-4 * t.abs().max(), name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", HERE)
def test_a_sequence_in_pieces_is_the_sequence(backend, reverse):
    whole = single(make(l=150, p=16, decay=0.1))
    options = {"return_state": True, "reverse": reverse, "backend": backend}
    y, final = ssd_scan(**whole, **options)
    cuts = [0, 1, 65, 100, 150]
    pieces = list(zip(cuts, cuts[1:], strict=False))
    state, found = None, []
    for start, stop in pieces[::-1] if reverse else pieces:
        part = {k: t[:, start:stop] if k in PER_STEP else t for k, t in whole.items()}
        out, state = ssd_scan(**part, state=state, **options)
        found.append(out)
    torch.testing.assert_close(torch.cat(found[::-1] if reverse else found, 1), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, final, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", HERE)
def test_half_precision_loses_only_the_rounding(backend):
    low = {
        k: t.detach() if torch.is_tensor(t) else t for k, t in make(b=1, l=500, step=0.01, raw=True).items()
    }
    low["x"] = low["x"].bfloat16()
    y, _ = ssd_scan(**single(low) | {"x": low["x"]}, backend=backend)
    assert y.dtype == torch.bfloat16
    expected, _ = truth(**low | {"x": low["x"].double()})
    torch.testing.assert_close(y.double(), expected, rtol=2**-8, atol=1e-3)


def test_the_chunked_form_has_a_second_derivative():
    inputs = make(b=1, l=7, p=2, n=2, step=0.5)
    names = [k for k, t in inputs.items() if torch.is_tensor(t)]

    def scan(*t):
        return ssd_scan(
            **dict(zip(names, t, strict=True)), dt_softplus=True, lengths=[3, 0, 4], backend="chunked"
        )[0]

    tensors = tuple(inputs[k] for k in names)
    assert torch.autograd.gradcheck(scan, tensors) and torch.autograd.gradgradcheck(scan, tensors)


def test_operators_keep_pytorchs_rules():
    pytest.importorskip("numba")
    from actalker.ssm.ssd import numba as operators

    make = torch.Generator().manual_seed(0)
    shapes = (1, 40, 4, 32), (1, 40, 4), (1, 40, 4), (1, 40, 2, 5), (1, 40, 2, 5), (4,), (2, 4, 5, 32)
    given = [torch.rand(*shape, generator=make).requires_grad_() for shape in shapes]
    torch.library.opcheck(operators.ssd_forward, (*given, torch.tensor([31, 9]), False, True))
    torch.library.opcheck(operators.ssd_forward, (*given[:5], None, None, torch.tensor([31, 9]), True, True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "chunkd"}, "did you mean 'chunked'"),
        ({"dt": torch.ones(2, 9, 3)}, r"dt is \(2, 9, 3\)"),
        ({"x": torch.ones(2, 9, 10)}, r"give x \(b, l, h, p\)"),
        ({"B": torch.ones(2, 9, 3, 3), "C": torch.ones(2, 9, 3, 3)}, "2 heads do not divide into 3 groups"),
        ({"lengths": [9, 9]}, "u has 2 items; pack the sequences"),
        ({"state": torch.ones(1, 2, 5, 3)}, r"2 sequences need \(2, 2, 5, 3\)"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(change, message):
    with pytest.raises(InputError, match=message):
        ssd_scan(**single(make()) | change)
