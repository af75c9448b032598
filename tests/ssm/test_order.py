"""Scans of rows in several orders, against the paper's loop over the rows laid out one by one."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references.scan import scan_loop
from torch.utils.checkpoint import checkpoint

from actalker.errors import InputError
from actalker.ssm import BACKENDS, ordered_scan, selective_scan
from actalker.ssm.block import ScanState, SelectiveBlock, SsdBlock
from actalker.ssm.selective import triton
from actalker.ssm.selective.scan import grouped_backend

HERE = [name for name, backend in BACKENDS.items() if backend.refuses(torch.zeros(1)) is None]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias", "state")


def make(lengths, heard, g, e, n, seed, visits=2):
    """Sequences of so many rows with a result each, that hear `heard` rows of their own `visits` times; a
    last row stands nowhere."""
    make = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=make, dtype=torch.float64)  # noqa: E731
    k, s = sum(lengths), len(lengths)
    r = k + s * heard + 1
    orders = [[] for _ in range(g)]
    start = 0
    for i, length in enumerate(lengths):
        rows = torch.arange(start, start + length)
        others = torch.arange(k + i * heard, k + (i + 1) * heard).repeat(visits if length else 0)
        for order in orders:
            both = torch.cat([rows, others])
            order.append(both[torch.randperm(len(both), generator=make)])
        start += length
    inputs = {
        "u": normal(r, e),
        "delta": normal(r, g, e) - 1,
        "A": -normal(g, e, n).abs(),
        "B": normal(r, g, n),
        "C": normal(r, g, n),
        "D": normal(g, e),
        "delta_bias": 0.1 * normal(g, e),
        "state": normal(s, g, e, n),
    }
    sizes = torch.tensor([length + heard * visits if length else 0 for length in lengths])
    order = torch.stack([torch.cat(order) for order in orders])
    return {name: t.requires_grad_() for name, t in inputs.items()}, order, sizes, k


def by_loop(inputs, order, lengths, results):
    """Every order laid out and scanned alone, by the loop."""
    y, final = [], []
    for i, row in enumerate(order):
        per_step = {
            name: (inputs[name] if name == "u" else inputs[name][:, i])[row][None]
            for name in ("u", "delta", "B", "C")
        }
        rest = {name: inputs[name][i] for name in ("A", "D", "delta_bias")}
        state = inputs["state"][:, i]
        out, last = scan_loop(**per_step, **rest, delta_softplus=True, lengths=lengths, state=state)
        rows = torch.zeros(results, inputs["u"].shape[1], dtype=torch.float64)
        shown = row < results
        y.append(rows.index_put((row[shown],), out[0][shown]))
        final.append(last)
    return sum(y), torch.stack(final, 1)


def with_gradients(y, final, inputs):
    make = torch.Generator().manual_seed(1)
    mixed = [(t * torch.randn(t.shape, generator=make, dtype=torch.float64).to(t)).sum() for t in (y, final)]
    grads = torch.autograd.grad(sum(mixed), list(inputs.values()))
    return {"y": y.detach(), "final": final.detach()} | dict(zip(inputs, grads, strict=True))


def assert_close(found, truth, tolerance):
    for name, expected in truth.items():
        assert found[name].shape == expected.shape, name
        scale = expected.pow(2).mean().sqrt().item() + 1e-12 if expected.numel() else 1.0
        assert ((found[name].double() - expected).abs() <= tolerance * scale).all(), name


@pytest.mark.parametrize("backend", HERE)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([0, 1, 5, 30, 70]), min_size=1, max_size=3).filter(any),
    st.integers(0, 4),
    st.integers(1, 3),
    st.sampled_from([1, 5, 16, 40]),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_an_order_is_the_rows_laid_out(backend, lengths, heard, g, e, n, seed):
    inputs, order, sizes, k = make(lengths, heard, g, e, n, seed)
    truth = with_gradients(*by_loop(inputs, order, sizes, k), inputs)
    low = {name: t.detach().float().requires_grad_() for name, t in inputs.items()}
    options = {"order": order, "lengths": sizes, "results": k, "delta_softplus": True, "return_state": True}
    found = ordered_scan(**low, **options, backend=backend)
    assert_close(with_gradients(*found, low), truth, 1e-4)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET is not 1")
@pytest.mark.parametrize("sizes", [([5, 0, 37], 2, 2, 10, 3), ([9], 0, 1, 4, 2), ([3, 1], 3, 2, 40, 1)])
def test_an_order_in_the_triton_kernels(sizes, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setitem(BACKENDS, "interpreted", grouped_backend(triton.scan_triton, lambda u: None))
    inputs, order, lengths, k = make(*sizes, seed=0)
    truth = with_gradients(*by_loop(inputs, order, lengths, k), inputs)
    low = {name: t.detach().float().requires_grad_() for name, t in inputs.items()}
    options = {"order": order, "lengths": lengths, "results": k, "delta_softplus": True, "return_state": True}
    found = ordered_scan(**low, **options, backend="interpreted")
    assert_close(with_gradients(*found, low), truth, 1e-4)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_row_that_is_heard_often_has_the_sum_of_its_gradients(backend, dtype):
    """One condition heard 200 times: each time adds 1 to its gradient, which bfloat16 could not count."""
    u = torch.ones(201, 16, dtype=dtype, requires_grad=True)
    order = torch.stack([torch.arange(200), torch.full((200,), 200)], 1).flatten()[None]
    zero, one = torch.zeros(201, 1, 1), torch.ones(201, 1, 1)
    C = torch.cat([one[:-1], zero[:1]])  # what is heard is read by the next row, and forgotten there
    B = torch.cat([zero[:-1], one[:1]])
    delta = torch.ones(201, 1, 16)
    options = {"order": order, "lengths": torch.tensor([400]), "results": 200}
    A = torch.full((1, 16, 1), -40.0)
    y, _ = ordered_scan(u, delta, A, B, C, None, None, **options, backend=backend)
    assert y.dtype == dtype
    turned = options | {"order": order.flip(1)}
    y, _ = ordered_scan(u, delta, A * 0, B, C, None, None, **turned, backend=backend)
    y[0].sum().backward()  # the last step of the turned order has heard it 200 times
    assert (u.grad[200] == 200).all() and not u.grad[:200].any()


@pytest.mark.parametrize("backend", HERE)
def test_nothing_in_order_still_gives_every_parameter_a_gradient(backend):
    inputs, _, _, _ = make([3], 1, 2, 16, 2, 0)
    low = {name: t.detach().float().requires_grad_() for name, t in inputs.items()}
    none = torch.zeros(2, 0, dtype=torch.int64)
    y, _ = ordered_scan(**low, order=none, lengths=torch.tensor([0]), results=0, backend=backend)
    assert y.shape == (0, 16)
    y.sum().backward()
    for name in NAMES[:-1]:
        assert low[name].grad is not None and not low[name].grad.any(), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": torch.zeros(2, 5)}, "order .g, l. of int64"),
        ({"order": torch.tensor([[0, 1, 2, 3, 9]] * 2)}, "order names rows 0 to 9; u has 5"),
        ({"order": torch.tensor([[-1, 1, 2, 3, 3]] * 2)}, "order names rows -1 to 3; u has 5"),
        ({"order": torch.tensor([[0, 1, 3, 3, 3]] * 2)}, r"3 results; u has 5 rows, of which \[2, 2\] stand"),
        ({"order": torch.zeros(1, 5, dtype=torch.int64)}, r"order is \(1, 5\)"),
        ({"lengths": torch.tensor([4])}, "whose sum is the pack's length 5"),
        ({"results": 7}, "7 results; u has 5 rows"),
        ({"delta": torch.zeros(5, 1, 4)}, r"delta is \(5, 1, 4\)"),
        ({"state": torch.zeros(1, 2, 4, 9)}, r"state is \(1, 2, 4, 9\)"),
        ({"backend": "mamba"}, "neither starts from a state"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(change, message):
    inputs, order, lengths, k = make([3], 1, 2, 4, 3, 0)
    call = {**inputs, "order": order, "lengths": lengths, "results": k}
    with pytest.raises(InputError, match=message):
        ordered_scan(**call | change)


class Whole(torch.nn.Module):
    """A block and a plain scan, as a model has them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = SelectiveBlock(24, 4)
        self.heads = SsdBlock(32, 8, 16)
        self.wide = torch.nn.Linear(24, 32)

    def forward(self, tokens, order, lengths):
        y, _ = self.block(tokens, order, lengths, 8)
        both = torch.cat([y, tokens[8:]])
        heads, _ = self.heads(self.wide(both), order, lengths, 8)
        A, B = -torch.ones(24, 2), both[None, :, :2]
        return selective_scan(both[None], both[None], A, B, B, delta_softplus=True)[0].sum(-1), heads


