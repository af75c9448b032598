"""The causal convolution of packs against PyTorch's own, sequence by sequence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from actalker.errors import InputError
from actalker.ssm.block import BidirectionalHeads, BidirectionalScan
from actalker.ssm.conv import causal_conv, conv_package, last_steps, package_refuses


def loop(x, weight, bias, lengths, tail=None):
    k, out = weight.shape[1], []
    for s, part in enumerate(x.split(lengths)):
        before = part.new_zeros(k - 1, part.shape[1]) if tail is None else tail[s]
        row = torch.cat([before, part]).t()[None]
        out.append(F.conv1d(row, weight[:, None], bias, groups=weight.shape[0])[0].t() if len(part) else part)
    return torch.cat(out)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(2, 5), st.booleans(), st.integers(0, 99)
)
def test_it_is_a_convolution_within_each_sequence(lengths, k, tailed, seed):
    g = torch.Generator().manual_seed(seed % 1000)
    make = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_()  # noqa: E731
    given = [make(sum(lengths), 3), make(3, k), make(3)]
    tail = make(len(lengths), k - 1, 3) if tailed else None
    sizes = torch.tensor(lengths)
    found, expected = causal_conv(*given, sizes, tail), loop(*given, lengths, tail)
    torch.testing.assert_close(found, expected)
    inputs = given + ([tail] if tailed else [])
    grads = (torch.autograd.grad(y.square().sum(), inputs, materialize_grads=True) for y in (found, expected))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)
    # a sequence in two parts
    cuts = [n // 2 for n in lengths]
    parts = [p.split([c, n - c]) for p, c, n in zip(given[0].split(lengths), cuts, lengths, strict=True)]
    first, second = (torch.cat([p[i] for p in parts]) for i in (0, 1))
    one = causal_conv(first, *given[1:], torch.tensor(cuts), tail)
    goes_on = last_steps(first, torch.tensor(cuts), k, tail)
    two = causal_conv(second, *given[1:], sizes - torch.tensor(cuts), goes_on)
    joined = torch.cat(
        [
            t
            for pair in zip(one.split(cuts), two.split((sizes - torch.tensor(cuts)).tolist()), strict=True)
            for t in pair
        ]
    )
    torch.testing.assert_close(joined, expected)


def test_the_package_is_refused_with_a_reason():
    assert "channels in eights" in package_refuses(torch.ones(4, 7), 4)
    if not torch.cuda.is_available():
        assert "pip install" in package_refuses(torch.ones(4, 8), 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_package_gives_the_same_on_a_gpu():
    x, weight, bias = torch.randn(40, 16), torch.randn(16, 4), torch.randn(16)
    if reason := package_refuses(x.cuda(), 4):
        pytest.skip(reason)
    lengths = torch.tensor([7, 0, 33])
    found = conv_package(x.cuda(), weight.cuda(), bias.cuda(), lengths.cuda())
    torch.testing.assert_close(found.cpu(), causal_conv(x, weight, bias, lengths), rtol=1e-4, atol=1e-4)


def test_blocks_refuse_what_does_not_divide():
    with pytest.raises(InputError, match="head_size 64: the branch has 48 inner channels"):
        BidirectionalHeads(48)
    with pytest.raises(InputError, match="1 taps; give 2 or more"):
        BidirectionalScan(16, conv=1)
