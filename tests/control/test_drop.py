"""Mask-drop, order and paste against plain loops, in every layout; what lies outside a region stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.control.branch import MaskedBranch
from actalker.control.config import BranchConfig
from actalker.control.drop import arrange, keep, orders, paste, pick, take

LAYOUTS = ["interleaved", "ends", "end"]


def region(b, f, h, w, seed, share=0.5):
    return (torch.rand(b, f, h, w, generator=torch.Generator().manual_seed(seed)) < share).float()


def expected_order(kept_of_item, f, n, m, layout):
    """Names of the forward steps: ("t", k), ("c", frame, j), ("i", j); kept_of_item: [(k, frame)]."""
    identity = [("i", j) for j in range(m)]
    tokens = [("t", k) for k, _ in kept_of_item]
    conditions = [("c", x, j) for x in range(f) for j in range(n)]
    if layout == "ends":
        return identity + conditions + tokens + conditions
    if layout == "end":
        return tokens + identity + conditions
    out = list(identity)
    for x in range(f):
        out += [("c", x, j) for j in range(n)] + [("t", k) for k, frame in kept_of_item if frame == x]
    return out


def expected_back(kept_of_item, f, n, m, layout):
    if layout != "interleaved":
        return expected_order(kept_of_item, f, n, m, layout)[::-1]
    out = [("i", j) for j in range(m)]
    for x in reversed(range(f)):
        out += [("c", x, j) for j in range(n)] + [
            ("t", k) for k, frame in reversed(kept_of_item) if frame == x
        ]
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(LAYOUTS),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
)
def test_the_order_is_that_of_a_plain_loop(b, f, h, w, n, m, layout, seed, share):
    mask = region(b, f, h, w, seed, share)
    kept = keep(mask)
    k = kept.index.shape[1]
    ahead, back, lengths = orders(kept, n, m, layout)
    # every step is a number that says what it is
    token = torch.arange(k).float().expand(b, k)[..., None] + 1
    condition = (1000 + 10 * torch.arange(f).float()[:, None] + torch.arange(n)).expand(b, f, n)[..., None]
    who = (5000 + torch.arange(m).float()).expand(b, m)[..., None]
    code = {"t": lambda j: j + 1, "c": lambda x, j: 1000 + 10 * x + j, "i": lambda j: 5000 + j}
    for item in range(b):
        inside = [
            (j, int(p) // (h * w)) for j, p in enumerate(mask[item].flatten().nonzero().flatten().tolist())
        ]
        assert kept.index[item, : len(inside)].tolist() == mask[item].flatten().nonzero().flatten().tolist()
        for order, names in (
            (ahead, expected_order(inside, f, n, m, layout)),
            (back, expected_back(inside, f, n, m, layout)),
        ):
            sequence = arrange(token, condition, who, order)[item, :, 0]
            assert sequence[: int(lengths[item])].tolist() == [code[name](*rest) for name, *rest in names]
            picked = pick(arrange(token, condition, who, order), order)[item, :, 0]
            assert picked.tolist() == [j + 1.0 for j, _ in inside] + [0.0] * (k - len(inside))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_paste_undoes_drop_inside_and_leaves_zeros_outside(b, f, h, w, seed):
    mask = region(b, f, h, w, seed)
    z = torch.randn(b, f * h * w, 4)
    kept = keep(mask)
    assert torch.equal(paste(take(z, kept.index), kept), z * mask.flatten(1)[..., None])


def test_context_outside_the_region_is_scanned_but_never_pasted():
    mask = region(2, 3, 4, 4, 5)
    kept = keep(mask, drop=0.5, generator=torch.Generator().manual_seed(0))
    assert int(kept.counts.sum()) > int(mask.sum())
    z = torch.randn(2, 48, 3)
    assert torch.equal(paste(take(z, kept.index), kept), z * mask.flatten(1)[..., None])
    everything = keep(mask, drop=0.0, generator=torch.Generator())
    assert int(everything.counts.sum()) == mask.numel()


@pytest.mark.parametrize("scope", ["clip", "frame"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_equals_its_items_and_changes_only_the_region(scope, layout):
    torch.manual_seed(0)
    branch = MaskedBranch(16, 8, BranchConfig(0.75, 4, scope, layout)).eval()
    mask = torch.zeros(3, 3, 4, 4)
    mask[0, :, 1:3, 1:4] = 1
    mask[1, 1] = 1  # one frame only
    z, tokens, who = torch.randn(3, 48, 16), torch.randn(3, 3, 2, 8), torch.randn(3, 4, 8)
    with torch.no_grad():
        change = branch(z, tokens, who, keep(mask))
        assert (change[mask.flatten(1) == 0] == 0).all() and (change[2] == 0).all()
        assert change[0].abs().max() > 0
        for k in range(3):
            alone = branch(z[k : k + 1], tokens[k : k + 1], who[k : k + 1], keep(mask[k : k + 1]))
            torch.testing.assert_close(change[k : k + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scope", ["clip", "frame"])
def test_every_token_hears_its_frames_conditions_from_the_start(scope):
    """Reach: a new branch changes by a good part when its signal does, in the first row and in the last."""
    torch.manual_seed(0)
    branch = MaskedBranch(64, 32, BranchConfig(0.75, 8, scope, "interleaved")).eval()
    z, who = torch.randn(1, 3 * 64, 64), torch.randn(1, 4, 32)
    mask = torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        one, other = (branch(z, torch.randn(1, 3, 2, 32), who, keep(mask)) for _ in range(2))
    reach = ((one - other).norm(dim=-1) / one.norm(dim=-1)).view(3, 8, 8)
    assert reach.amin() > 0.1, reach.amin()
    if scope == "frame":
        only = torch.randn(1, 3, 2, 32)
        changed = only.clone()
        changed[:, 1] += 1
        with torch.no_grad():
            apart = (
                (branch(z, only, who, keep(mask)) - branch(z, changed, who, keep(mask)))
                .view(3, -1)
                .abs()
                .amax(1)
            )
        assert apart[0] == 0 and apart[2] == 0 and apart[1] > 0
