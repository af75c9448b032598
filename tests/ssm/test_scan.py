"""Every backend against the paper's loop in float64: values and all gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from references.scan import scan_loop

from actalker.errors import InputError
from actalker.ssm import BACKENDS, selective_scan
from actalker.ssm.selective import chunked

HERE = [name for name, backend in BACKENDS.items() if backend.refuses(torch.zeros(1)) is None]
FAST = [name for name in HERE if name != "reference"]
PER_STEP = ("u", "delta", "B", "C")
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def make(b=2, l=9, d=6, n=3, g=2, step=0.1, decay=1.0, seed=0, dtype=torch.float64, raw=False) -> dict:
    """Inputs whose steps are around `step` and whose states decay by exp(-step decay) a step and slower.

    raw: the steps themselves, else what softplus makes them of.
    """
    make = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    uniform = lambda *shape: torch.rand(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    delta = step * (0.5 + uniform(b, l, d))
    tensors = {
        "u": normal(b, l, d),
        "delta": delta if raw else delta + torch.log(-torch.expm1(-delta)),  # softplus^-1
        "A": -decay * uniform(d, n),
        "B": normal(b, l, g, n),
        "C": normal(b, l, g, n),
        "D": normal(d),
        "delta_bias": 0.01 * step * uniform(d),
    }
    return {name: t.to(dtype).requires_grad_() for name, t in tensors.items()} | {"delta_softplus": not raw}


def cast(inputs: dict, dtype: torch.dtype) -> dict:
    return {k: t.detach().to(dtype).requires_grad_() if torch.is_tensor(t) else t for k, t in inputs.items()}


def results(scan, inputs: dict, streams: bool = False, **options) -> dict[str, torch.Tensor]:
    """The values and the gradients of a fixed mixture of them; streams: the last states are among them."""
    if scan is not scan_loop:
        options["return_state"] = streams
    y, final = scan(**inputs, **options)
    assert streams or scan is scan_loop or final is None
    out = (y, final) if streams else (y,)
    make = torch.Generator().manual_seed(1)
    mixed = [(y * torch.randn(y.shape, generator=make, dtype=torch.float64).to(y.dtype)).sum() for y in out]
    given = {name: t for name, t in inputs.items() if torch.is_tensor(t)}
    none_is_zero = scan is scan_loop  # ours owe a gradient to each
    grads = torch.autograd.grad(sum(mixed), given.values(), materialize_grads=none_is_zero)
    values = dict(zip(("y", "final"), (y.detach() for y in out), strict=False))
    return values | dict(zip(given, grads, strict=True))


def assert_close(found: dict, truth: dict, tolerance: float) -> None:
    """Largest difference against the truth's root mean square: single entries may be sums that cancel."""
    for name, expected in truth.items():
        assert found[name].shape == expected.shape and found[name].isfinite().all(), name
        if expected.numel():
            scale = expected.double().pow(2).mean().sqrt().item() + 1e-12
            assert (found[name].double() - expected).abs().max().item() <= tolerance * scale, name


@st.composite
def calls(draw):
    """Sizes around the places where kernels change course: vectors of 16, chunks of 64 and of sqrt(l)."""
    b, g, w = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5, 16, 17, 32]))
    l = draw(st.one_of(st.integers(0, 12), st.sampled_from([15, 16, 17, 63, 64, 65, 128, 131])))
    lengths = None
    if draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, l), max_size=5)))
        b, lengths = 1, [stop - start for start, stop in zip([0, *cuts], [*cuts, l], strict=True)]
    step, decay = 10.0 ** draw(st.floats(-4, 1)), 10.0 ** draw(st.floats(-3, 1.2))
    sizes = {"b": b, "l": l, "d": g * w, "n": draw(st.integers(1, 16)), "g": g}
    inputs = make(**sizes, step=step, decay=decay, seed=draw(st.integers(0, 999)), raw=draw(st.booleans()))
    for name in ("D", "delta_bias"):
        if draw(st.booleans()):
            del inputs[name]
    if g == 1 and draw(st.booleans()):
        inputs |= {name: inputs[name].detach()[:, :, 0].requires_grad_() for name in "BC"}
    sequences = b if lengths is None else len(lengths)
    if draw(st.booleans()):
        shape = (sequences, g * w, sizes["n"])
        inputs["state"] = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    return inputs, {"lengths": lengths, "reverse": draw(st.booleans())}


