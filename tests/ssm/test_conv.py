"""The causal convolution of packs against PyTorch's own, sequence by sequence."""

import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from actalker.errors import InputError
from actalker.ssm.block import CausalConv, SelectiveBlock, SsdBlock
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("tailed", [False, True])
def test_it_sums_in_float32_whatever_the_features_are(dtype, tailed):
    """Against a float64 loop over the same numbers: no more is lost than by rounding the result once."""
    g = torch.Generator().manual_seed(0)
    conv, lengths = CausalConv(24, 4), [50, 0, 200]
    x = torch.randn(250, 24, generator=g).to(dtype).requires_grad_()
    tail = torch.randn(3, 3, 24, generator=g).to(dtype) if tailed else None
    y = conv(x, 1, torch.tensor(lengths), tail)
    assert y.dtype == dtype and conv.weight.dtype == torch.float32
    wide = x.detach().double().requires_grad_()
    weight, bias = (t[1].detach().double().requires_grad_() for t in (conv.weight, conv.bias))
    truth = F.silu(loop(wide, weight, bias, lengths, None if tail is None else tail.double()))
    assert (y.double() - truth).abs().max() <= torch.finfo(dtype).eps * truth.abs().max()
    torch.testing.assert_close(y, truth.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-6)
    mixed = torch.randn(y.shape, generator=g).to(dtype)
    found = torch.autograd.grad(y, [conv.weight, conv.bias, x], mixed)
    expected = torch.autograd.grad(truth, [weight, bias, wide], mixed.double())
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        assert ours.dtype == torch.float32
        assert (ours[1].double() - theirs).norm() <= 1e-6 * theirs.norm()
    assert found[2].dtype == dtype
    assert (found[2].double() - expected[2]).norm() <= torch.finfo(dtype).eps * expected[2].norm()


def test_the_package_is_given_float32_weights(monkeypatch):
    """A stand-in with the meaning of `causal_conv1d_fn`, which no CPU runs: what it is handed."""
    handed = {}

    def stand_in(x, weight, bias, seq_idx, activation):
        handed.update(weight=weight.dtype, bias=bias.dtype, x=x.dtype, activation=activation)
        sizes = torch.bincount(seq_idx[0].long(), minlength=3)
        y = causal_conv(x[0].t(), weight, bias, sizes, silu=activation == "silu")
        return y.t()[None]

    monkeypatch.setattr(
        "actalker.ssm.conv.import_module", lambda name: types.SimpleNamespace(causal_conv1d_fn=stand_in)
    )
    x, weight, bias = torch.randn(40, 16).bfloat16(), torch.randn(16, 4), torch.randn(16)
    lengths = torch.tensor([7, 0, 33])
    found = conv_package(x, weight, bias, lengths, silu=True)
    assert handed == {
        "weight": torch.float32,
        "bias": torch.float32,
        "x": torch.bfloat16,
        "activation": "silu",
    }
    assert torch.equal(found, causal_conv(x, weight, bias, lengths, silu=True))
    assert "float64" in package_refuses(x.double(), 4)


@pytest.mark.parametrize("name", ["x", "weight", "bias", "tail"])
def test_complex_and_whole_numbers_are_refused(name):
    given = {
        "x": torch.ones(4, 8),
        "weight": torch.ones(8, 2),
        "bias": torch.ones(8),
        "tail": torch.ones(1, 1, 8),
    }
    for wrong, words in ((torch.complex64, f"{name}.real"), (torch.int64, rf"{name}.float\(\)")):
        with pytest.raises(InputError, match=f"convolution: {name} is {str(wrong)[6:]}; .*{words}"):
            causal_conv(**{**given, name: given[name].to(wrong)}, lengths=torch.tensor([4]))


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
        SsdBlock(48)
    with pytest.raises(InputError, match="1 taps; give 2 or more"):
        SelectiveBlock(16, conv=1)