@pytest.fixture
def call():
    order = torch.tensor([[8, 0, 1, 2, 3, 9, 4, 5, 6, 7], [8, 3, 2, 1, 0, 9, 7, 6, 5, 4]])
    return torch.randn(10, 24), order, torch.tensor([5, 5])


def test_torch_compile_goes_through_whole(call):
    model = Whole()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found, expected = compiled(*call), model(*call)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
    weights = list(model.parameters())
    grads = [torch.autograd.grad(sum(t.sum() for t in y), weights) for y in (found, expected)]
    assert all(torch.equal(x, y) for x, y in zip(*grads, strict=True))


def test_torch_export_goes_through_whole(call):
    model = Whole().eval().requires_grad_(False)
    exported = torch.export.export(model, call).module()
    assert all(torch.equal(x, y) for x, y in zip(exported(*call), model(*call), strict=True))


def test_checkpointing_goes_through(call):
    model = Whole()
    weights = list(model.parameters())
    y = checkpoint(model, *call, use_reentrant=False)
    again = torch.autograd.grad(sum(t.sum() for t in y), weights)
    once = torch.autograd.grad(sum(t.sum() for t in model(*call)), weights)
    assert all(torch.equal(x, y) for x, y in zip(again, once, strict=True))


FORWARD = {
    "selective": lambda: SelectiveBlock(16, 4, directions=1),
    "selective, convolution": lambda: SelectiveBlock(16, 4, conv=3, directions=1),
    "ssd": lambda: SsdBlock(16, 4, 8, directions=1),
    "ssd, convolution": lambda: SsdBlock(16, 4, 8, conv=3, directions=1),
}