LONG = ({"lengths": [70, 0, 61], "reverse": True}, {"lengths": None, "reverse": False})


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("backend", HERE)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls())
@example(call=(make(b=1, l=131, d=32, n=4, step=0.01, decay=0.1), LONG[0]))
@example(call=(make(b=2, l=131, d=32, n=4, step=0.01, decay=0.1), LONG[1]))
def test_scan_is_the_papers_recurrence(backend, streams, call):
    inputs, options = call
    truth = results(scan_loop, inputs, streams=streams, **options)
    low = cast(inputs, torch.float32)
    found = results(selective_scan, low, streams=streams, backend=backend, **options)
    assert_close(found, truth, 1e-4)  # B may hold one number, a sum that cancels


@pytest.mark.parametrize("backend", ["chunked", "reference"])
def test_float64_stays_float64(backend):
    inputs = make(l=70, n=5, decay=0.01)
    assert_close(results(selective_scan, inputs, backend=backend), results(scan_loop, inputs), 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [11, 39, 20]])
def test_spans_join_without_a_seam(monkeypatch, reverse, lengths):
    monkeypatch.setattr(chunked, "SPAN_STATES", {"cpu": 250})  # 6 spans of 12 steps for 70
    inputs, options = make(b=1, l=70, decay=0.01), {"lengths": lengths, "reverse": reverse}
    assert len(chunked.spans(inputs["u"], inputs["A"])) > 5
    found = results(selective_scan, inputs, backend="chunked", **options)
    assert_close(found, results(scan_loop, inputs, **options), 1e-12)


@pytest.mark.parametrize("backend", FAST)
def test_an_impulse_decays_as_the_exponential(backend):
    """Closed form over thousands of steps, y_t = C B δ exp(δ A t): an error in carrying a state bends it."""
    l, step = 5000, 0.01
    u = torch.zeros(1, l, 16)
    u[:, 0] = 1
    rate = -torch.linspace(0.001, 0.05, 16)
    ones = torch.ones(1, l, 1)
    y, _ = selective_scan(u, torch.full((1, l, 16), step), rate[:, None], ones, ones, backend=backend)
    expected = step * torch.exp(step * torch.arange(l).double()[:, None] * rate.double())
    # one decay rounded to float32 is off by 3e-8, its 5000th power by 1.5e-4
    torch.testing.assert_close(y[0].double(), expected, rtol=3e-4, atol=0)


