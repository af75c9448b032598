"""Mask-drop, order and paste against plain loops, in every layout; what lies outside a region stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.control.branch import MaskedBranch, branch_of
from actalker.control.config import BranchConfig
from actalker.control.drop import paste, select
from actalker.control.scanning import Scanning

LAYOUTS = ["rows", "interleaved", "ends", "end"]


def region(b, f, h, w, seed, share=0.5):
    return (torch.rand(b, f, h, w, generator=torch.Generator().manual_seed(seed)) < share).float()


def expected_order(kept_of_item, f, n, m, layout):
    """Names of the forward steps: ("t", k), ("c", frame, j), ("i", j); kept_of_item: [(k, frame, row)]."""
    identity = [("i", j) for j in range(m)]
    tokens = [("t", k) for k, *_ in kept_of_item]
    conditions = [("c", x, j) for x in range(f) for j in range(n)]
    if layout == "ends":
        return identity + conditions + tokens + conditions
    if layout == "end":
        return tokens + identity + conditions
    out = list(identity)
    if layout == "rows":
        for x, y in sorted({(x, y) for _, x, y in kept_of_item}):
            out += [("c", x, j) for j in range(n)] + [("t", k) for k, *at in kept_of_item if at == [x, y]]
        return out
    for x in range(f):
        out += [("c", x, j) for j in range(n)] + [("t", k) for k, frame, _ in kept_of_item if frame == x]
    return out


def expected_back(kept_of_item, f, n, m, layout):
    if layout in ("ends", "end"):
        return expected_order(kept_of_item, f, n, m, layout)[::-1]
    out = [("i", j) for j in range(m)]
    if layout == "rows":
        for x, y in sorted({(x, y) for _, x, y in kept_of_item}, reverse=True):
            row = [("t", k) for k, *at in kept_of_item if at == [x, y]]
            out += [("c", x, j) for j in range(n)] + row[::-1]
        return out
    for x in reversed(range(f)):
        out += [("c", x, j) for j in range(n)] + [
            ("t", k) for k, frame, _ in reversed(kept_of_item) if frame == x
        ]
    return out


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["clip", "frame"]),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
)
def test_the_order_is_that_of_a_plain_loop(b, f, h, w, n, m, layout, scope, seed, share):
    mask = region(b, f, h, w, seed, share)
    kept = select(mask)
    flat = mask.flatten()
    assert kept.index.tolist() == flat.nonzero().flatten().tolist()
    k = len(kept.index)
    found = kept.scan_order(n, m, layout, scope)
    # names of the rows of the table, with frames as counted in the sequence
    sequences = b if scope == "clip" else b * f
    p = b * f // sequences
    expected, lengths = {"ahead": [], "back": []}, []
    number = 0
    for s in range(sequences):
        inside = []
        for frame in range(p):
            for row in range(h):
                for _ in range(int(mask.view(b * f, h, w)[s * p + frame, row].sum())):
                    inside.append((number, frame, row))
                    number += 1
        name_of = {
            "t": lambda j: j,
            "c": lambda x, j, s=s: k + (s * p + x) * n + j,
            "i": lambda j, s=s: k + b * f * n + s * m + j,
        }
        for side, names in (("ahead", expected_order), ("back", expected_back)):
            if inside:
                expected[side] += [name_of[name](*rest) for name, *rest in names(inside, p, n, m, layout)]
        lengths.append(len(expected["ahead"]) - sum(lengths))
    assert found.lengths.tolist() == lengths
    assert found.order.tolist() == [expected["ahead"], expected["back"]]
    for order in found.order:
        assert order[order < k].sort().values.tolist() == list(range(k))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_paste_writes_inside_and_leaves_the_rest_bit_for_bit(b, f, h, w, seed):
    mask = region(b, f, h, w, seed)
    z, onto = torch.randn(b, f * h * w, 4), torch.randn(b, f * h * w, 4)
    kept = select(mask)
    pasted = paste(onto, z.flatten(0, 1)[kept.index], kept)
    assert torch.equal(pasted, torch.where(mask.flatten(1)[..., None] > 0, onto + z, onto))


def test_what_lies_outside_the_region_is_scanned_but_never_pasted():
    mask = region(2, 3, 4, 4, 5)
    kept = select(mask, Scanning(0.5, torch.Generator().manual_seed(0)))
    assert int(kept.counts.sum()) == len(kept.index) > int(mask.sum())
    z = torch.randn(2, 48, 3)
    pasted = paste(torch.zeros(2, 48, 3), z.flatten(0, 1)[kept.index], kept)
    assert torch.equal(pasted, z * mask.flatten(1)[..., None])
    everything = select(mask, Scanning(0.0, torch.Generator()))
    assert len(everything.index) == mask.numel()
    assert (
        select(mask, Scanning(0.5, torch.Generator()), torch.tensor([[True], [False]])).counts[1].sum() == 0
    )


def change_of(branch, z, tokens, who, mask):
    kept = select(mask)
    return paste(torch.zeros_like(z), branch(z, tokens, who, kept)[0], kept)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"conv": 4},
        {"identity": False},
        {"form": "ssd", "head_size": 4},
        {"form": "attention", "head_size": 4},
        {"form": "attention", "identity": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("scope", ["clip", "frame"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_equals_its_items_and_changes_only_the_region(scope, layout, form):
    torch.manual_seed(0)
    branch = branch_of(16, 8, BranchConfig(0.75, 4, scope, layout, **form)).eval()
    mask = torch.zeros(3, 3, 4, 4)
    mask[0, :, 1:3, 1:4] = 1
    mask[1, 1] = 1  # one frame only
    z, tokens, who = torch.randn(3, 48, 16), torch.randn(3, 3, 2, 8), torch.randn(3, 4, 8)
    with torch.no_grad():
        change = change_of(branch, z, tokens, who, mask)
        assert (change[mask.flatten(1) == 0] == 0).all() and (change[2] == 0).all()
        assert change[0].abs().max() > 0
        for k in range(3):
            alone = change_of(branch, z[k : k + 1], tokens[k : k + 1], who[k : k + 1], mask[k : k + 1])
            torch.testing.assert_close(change[k : k + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scope", ["clip", "frame"])
@pytest.mark.parametrize("form", [{}, {"form": "ssd", "head_size": 16}])
@pytest.mark.parametrize("layout", ["rows", "interleaved"])
def test_every_token_hears_its_frames_conditions_from_the_start(scope, form, layout):
    """Reach: a new branch changes by a good part when its signal does, in the first row and in the last."""
    torch.manual_seed(0)
    branch = MaskedBranch(64, 32, BranchConfig(0.75, 8, scope, layout, **form)).eval()
    z, who = torch.randn(1, 3 * 64, 64), torch.randn(1, 4, 32)
    mask = torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        one, other = (change_of(branch, z, torch.randn(1, 3, 2, 32), who, mask) for _ in range(2))
    reach = ((one - other).norm(dim=-1) / one.norm(dim=-1)).view(3, 8, 8)
    assert reach.amin() > 0.1, reach.amin()
    if scope == "frame":
        only = torch.randn(1, 3, 2, 32)
        changed = only.clone()
        changed[:, 1] += 1
        with torch.no_grad():
            apart = (
                (change_of(branch, z, only, who, mask) - change_of(branch, z, changed, who, mask))
                .view(3, -1)
                .abs()
                .amax(1)
            )
        assert apart[0] == 0 and apart[2] == 0 and apart[1] > 0


@pytest.mark.parametrize("form", [{}, {"form": "attention"}])
def test_who_it_is_matters_unless_it_is_left_out(form):
    torch.manual_seed(0)
    z, tokens, mask = torch.randn(1, 48, 16), torch.randn(1, 3, 2, 8), torch.ones(1, 3, 4, 4)
    one, other = torch.randn(2, 1, 4, 8)
    for read in (True, False):
        branch = branch_of(16, 8, BranchConfig(0.75, 4, identity=read, **form)).eval()
        with torch.no_grad():
            changes = [change_of(branch, z, tokens, who, mask) for who in (one, other)]
        assert torch.equal(*changes) is not read
        assert any(name.startswith("identity") for name, _ in branch.named_parameters()) is (
            read and not form
        )


def test_a_gated_branch_is_the_plain_one_times_what_each_token_says():
    """A gate that says 1 everywhere changes nothing; one that says 0 for some tokens takes theirs away."""
    torch.manual_seed(0)
    plain = MaskedBranch(16, 8, BranchConfig(0.75, 4)).requires_grad_(False)
    gated = MaskedBranch(16, 8, BranchConfig(0.75, 4, gated=True)).requires_grad_(False)
    gated.load_state_dict(plain.state_dict(), strict=False)
    gated.gate.weight.zero_(), gated.gate.bias.fill_(1.27846454)  # where x · sigmoid(x) is 1
    z, tokens, who = torch.randn(1, 12, 16), torch.randn(1, 3, 2, 8), torch.randn(1, 4, 8)
    mask = torch.ones(1, 3, 2, 2)
    expected = change_of(plain, z, tokens, who, mask)
    torch.testing.assert_close(change_of(gated, z, tokens, who, mask), expected)
    gated.gate.bias.zero_()
    gated.gate.weight[:, 0] = 1  # the first feature is the gate
    shut = z[0, :, 0] < 0
    z[0, shut, 0], z[0, ~shut, 0] = -40, 1.27846454
    found, expected = (change_of(branch, z, tokens, who, mask)[0] for branch in (gated, plain))
    torch.testing.assert_close(found[~shut], expected[~shut])
    assert 0 < shut.sum() < 12 and found[shut].abs().max() < 1e-5


def test_attention_is_the_softmax_over_a_frames_tokens():
    """Against a loop over frames, heads and tokens in float64."""
    torch.manual_seed(0)
    branch = branch_of(8, 6, BranchConfig(form="attention", head_size=4)).double().requires_grad_(False)
    z, tokens, who = (torch.randn(shape).double() for shape in ((1, 12, 8), (1, 3, 2, 6), (1, 1, 6)))
    made = branch(z, tokens, who, select(torch.ones(1, 3, 2, 2)))[0]
    for at in range(12):
        told = torch.cat([tokens[0, at // 4], who[0]])
        keys, values = branch.keys(told).chunk(2, dim=-1)
        mixed = torch.zeros(8).double()
        for head in (slice(0, 4), slice(4, 8)):
            weight = (keys[:, head] @ branch.query(z[0, at])[head] / 2).softmax(0)
            mixed[head] = weight @ values[:, head]
        torch.testing.assert_close(made[at], branch.out(mixed))