@pytest.mark.parametrize("begin", FORWARD)
def test_a_block_with_one_direction_goes_on_from_its_state(begin):
    """Sequences in pieces, one of them empty at first, give what they give as wholes; tokens that are only
    read stand in each piece."""
    torch.manual_seed(0)
    block, tokens = FORWARD[begin](), torch.randn(14, 16)
    # two sequences: rows 0 to 5 behind row 12, rows 6 to 11 around row 13
    whole = torch.tensor([[12, 0, 1, 2, 3, 4, 5, 6, 7, 13, 8, 9, 10, 11]])
    expected, last = block(tokens, whole, torch.tensor([7, 7]), 12, return_state=True)
    cuts, state, y = ([[12, 0, 1], []], [[], [6, 7, 13]], [[2, 3, 4, 5], [8, 9, 10, 11]]), None, []
    for pieces in cuts:
        rows = torch.tensor([row for piece in pieces for row in piece])
        results = rows[rows < 12]
        table = torch.cat([tokens[results], tokens[12:]])
        own = {int(row): k for k, row in enumerate(results)} | {12: len(results), 13: len(results) + 1}
        order = torch.tensor([[own[int(row)] for row in rows]])
        lengths = torch.tensor([len(piece) for piece in pieces])
        out, state = block(table, order, lengths, len(results), state=state, return_state=True)
        y.append((results, out))
    joined = torch.zeros(12, 16).index_copy(0, torch.cat([r for r, _ in y]), torch.cat([t for _, t in y]))
    torch.testing.assert_close(joined, expected)
    torch.testing.assert_close(state.scan, last.scan)
    if last.tail is not None:
        torch.testing.assert_close(state.tail, last.tail)


@pytest.mark.parametrize("begin", [lambda: SelectiveBlock(16, 4), lambda: SsdBlock(16, 4, 8, conv=2)])
def test_a_block_in_both_directions_refuses_to_go_on(begin):
    order = torch.stack([torch.arange(6), torch.arange(5, -1, -1)])
    call, state = (torch.randn(6, 16), order, torch.tensor([6]), 6), ScanState(torch.zeros(1, 16, 4), None)
    for options in ({"return_state": True}, {"state": state}):
        with pytest.raises(InputError, match="both directions .* `directions: forward`"):
            begin()(*call, **options)