@pytest.mark.parametrize("delta_softplus", [True, False])
@pytest.mark.parametrize("backend", HERE)
def test_any_step_size_gives_finite_numbers(backend, delta_softplus):
    """A step of 10,000 forgets all before it, one of 1e-30 does nothing; neither makes a NaN."""
    inputs = make(l=40, step=1.0, decay=16.0, raw=True)
    sizes = torch.tensor([1e-30, 1e-4, 1.0, 30.0, 1e4], dtype=torch.float64)
    delta = sizes[torch.arange(40) % 5][None, :, None].expand(2, 40, 6)
    inputs |= {"delta": delta.clone().requires_grad_(), "delta_softplus": delta_softplus}
    found = results(selective_scan, cast(inputs, torch.float32), backend=backend)
    assert_close(found, results(scan_loop, inputs), 2e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", HERE)
def test_scan_of_a_pack_is_the_scan_of_each(backend, reverse):
    lengths = [7, 0, 64, 1, 70]
    pack = make(b=1, l=142, d=16, decay=0.1, dtype=torch.float32)
    y, _ = selective_scan(**pack, lengths=lengths, reverse=reverse, backend=backend)
    at = 0
    for length in lengths:
        alone = {k: t[:, at : at + length] if k in PER_STEP else t for k, t in pack.items()}
        single, _ = selective_scan(**alone, reverse=reverse, backend=backend)
        torch.testing.assert_close(y[:, at : at + length], single, rtol=1e-5, atol=1e-6)
        at += length


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", HERE)
def test_a_sequence_in_pieces_is_the_sequence(backend, reverse):
    whole = make(b=2, l=150, d=16, decay=0.02, step=0.05, dtype=torch.float32)
    y, final = selective_scan(**whole, return_state=True, reverse=reverse, backend=backend)
    cuts = [0, 1, 65, 100, 150]
    pieces = list(zip(cuts, cuts[1:], strict=False))
    state, found = None, []
    for start, stop in pieces[::-1] if reverse else pieces:
        part = {k: t[:, start:stop] if k in PER_STEP else t for k, t in whole.items()}
        options = {"state": state, "return_state": True, "reverse": reverse, "backend": backend}
        out, state = selective_scan(**part, **options)
        found.append(out)
    joined = torch.cat(found[::-1] if reverse else found, 1)
    torch.testing.assert_close(joined, y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, final, rtol=1e-5, atol=1e-5)
    assert torch.equal(selective_scan(**whole, reverse=reverse, backend=backend)[0], y)


@pytest.mark.parametrize("backend", HERE)
def test_reverse_is_the_scan_of_the_reversed(backend):
    inputs = make(l=70, dtype=torch.float32)
    turned = {k: t.flip(1) if k in PER_STEP else t for k, t in inputs.items()}
    there, _ = selective_scan(**inputs, reverse=True, backend=backend)
    torch.testing.assert_close(
        there, selective_scan(**turned, backend=backend)[0].flip(1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("backend", HERE)
def test_slices_and_views_scan_as_their_copies(backend):
    """u and B, C are slices of projections in a block; a gradient of a sum is one number expanded."""
    b, l, d, n = 2, 37, 16, 4
    wide = torch.randn(b, l, 3 * d + 2 * n)
    delta, u, _, B, C = (t[:, :, None] if t.shape[2] == n else t for t in wide.split([d, d, d, n, n], 2))
    turned = torch.randn(b, d, l).transpose(1, 2)
    A = -torch.rand(n, d).t()
    for x in (u, turned, torch.ones(1, 1, 1).expand(b, l, d)):
        views = [t.detach().requires_grad_() for t in (x, delta.sigmoid(), A, B, C)]
        copies = [t.detach().clone(memory_format=torch.contiguous_format).requires_grad_() for t in views]
        for inputs in (views, copies):
            selective_scan(*inputs, backend=backend)[0].sum().backward()
        for view, copy in zip(views, copies, strict=True):
            torch.testing.assert_close(view.grad, copy.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", HERE)
def test_a_second_run_gives_the_same_bits(backend):
    inputs = make(b=3, l=130, d=48, dtype=torch.float32)
    first, second = (results(selective_scan, inputs, backend=backend) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("sizes", [{"b": 0}, {"l": 0}, {"l": 1}])
@pytest.mark.parametrize("backend", HERE)
def test_nothing_to_scan_still_gives_every_parameter_a_gradient(backend, sizes):
    """A gradient of None would count as an unused parameter in distributed training."""
    inputs = make(**sizes, dtype=torch.float32)
    selective_scan(**inputs, backend=backend)[0].sum().backward()
    for name in NAMES:
        assert inputs[name].grad is not None and inputs[name].grad.isfinite().all(), name
    assert not inputs["A"].grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", FAST)
def test_half_precision_keeps_its_state_in_float32(backend, dtype):
    """Over 1,000 slow steps a state in bfloat16 would be off by percents; only the rounding of y is lost."""
    inputs = make(b=1, l=1000, step=0.01, decay=0.1, raw=True)
    inputs |= {k: t.detach().to(dtype).double() for k, t in inputs.items() if torch.is_tensor(t)}
    low = {k: t.to(dtype) if torch.is_tensor(t) else t for k, t in inputs.items()}
    y, _ = selective_scan(**low | {"A": low["A"].float()}, backend=backend)
    assert y.dtype == dtype
    truth, _ = selective_scan(**inputs, backend="reference")
    torch.testing.assert_close(y.double(), truth, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"lengths": [100, 0, 200], "reverse": True}])
@pytest.mark.parametrize("backend", FAST)
def test_gradients_of_bfloat16_are_those_of_its_numbers(backend, options):
    """Every gradient is summed in float32 and rounded once, to bfloat16 for the inputs that are bfloat16."""
    inputs = make(b=1, l=300, d=32, g=1, step=0.1, decay=0.5)
    low = {k: t.detach().bfloat16() if k in PER_STEP else t for k, t in inputs.items() if torch.is_tensor(t)}
    low = {k: t.detach().to(t.dtype if k in PER_STEP else torch.float32) for k, t in low.items()}
    exact = {k: t.double().requires_grad_() for k, t in low.items()}
    low = {k: t.requires_grad_() for k, t in low.items()}
    dy = torch.randn(1, 300, 32).bfloat16()
    y, _ = scan_loop(**exact, delta_softplus=True, **options)
    truth = torch.autograd.grad(y, exact.values(), dy.double())
    y, _ = selective_scan(**low, delta_softplus=True, backend=backend, **options)
    found = torch.autograd.grad(y, low.values(), dy)
    for name, ours, expected in zip(low, found, truth, strict=True):
        assert ours.dtype == low[name].dtype
        scale = expected.pow(2).mean().sqrt().item()
        rounding = torch.finfo(ours.dtype).eps / 2 if name in PER_STEP else 1e-4
        torch.testing.assert_close(ours.double(), expected, rtol=rounding, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize("backend", FAST)
def test_sixty_five_thousand_steps(backend):
    """The last state of a long sequence is what its last thousands of steps alone make of it, for all before
    has decayed to nothing: no drift, and no overflow of an index."""
    l, tail = 65_536, 4096
    inputs = make(b=1, l=l, d=16, n=2, g=1, step=0.1, decay=1.0, dtype=torch.float32)
    inputs["A"] = inputs["A"].detach() - 0.2
    y, _ = selective_scan(**inputs, backend=backend)
    cut = {k: t[:, -tail:].detach().double() if k in PER_STEP else t for k, t in inputs.items()}
    cut = {k: t.detach().double() if torch.is_tensor(t) else t for k, t in cut.items()}
    expected, _ = scan_loop(**cut)
    torch.testing.assert_close(y[:, -1000:].double(), expected[:, -1000:], rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(y[:, -1].sum(), inputs["u"])
    assert gradient[:, -1].all() and not gradient[:, : -tail * 4].abs().gt(1e-30).any()


@pytest.mark.parametrize("backend", HERE)
def test_autocast_changes_nothing(backend):
    inputs = make(l=70, d=16, dtype=torch.float32)
    plain = results(selective_scan, inputs, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast_around = results(selective_scan, inputs, backend=backend)
    assert all(torch.equal(plain[name], cast_around[name]) for name in plain)


@pytest.mark.parametrize("options", [{}, {"lengths": [3, 0, 4], "reverse": True}])
def test_chunked_gradients_are_derivatives_to_second_order(options):
    inputs = make(b=1, l=7, d=4, n=2, step=0.5)
    begin = torch.randn(len(options.get("lengths", [7])), 4, 2, dtype=torch.float64, requires_grad=True)
    tensors = (*(inputs[name] for name in NAMES), begin)

    def scan(*t):
        return selective_scan(*t[:7], True, state=t[7], return_state=True, backend="chunked", **options)

    assert torch.autograd.gradcheck(scan, tensors)
    assert torch.autograd.gradgradcheck(scan, tensors)


def test_second_order_keeps_apart_inputs_that_come_from_one_another():
    """The step size is a function of the input in every block: its path must not be counted twice."""
    inputs = make(l=5, d=4, n=2)
    A, B, C = (inputs[name].detach() for name in "ABC")
    scan = lambda u: selective_scan(u, u.sigmoid(), A, B, C, backend="chunked")[0]  # noqa: E731
    once, twice = (
        torch.autograd.grad(scan(inputs["u"]).sum(), inputs["u"], create_graph=again)[0]
        for again in (False, True)
    )
    torch.testing.assert_close(twice, once)
    assert torch.autograd.gradgradcheck(scan, (inputs["u"],))


def test_auto_takes_the_fastest_that_can_run():
    inputs = make(l=70, dtype=torch.float32)
    assert torch.equal(selective_scan(**inputs)[0], selective_scan(**inputs, backend=FAST[0])[0])
    double = make(l=70)
    assert torch.equal(selective_scan(**double)[0], selective_scan(**double, backend="chunked")[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "chunkd"}, "did you mean 'chunked'"),
        ({"backend": "mamba"}, "the input is on cpu"),
        ({"lengths": [1, 10]}, r"lengths: \[1, 10\]; give numbers from 0 whose sum is the pack's length 9"),
        ({"lengths": [-1, 10]}, "numbers from 0"),
        ({"lengths": []}, "whose sum is the pack's length 9"),
        ({"lengths": [[9]]}, "one whole number a sequence"),
        ({"lengths": [1.0, 8.0]}, "one whole number a sequence"),
        ({"delta": torch.ones(1, 8, 6)}, r"delta is \(1, 8, 6\)"),
        (
            {"B": torch.ones(1, 9, 4, 3), "C": torch.ones(1, 9, 4, 3)},
            "6 channels do not divide into 4 groups",
        ),
        ({"C": torch.ones(1, 9, 1, 3)}, r"C is \(1, 9, 1, 3\)"),
        ({"D": torch.ones(5)}, r"D is \(5,\)"),
        ({"u": torch.ones(9, 6)}, r"give u \(b, l, d\)"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(change, message):
    with pytest.raises(InputError, match=message):
        selective_scan(**make(b=1, dtype=torch.float32) | change)


def test_sequences_of_a_pack_lie_in_one_item():
    with pytest.raises(InputError, match="u has 2 items; pack the sequences one behind another"):
        selective_scan(**make(b=2, dtype=torch.float32), lengths=[9, 9])
